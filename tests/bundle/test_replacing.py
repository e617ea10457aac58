"""What `build` with `force` may delete, and what stands under the final name whenever it is stopped."""

import errno
import json
import os
import subprocess
import sys

import pytest

from macgen.bundle import replacing
from macgen.bundle.bundle import build
from macgen.bundle.manifest import MANIFEST, load_manifest
from macgen.errors import MacgenError
from tests.bundle.fixtures import OTHER, SPEC, generate_once, sentence
from tests.cli.runner import tree


@pytest.fixture(autouse=True)
def _verilog_from_memory(monkeypatch):
    generate_once(monkeypatch)


def refuse_exchange(one, other):
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


@pytest.fixture(params=[True, False], ids=["exchange", "renames"])
def _either_way(request, monkeypatch):
    if not request.param:
        monkeypatch.setattr(replacing, "exchange", refuse_exchange)


# -- others' files -----------------------------------------------------------------------------------------------------


def of_a_folder(directory, path):
    (directory / path).parent.mkdir(parents=True, exist_ok=True)
    (directory / path).write_text("years of work")


def link(path, target):
    path.unlink()
    path.symlink_to(target)


OTHERS = {
    "thesis.tex": lambda mac: of_a_folder(mac, "thesis.tex"),
    "notes/of/mine.txt": lambda mac: of_a_folder(mac, "notes/of/mine.txt"),
    "rtl/mine.v": lambda mac: of_a_folder(mac, "rtl/mine.v"),
    "rtl/mac.v/mine.v": lambda mac: [(mac / "rtl/mac.v").unlink(), of_a_folder(mac, "rtl/mac.v/mine.v")],
    "constraints/mac.sdc~": lambda mac: of_a_folder(mac, "constraints/mac.sdc~"),
    ".git/config": lambda mac: of_a_folder(mac, ".git/config"),
    "empty/": lambda mac: (mac / "empty").mkdir(),
    "rtl": lambda mac: [(mac / "rtl").rename(mac.parent / "elsewhere"), (mac / "rtl").symlink_to("../elsewhere")],
    "mac.core": lambda mac: link(mac / "mac.core", "../mine.core"),
    "pipe": lambda mac: os.mkfifo(mac / "pipe"),
    "config.json": lambda mac: of_a_folder(mac, "config.json"),  # that of a bundle with a clock is its own
    "cpu.v": lambda mac: (mac / "cpu.v").symlink_to("/nowhere"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_file_that_is_not_the_bundles_is_named_and_kept(tmp_path, other):
    build(SPEC, tmp_path / "mac")
    OTHERS[other](tmp_path / "mac")
    before = tree(tmp_path)
    with pytest.raises(MacgenError) as error:
        build(OTHER, tmp_path / "mac", force=True)
    assert sentence(error) == (
        f"output {str(tmp_path / 'mac')!r} holds {other!r} beside the bundle; accepted is a new directory, or one with "
        f"nothing but a bundle"
    )
    assert tree(tmp_path) == before


def test_of_many_files_the_first_are_named(tmp_path):
    build(SPEC, tmp_path / "mac")
    for number in range(7):
        of_a_folder(tmp_path / "mac", f"run/{number}.vcd")
    with pytest.raises(MacgenError, match=r"holds 'run/0.vcd', 'run/1.vcd', 'run/2.vcd' and 4 more beside the bundle"):
        build(OTHER, tmp_path / "mac", force=True)


@pytest.mark.parametrize(
    "manifest",
    [
        {"schema": 2, "spec": {}, "verilog": "rtl/mac.v", "files": {}},
        {"schema": 2, "spec": {}, "verilog": "thesis.tex", "files": {"thesis.tex": ""}, "name": "mac", "tools": {}},
    ],
)
def test_another_programs_manifest_makes_no_bundle(tmp_path, manifest):
    of_a_folder(tmp_path / "mac", "thesis.tex")
    (tmp_path / "mac" / MANIFEST).write_text(json.dumps(manifest))
    before = tree(tmp_path)
    with pytest.raises(
        MacgenError, match=r"is no bundle \(it holds 'manifest.json', 'thesis.tex'\); accepted"
    ) as error:
        build(SPEC, tmp_path / "mac", force=True)
    sentence(error)
    (tmp_path / "mac" / "thesis.tex").unlink()  # the manifest alone is the user's, too
    with pytest.raises(MacgenError, match=r"is no bundle \(it holds 'manifest.json'\)"):
        build(SPEC, tmp_path / "mac", force=True)
    assert tree(tmp_path) == {path: data for path, data in before.items() if path != "mac/thesis.tex"}


def test_the_configuration_of_a_bundle_with_a_clock_is_its_own(tmp_path):
    """Whether its manifest lists the file or has the clock; the user's stays after a bundle without one."""
    for change in ({}, {"files": {}}, {"target": None}):
        build(SPEC, tmp_path / "mac", clock_mhz=400, force=True)
        values = json.loads((tmp_path / "mac" / MANIFEST).read_text())
        (tmp_path / "mac" / MANIFEST).write_text(json.dumps(values | change))
        build(OTHER, tmp_path / "mac", force=True)
        assert not (tmp_path / "mac" / "config.json").exists()
    of_a_folder(tmp_path / "mac", "config.json")
    with pytest.raises(MacgenError, match=r"holds 'config.json' beside the bundle"):
        build(OTHER, tmp_path / "mac", clock_mhz=400, force=True)
    assert (tmp_path / "mac" / "config.json").read_text() == "years of work"


def test_a_manifest_does_not_make_files_the_bundles(tmp_path):
    """Neither by its list nor by its name."""
    build(SPEC, tmp_path / "mac")
    values = json.loads((tmp_path / "mac" / MANIFEST).read_text())
    for change in ({"files": {**values["files"], "../thesis.tex": "", "mine.txt": ""}}, {"name": "../thesis"}):
        (tmp_path / "mac" / MANIFEST).write_text(json.dumps(values | change))
        of_a_folder(tmp_path, "thesis.tex")
        of_a_folder(tmp_path / "mac", "mine.txt")
        before = tree(tmp_path)
        with pytest.raises(MacgenError, match=r"'mine.txt'|is no bundle"):
            build(OTHER, tmp_path / "mac", force=True)
        assert tree(tmp_path) == before


@pytest.mark.parametrize("damage", ["older", "incomplete", "changed"])
def test_a_bundle_in_any_state_is_replaced(tmp_path, damage):
    build(SPEC, tmp_path / "mac")
    values = json.loads((tmp_path / "mac" / MANIFEST).read_text())
    if damage == "older":
        (tmp_path / "mac" / MANIFEST).write_text(json.dumps(values | {"schema": 1, "files": {}}))
    elif damage == "incomplete":
        (tmp_path / "mac" / "rtl" / "mac.v").unlink()
    else:
        (tmp_path / "mac" / "constraints" / "mac.sdc").write_text("create_clock -period 3 clk\n")
    build(OTHER, tmp_path / "mac", force=True)
    assert load_manifest(tmp_path / "mac").spec == OTHER
    assert os.listdir(tmp_path) == ["mac"]


@pytest.mark.usefixtures("_either_way")
def test_a_file_that_comes_while_the_new_bundle_is_made_is_kept(tmp_path, monkeypatch):
    build(SPEC, tmp_path / "mac")
    check = replacing.check_target

    def check_and_save(place, target, force):
        check(place, target, force)
        of_a_folder(tmp_path / "mac", "thesis.tex")  # by an editor, just after it was looked for

    monkeypatch.setattr(replacing, "check_target", check_and_save)
    with pytest.raises(MacgenError, match=r"holds 'thesis.tex' beside the bundle") as error:
        build(OTHER, tmp_path / "mac", force=True)
    assert str(tmp_path / "mac") in sentence(error)
    assert (load_manifest(tmp_path / "mac").spec, os.listdir(tmp_path)) == (SPEC, ["mac"])
    assert (tmp_path / "mac" / "thesis.tex").read_text() == "years of work"


def interrupt(*args):
    raise KeyboardInterrupt


def refuse_rename(one, other):
    raise OSError(errno.EACCES, os.strerror(errno.EACCES))


@pytest.mark.parametrize("trouble", [interrupt, refuse_rename])
def test_what_was_not_looked_at_is_not_deleted_even_if_it_cannot_go_back(tmp_path, monkeypatch, trouble):
    """As by a second Ctrl-C, while the first one is being dealt with: then the old directory keeps its other name."""
    build(SPEC, tmp_path / "mac")
    old = tree(tmp_path / "mac")
    check = replacing.check_target

    def interrupted(place, target, force):
        if place != target:  # the directories have been exchanged
            monkeypatch.setattr(replacing, "exchange", trouble)
            monkeypatch.setattr(replacing.Path, "rename", trouble)
            raise KeyboardInterrupt
        check(place, target, force)
        of_a_folder(tmp_path / "mac", "thesis.tex")

    monkeypatch.setattr(replacing, "check_target", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build(OTHER, tmp_path / "mac", force=True)
    monkeypatch.undo()
    [rest] = tmp_path.glob(".mac.*.partial")
    assert tree(rest) == {**old, "thesis.tex": b"years of work"}
    assert load_manifest(tmp_path / "mac").spec == OTHER
    generate_once(monkeypatch)
    build(SPEC, tmp_path / "mac", force=True)
    assert tree(rest) == {**old, "thesis.tex": b"years of work"}


@pytest.mark.usefixtures("_either_way")
def test_an_interrupt_after_the_exchange_brings_the_old_bundle_back(tmp_path, monkeypatch):
    build(SPEC, tmp_path / "mac")
    old = tree(tmp_path)
    monkeypatch.setattr(replacing, "check_target", lambda place, target, force: place == target or interrupt())
    with pytest.raises(KeyboardInterrupt):
        build(OTHER, tmp_path / "mac", force=True)
    assert tree(tmp_path) == old


# -- in one step -------------------------------------------------------------------------------------------------------


def test_two_directories_are_exchanged(tmp_path):
    for name in ("one", "other"):
        of_a_folder(tmp_path / name, f"{name}.txt")
    replacing.exchange(tmp_path / "one", tmp_path / "other")
    assert set(tree(tmp_path)) == {"one", "one/other.txt", "other", "other/one.txt"}
    with pytest.raises(FileNotFoundError):
        replacing.exchange(tmp_path / "one", tmp_path / "nowhere")


@pytest.mark.usefixtures("_either_way")
def test_a_replaced_bundle_is_gone(tmp_path):
    for name in ("mac", "x" * 255, "\N{GRINNING FACE}" * 60):
        build(SPEC, tmp_path / name, name="mac")
        build(OTHER, tmp_path / name, name="dut", force=True)
        assert load_manifest(tmp_path / name).name == "dut"
    assert len(os.listdir(tmp_path)) == 3


def test_what_a_kill_between_two_renames_left_is_mended(tmp_path):
    build(SPEC, tmp_path / "mac")
    (tmp_path / "mac").rename(tmp_path / ".mac.0123abcd.replaced")
    with pytest.raises(MacgenError, match="exists; accepted is a new directory, or --force"):
        build(OTHER, tmp_path / "mac")
    assert load_manifest(tmp_path / "mac").spec == SPEC
    assert os.listdir(tmp_path) == ["mac"]


def test_a_build_that_runs_is_not_taken_for_a_killed_one(tmp_path, monkeypatch):
    """Two builds of one name: the second begins between the renames of the first, whose bundle was there before."""
    build(SPEC, tmp_path / "mac")
    monkeypatch.setattr(replacing, "exchange", refuse_exchange)
    rename, seen = replacing.Path.rename, []

    def rename_and_build(path, target):
        rename(path, target)
        if target.suffix == ".replaced":
            monkeypatch.setattr(replacing.Path, "rename", rename)
            seen.append(sorted(path.suffix for path in tmp_path.iterdir()))
            with replacing.Place(tmp_path / "mac", "mac") as second:
                second.prepare(False)
                seen.append(sorted(path.suffix for path in tmp_path.iterdir()))
                raise InterruptedError

    monkeypatch.setattr(replacing.Path, "rename", rename_and_build)
    with pytest.raises(MacgenError, match=r"cannot be written"):
        build(OTHER, tmp_path / "mac", force=True)
    assert seen == [[".partial", ".replaced"], [".partial", ".partial", ".replaced"]]
    assert os.listdir(tmp_path) == ["mac"]
    assert load_manifest(tmp_path / "mac").spec == SPEC


def test_what_killed_builds_left_goes_with_the_next_build(tmp_path):
    """In any state: nothing, a part, all of a bundle; what runs and what is not the bundle's stays."""
    build(SPEC, tmp_path / "mac")
    for number in range(5):
        rest = tmp_path / f".mac.0123456{number}.partial"
        rest.mkdir()
        if number:
            of_a_folder(rest, "rtl/mac.v")
    build(OTHER, tmp_path / ".mac.01234565.partial", name="dut")
    of_a_folder(tmp_path / ".mac.01234563.partial", "thesis.tex")
    with replacing._locked(tmp_path / ".mac.01234564.partial") as locked:
        assert locked
        build(OTHER, tmp_path / "mac", force=True)
    assert sorted(os.listdir(tmp_path)) == [".mac.01234563.partial", ".mac.01234564.partial", "mac"]
    assert set(tree(tmp_path / ".mac.01234563.partial")) == {"rtl", "rtl/mac.v", "thesis.tex"}


def test_nobody_elses_folder_is_taken_for_what_a_kill_left(tmp_path):
    of_a_folder(tmp_path / ".mac.20251231.replaced", "thesis.tex")
    build(SPEC, tmp_path / ".mac.c.0123abcd.replaced", name="mac")
    build(SPEC, tmp_path / "mac")
    assert (tmp_path / ".mac.20251231.replaced" / "thesis.tex").exists()
    assert load_manifest(tmp_path / ".mac.c.0123abcd.replaced").spec == SPEC


_KILL = """
import itertools, os, signal, sys
from pathlib import Path
from macgen.bundle import build, contents, replacing
from macgen.spec import MacSpec

OLD = MacSpec(a="int4", b="int4", acc="int12", rows=1, cols=1)
NEW = MacSpec(a="int4", b="int4", acc="int13", rows=1, cols=1)
contents.verilog_of = lambda spec, name: f"{spec.acc}"
place, way = Path(sys.argv[1]), sys.argv[2]
if way == "renames":
    def refuse(one, other):
        raise OSError(22, "Invalid argument")
    replacing.exchange = refuse
names = [(os, name) for name in ("rename", "mkdir", "unlink", "rmdir")]
names += [(Path, "write_text"), (Path, "write_bytes"), (replacing, "exchange")]

def stopping(function, count, moment):
    def stop(*args, **kwargs):
        if next(count) == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return stop

for moment in range(100):
    target = place / str(moment) / "mac"
    build(OLD, target, name="dut")
    child = os.fork()
    if child == 0:
        count = itertools.count()
        for owner, name in names:
            setattr(owner, name, stopping(getattr(owner, name), count, moment))
        build(NEW, target, force=True)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(code, flush=True)
    if code == 0:
        break
"""


@pytest.mark.parametrize("way", ["exchange", "renames"])
def test_a_kill_at_any_step_leaves_the_old_bundle_or_the_new(tmp_path, way):
    old, new = OTHER, OTHER.replace(acc="int13")
    process = subprocess.run([sys.executable, "-c", _KILL, tmp_path, way], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    codes = process.stdout.split()
    assert codes == ["-9"] * (len(codes) - 1) + ["0"]
    assert len(codes) > 20
    missing, seen = 0, set()
    for moment in range(len(codes)):
        place = tmp_path / str(moment)
        if not (place / "mac").exists():
            missing += 1
            with pytest.raises(MacgenError, match="exists; accepted is a new directory, or --force"):
                build(SPEC, place / "mac")
        manifest = load_manifest(place / "mac")
        assert (manifest.spec, manifest.name) in ((old, "dut"), (new, "mac"))
        seen.add(manifest.name)
        text = str(manifest.spec.acc)
        assert (place / "mac" / manifest.verilog).read_text() == text
        assert {path for path, data in tree(place / "mac").items() if data is not None} == {MANIFEST, *manifest.files}
        build(SPEC, place / "mac", force=True)
        assert load_manifest(place / "mac").spec == SPEC
        assert os.listdir(place) == ["mac"]
    assert seen == {"dut", "mac"}
    assert missing == (0 if way == "exchange" else 1)  # between the two renames
