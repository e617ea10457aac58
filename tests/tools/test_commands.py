"""How a command has ended, and whether a script of Yosys wrote what it was to write."""

import pytest

from macgen import tools
from macgen.errors import ToolError


@pytest.mark.parametrize(
    ("code", "words"),
    [(3, "failed with exit code 3"), (-9, "was ended by SIGKILL"), (-11, "was ended by SIGSEGV")],
)
def test_how_a_command_has_ended(code, words):
    assert tools.ended(code) == words


@pytest.mark.parametrize("text", [None, "", '{"modules": {', '{"modules": {}}\n' + " " * 100])
def test_a_netlist_that_is_not_whole_is_refused(text, tmp_path):
    if text is not None:
        (tmp_path / "a.json").write_text(text)
    with pytest.raises(ToolError) as caught:
        tools.check_written(["proc", "write_json a.json"], cwd=tmp_path, log=tmp_path / "log", name="Yosys")
    assert str(caught.value) == f"Yosys gave no a.json that is whole; its log is {tmp_path / 'log'}"


def test_a_whole_netlist_is_not_refused(tmp_path):
    (tmp_path / "a.json").write_text('{"modules": {}\n}\n')
    tools.check_written(["proc", "write_json a.json"], cwd=tmp_path, log=tmp_path / "log", name="Yosys")
