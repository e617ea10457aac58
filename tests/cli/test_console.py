import re

import pytest
from rich.table import Column

from macgen.cli import console
from macgen.presentation.tables import new_table, print_table


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")


def test_progress_on_a_terminal(terminal, capsys):
    with console.progress("Generating [mac]"):
        pass
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Generating [mac]" in captured.err


def test_no_progress_elsewhere(capsys):
    with console.progress("Generating mac"):
        pass
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_errors_pass_through_progress(terminal, error):
    with pytest.raises(error), console.progress("Generating mac"):
        raise error


HOSTILE = "x\x1b[2J\x9b1A\u202e\x07\r"
ESCAPED = r"x\x1b[2J\x9b1A\u202e\x07\r"


def test_terminals_get_no_commands_from_what_is_shown(terminal, capsys):
    out = console.output()
    table = new_table(Column(HOSTILE, overflow="fold"), "b")
    table.add_row(HOSTILE, "1")
    print_table(table, out)
    out.print(f"{HOSTILE}\nand more")
    with console.progress(HOSTILE) as tell:
        tell(HOSTILE)
    captured = capsys.readouterr()
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line).rstrip() for line in captured.out.splitlines()]
    assert lines == [f"{ESCAPED}  b", f"{ESCAPED}  1", ESCAPED, "and more"]
    assert ESCAPED in captured.err
    assert "\x1b[2J" not in captured.err


def test_text_is_printed_as_it_is(capsys):
    text = "[red]x[/red] :smile: " + "long " * 100
    console.output().print(text)
    assert capsys.readouterr().out == text + "\n"
