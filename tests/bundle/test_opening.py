"""A bundle of anyone's is looked at before any of it runs: what is not macgen's is refused unless it is trusted."""

import hashlib
import json
import os
import shutil

import numpy as np
import pytest

from macgen import report, verify
from macgen.bundle import contents, opening
from macgen.bundle.bundle import build
from macgen.bundle.manifest import MANIFEST, MAX_MANIFEST_BYTES, bundle_paths, load_manifest
from macgen.bundle.opening import open_bundle
from macgen.errors import MacgenError
from macgen.simulate.matmul import run_matmul
from tests.bundle.fixtures import SPEC, sentence
from tests.cli.runner import invoke, refused, tree

TRUSTED = "was not compared with what macgen writes of its spec: it is trusted"
CHANGED = "was changed after it was built: its checksum is not the manifest's"


def evil(bundle):
    """Let the Verilog of a bundle make a file beside it, and return that file's path."""
    mark = bundle.parent / "executed"
    verilog = bundle / "rtl" / "mac.v"
    harm = f'  initial $system("touch {mark}");\nendmodule\n'
    verilog.write_text(verilog.read_text() + f"module harm;\n{harm}")
    return mark


def forge(bundle):
    """Have the manifest list the checksums of what is there."""
    change_manifest(bundle, files={path: checksum(bundle / path) for path in bundle_paths("mac")})


def change_manifest(bundle, **changes):
    values = json.loads((bundle / MANIFEST).read_text())
    (bundle / MANIFEST).write_text(json.dumps(values | changes))


def checksum(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


# -- the Verilog -------------------------------------------------------------------------------------------------------


def test_a_bundle_as_it_was_built_is_opened(bundle):
    opened = open_bundle(bundle)
    assert (opened.manifest, opened.notes) == (load_manifest(bundle), ())
    assert opened.verilog == (bundle / "rtl" / "mac.v").read_bytes()
    assert set(opened.contents) == set(bundle_paths("mac"))
    assert tree(opened.copy(bundle.parent / "copy")) == tree(bundle)


@pytest.mark.parametrize("forged", [False, True])
def test_other_verilog_is_refused_whatever_the_manifest_says(bundle, forged):
    evil(bundle)
    if forged:
        forge(bundle)
    with pytest.raises(MacgenError) as error:
        open_bundle(bundle)
    what = (
        "is not what this macgen writes of its spec and name"
        if forged
        else "was changed after it was built (its checksum is not the manifest's)"
    )
    assert sentence(error) == (
        f"bundle {str(bundle)!r}: rtl/mac.v {what}, and to simulate Verilog is to run whatever it says; accepted is "
        f"what macgen build writes, or with --trust Verilog that you trust"
    )


def test_the_verilog_of_other_versions_is_refused_with_the_reason(bundle):
    verilog = bundle / "rtl" / "mac.v"
    verilog.write_text(verilog.read_text().replace("\n", " \n", 1))
    tools = load_manifest(bundle).tools
    change_manifest(bundle, tools=tools | {"macgen": "0.1.9"})
    forge(bundle)
    with pytest.raises(MacgenError) as error:
        open_bundle(bundle)
    assert f"; its manifest names other versions than macgen {tools['macgen']}, and to simulate" in sentence(error)


def test_trusted_verilog_is_opened_and_noted(bundle):
    evil(bundle)
    assert open_bundle(bundle, trust=True).notes == (f"rtl/mac.v {TRUSTED}", f"rtl/mac.v {CHANGED}")
    forge(bundle)
    assert open_bundle(bundle, trust=True).notes == (f"rtl/mac.v {TRUSTED}",)
    assert b"$system" in open_bundle(bundle, trust=True).verilog


WAYS = {
    "verify": verify,
    "verify exhaustively": lambda bundle: verify(bundle, exhaustive=True),
    "verify formally": lambda bundle: verify(bundle, formal=True),
    "report": report,
    "multiply": lambda bundle: run_matmul(bundle, np.zeros((1, 1), int), np.zeros((1, 1), int)),
}
COMMANDS = [("verify",), ("verify", "--exhaustive"), ("verify", "--formal"), ("report",)]


@pytest.mark.parametrize("forged", [False, True])
def test_nothing_of_other_verilog_runs(bundle, forged):
    mark = evil(bundle)
    if forged:
        forge(bundle)
    before = tree(bundle.parent)
    for way, run in WAYS.items():
        with pytest.raises(MacgenError, match=r"or with --trust Verilog that you trust$"):
            run(bundle)
        assert tree(bundle.parent) == before, way
    for command in COMMANDS:
        assert "or with --trust Verilog that you trust" in refused(*command, bundle)
        assert tree(bundle.parent) == before, command
    assert not mark.exists()


def test_what_is_unusual_is_said_before_anything_runs(bundle, monkeypatch):
    from macgen.simulate import verify as simulate

    def stop(*args, **kwargs):
        raise MacgenError("here it would run")

    monkeypatch.setattr(simulate, "simulate", stop)
    (bundle / "constraints" / "mac.sdc").write_text("create_clock -period 3 clk\n")
    result = invoke("verify", bundle)
    said = f"macgen: note: constraints/mac.sdc {CHANGED}\nmacgen: error: here it would run\n"
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", said)
    evil(bundle)
    result = invoke("verify", bundle, "--trust")
    assert result.stderr == f"macgen: note: rtl/mac.v {TRUSTED}\nmacgen: note: rtl/mac.v {CHANGED}\n{said}"


@pytest.mark.parametrize("path", ["constraints/mac.sdc", "constraints/mac.xdc", "mac.core"])
def test_other_files_that_were_changed_are_noted(bundle, path):
    (bundle / path).write_text("mine")
    assert open_bundle(bundle).notes == (f"{path} {CHANGED}",)


def test_what_was_looked_at_is_what_runs(bundle, tmp_path, monkeypatch):
    """The Verilog is exchanged just after it was read."""
    from macgen.simulate import verify as simulate

    written, texts = (bundle / "rtl" / "mac.v").read_bytes(), []

    def simulated(opened, name, module, work, settings, timeout):
        evil(bundle)
        texts.append((opened.copy(work.path / "bundle") / "rtl" / "mac.v").read_bytes())
        raise MacgenError("that is enough")

    monkeypatch.setattr(simulate, "simulate", simulated)
    with pytest.raises(MacgenError, match="that is enough"):
        simulate.verify(bundle, workdir=tmp_path / "work")
    assert texts == [written]


def test_verilog_is_generated_once_for_a_bundle_that_is_built_and_read(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(contents, "to_verilog", lambda spec, name: calls.append(name) or f"module {name}; endmodule\n")
    contents.verilog_of.cache_clear()
    try:
        build(SPEC, tmp_path / "mac")
        for _ in range(3):
            open_bundle(tmp_path / "mac")
        open_bundle(shutil.copytree(tmp_path / "mac", tmp_path / "copy"))
    finally:
        contents.verilog_of.cache_clear()
    assert calls == ["mac"]


# -- the files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["../secret", "/etc/passwd", "rtl/../../secret", "notes.txt", "./mac.core", ""])
def test_the_manifest_lists_no_other_files(bundle, file):
    (bundle.parent / "secret").write_text("secret")
    (bundle / "notes.txt").write_text("mine")
    change_manifest(bundle, files=load_manifest(bundle).files | {file: checksum(bundle / "notes.txt")})
    for trust in (False, True):
        with pytest.raises(MacgenError) as error:
            open_bundle(bundle, trust=trust)
        assert sentence(error) == (
            f"bundle {str(bundle)!r}: manifest lists the file {file!r}; accepted are rtl/mac.v, constraints/mac.sdc, "
            f"constraints/mac.xdc, mac.core"
        )


@pytest.mark.parametrize("path", bundle_paths("mac"))
def test_the_manifest_lists_every_file(bundle, path):
    files = load_manifest(bundle).files
    change_manifest(bundle, files={file: digest for file, digest in files.items() if file != path})
    with pytest.raises(MacgenError, match=rf"manifest lists no file '{path}'; accepted is what macgen build writes"):
        open_bundle(bundle)


@pytest.mark.parametrize("path", ["rtl", "constraints", *bundle_paths("mac"), MANIFEST])
def test_a_link_out_of_the_bundle_is_refused(bundle, path):
    (bundle / path).rename(bundle.parent / "elsewhere")
    (bundle / path).symlink_to(bundle.parent / "elsewhere")
    for trust in (False, True):
        with pytest.raises(MacgenError, match=r"is a link to a place outside of it; accepted is") as error:
            open_bundle(bundle, trust=trust)
        assert path in sentence(error)
    for command in COMMANDS:
        assert "is a link to a place outside of it" in refused(*command, bundle, "--trust")


def test_a_link_to_a_bundle_is_followed(bundle):
    (bundle.parent / "link").symlink_to("mac")
    assert open_bundle(bundle.parent / "link").manifest.name == "mac"


@pytest.mark.parametrize("target", ["/dev/zero", "mac.core", "/nowhere"])
def test_a_manifest_that_is_a_link(bundle, target):
    (bundle / MANIFEST).unlink()
    (bundle / MANIFEST).symlink_to(target)
    with pytest.raises(MacgenError) as error:
        open_bundle(bundle, trust=True)
    sentence(error)


def test_a_manifest_of_any_length_is_not_read(bundle):
    with (bundle / MANIFEST).open("a") as file:
        file.write(" " * MAX_MANIFEST_BYTES)
    with pytest.raises(MacgenError, match=rf"no readable manifest.json \(Larger than {MAX_MANIFEST_BYTES} bytes\)"):
        open_bundle(bundle)
    assert "Larger than" in refused("verify", bundle)


@pytest.mark.parametrize("path", ["rtl/mac.v", "constraints/mac.sdc"])
def test_a_file_of_any_length_is_not_read(bundle, path, monkeypatch):
    monkeypatch.setattr(opening, "MAX_FILE_BYTES", 1 << 20)
    os.truncate(bundle / path, 1 << 40)  # a hole: it takes no room
    with pytest.raises(MacgenError, match=rf"{path} is larger than 1048576 bytes; accepted is what macgen"):
        open_bundle(bundle, trust=True)
