from importlib.metadata import version
from pathlib import Path

import pytest

import macgen
from macgen import tools
from macgen.cli.doctor import NEEDED, unusable_commands
from macgen.tools import Tool, all_tools
from tests.cli.runner import invoke, run


@pytest.fixture(autouse=True)
def _forget_found_tools():
    tools.find.cache_clear()
    yield
    tools.find.cache_clear()


def present(*names):
    return tuple(
        Tool(name, "purpose", "hint", path=Path("/bin") / name if name in names else None) for name in tools.NAMES
    )


@pytest.mark.parametrize(
    ("names", "commands"),
    [
        (tools.NAMES, []),
        (("yosys", "iverilog"), []),
        (("yosys", "verilator", "g++", "make", "perl"), []),
        (("yosys", "verilator", "g++", "make"), ["macgen verify"]),
        (("iverilog", "sta"), ["macgen report"]),
        ((), ["macgen verify", "macgen report"]),
    ],
)
def test_which_commands_cannot_run(names, commands):
    assert list(unusable_commands(present(*names))) == commands


def test_the_sentence_names_the_alternatives():
    assert unusable_commands(present()) == {
        "macgen verify": "it needs iverilog, or verilator and g++ and make and perl",
        "macgen report": "it needs yosys",
    }


def test_every_needed_tool_is_a_known_one():
    assert {name for sets in NEEDED.values() for one in sets for name in one} <= set(tools.NAMES)


def test_what_is_there():
    result = invoke("doctor")
    found = all_tools()
    assert result.exit_code == (1 if unusable_commands(found) else 0)
    assert [tool.name for tool in found] == list(tools.NAMES)
    for tool in found:
        (line,) = [line for line in result.stdout.splitlines() if line.startswith(f"{tool.name} ")]
        assert (tool.version or "missing") in line
    assert f"macgen {macgen.__version__}, Python " in result.stdout
    assert f"numpy {version('numpy')}" in result.stdout


def test_what_is_missing(tmp_path):
    result = run("doctor", cwd=tmp_path, env={"PATH": str(tmp_path)})
    assert (result.returncode, result.stderr) == (1, "")
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    for name in ("g++", "make", "perl", "iverilog", "sta"):
        assert "missing" in lines[name]
        assert "apt install" in lines[name]
    assert "macgen verify cannot run: it needs iverilog, or verilator and g++ and make and perl." in result.stdout


def test_a_wrong_setting_is_shown_and_not_fatal(monkeypatch):
    monkeypatch.setenv("MACGEN_STA", "/nowhere/sta")
    result = invoke("doctor")
    assert result.exit_code in (0, 1)
    assert "MACGEN_STA is '/nowhere/sta'" in result.stdout
