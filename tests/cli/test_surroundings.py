"""Commands where something is missing that is usually there: a home, a place for temporary files, a working directory,
a terminal that knows more than ASCII.
"""

import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest

from macgen.tools import cache_variables
from tests.cli.runner import command, invoke, refused, run, tree

BUNDLE = ("build", "--rows", 1, "--cols", 1, "--name", "mac")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    place = tmp_path_factory.mktemp("bundle") / "mac"
    assert invoke(*BUNDLE, "-o", place).exit_code == 0
    return place


@pytest.fixture
def _no_temporary_directory(monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: ["/nowhere"])


@pytest.mark.usefixtures("_no_temporary_directory")
@pytest.mark.parametrize("words", [("verify",), ("verify", "--exhaustive"), ("verify", "--formal"), ("report",)])
def test_commands_without_a_temporary_directory(words, bundle):
    before = tree(bundle)
    assert refused(*words, bundle) == (
        "no temporary directory can be made (No usable temporary directory found in ['/nowhere']); accepted is the "
        "environment variable TMPDIR with a writable directory"
    )
    assert tree(bundle) == before


@pytest.mark.usefixtures("_no_temporary_directory")
def test_build_without_a_temporary_directory(tmp_path):
    words = ("build", "--rows", 1, "--cols", 2, "-o", tmp_path / "mac")  # Verilog that this process does not have yet
    assert refused(*words).startswith("no temporary directory can be made")
    assert tree(tmp_path) == {}


FULL = [
    pytest.param(30_000, ("build", "--rows", 1, "--cols", 1, "-o", "new"), id="build"),
    pytest.param(3_000, ("report", "mac"), id="report"),
    pytest.param(3_000, ("verify", "mac", "--simulator", "icarus"), id="verify"),
    pytest.param(100, ("system", "mac", "--gemm", "8x8x8", "--json", "new.json"), id="system"),
]


@pytest.mark.thinned("build", "system")
@pytest.mark.parametrize(("most", "words"), FULL)
def test_on_a_disk_without_room_one_sentence_is_told_and_nothing_is_left(most, words, bundle, tmp_path):
    """No file may be longer than some bytes, which is what a program sees of a full disk."""
    shutil.copytree(bundle, tmp_path / "mac")
    (tmp_path / "temporary").mkdir()
    before = tree(tmp_path)
    process = run(
        *words,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )
    assert (process.returncode, process.stdout, process.stderr.count("\n")) == (2, "", 1)
    assert "Traceback" not in process.stderr
    left = {path: text for path, text in tree(tmp_path).items() if not path.startswith("temporary")}
    assert left == {path: text for path, text in before.items() if not path.startswith("temporary")}


@pytest.mark.parametrize("words", [(*BUNDLE, "-o", "x"), ("report", "mac"), ("plan", "--spec", "s.json")])
def test_in_a_working_directory_that_was_removed(words, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    script = 'cd "$0" && rmdir "$0" && exec "$@"'
    process = subprocess.run(
        ["/bin/sh", "-c", script, gone, *command(*words)], capture_output=True, text=True, timeout=300, check=False
    )
    assert (process.returncode, process.stdout, process.stderr.count("\n")) == (2, "", 1)
    assert process.stderr.startswith("macgen: error: ")


def test_a_terminal_that_knows_only_ascii_gets_codes_of_other_characters(bundle, tmp_path):
    variables = {**os.environ, "PYTHONIOENCODING": "ascii"}
    process = run(*BUNDLE, "-o", "b\xe4d", cwd=tmp_path, env=variables)
    assert (process.returncode, process.stderr) == (0, "")
    assert "b\\xe4d" in process.stdout
    process = run("report", "\u2192", cwd=tmp_path, env=variables)
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.startswith("macgen: error: bundle '\\u2192' has no readable manifest.json")


@pytest.fixture
def _fresh_cache_variables():
    cache_variables.cache_clear()
    yield
    cache_variables.cache_clear()


@pytest.mark.usefixtures("_fresh_cache_variables")
@pytest.mark.parametrize("home", ["/dev/null/home", "/dev/null"])
def test_without_a_home_that_can_be_written_tools_get_a_cache(home, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", home)
    closed = []
    monkeypatch.setattr("atexit.register", closed.append)
    variables = cache_variables()
    assert set(variables) == {"HOME", "XDG_CACHE_HOME"}
    assert set(os.listdir(tmp_path)) == {Path(path).name for path in variables.values()}
    closed[0]()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_fresh_cache_variables")
def test_a_cache_that_can_be_written_is_used(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/dev/null")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_variables() == {}


@pytest.mark.prove
def test_build_without_a_home_that_can_be_written(tmp_path):
    """Yosys compiles itself anew, as it has no cache: this takes long."""
    variables = {name: value for name, value in os.environ.items() if name != "XDG_CACHE_HOME"}
    process = run(*BUNDLE, "-o", "mac", cwd=tmp_path, env={**variables, "HOME": "/dev/null/home"})
    assert (process.returncode, process.stderr) == (0, "")


@pytest.mark.parametrize("words", [("plan", "--length", 10), ("system", "{bundle}", "--gemm", "4x4x4")])
def test_plots_without_a_home_that_can_be_written(words, bundle, tmp_path):
    """Matplotlib keeps a directory in the home, and speaks of it on standard error where it cannot."""
    variables = {name: value for name, value in os.environ.items() if name not in ("XDG_CACHE_HOME", "MPLCONFIGDIR")}
    (tmp_path / "temporary").mkdir()
    variables |= {"HOME": "/dev/null", "TMPDIR": str(tmp_path / "temporary")}
    named = [str(word).format(bundle=bundle) for word in words]
    process = run(*named, "--plot", tmp_path / "x.svg", cwd=tmp_path, env=variables)
    assert (process.returncode, process.stderr) == (0, "")
    assert list((tmp_path / "temporary").iterdir()) == []
    assert (tmp_path / "x.svg").read_text().startswith("<?xml")


@pytest.mark.usefixtures("_no_temporary_directory", "_fresh_cache_variables")
def test_plots_without_a_home_or_a_temporary_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/dev/null")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    told = refused("plan", "--length", 10, "--plot", tmp_path / "x.svg")
    assert told.startswith("no temporary directory can be made")
    assert tree(tmp_path) == {}
