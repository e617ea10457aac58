import io
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


def shown(width, capsys, monkeypatch) -> list[str]:
    """Return the lines that progress in counted steps, and then in stages, shows on a terminal of so many columns."""
    monkeypatch.setenv("COLUMNS", str(width))
    with console.progress_bar("Emulating") as tell:
        tell(1237, 4321, "layer block1.conv2")
    with console.progress("Simulating build/mac12") as tell:
        tell("12 of 12 tests")
    lines = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", capsys.readouterr().err).replace("\r", "\n").splitlines()
    assert all(len(line) <= width for line in lines)
    return [line.strip() for line in lines if line.strip()]


LAYER, TESTS = "Emulating: layer block1.conv2", "Simulating build/mac12: 12 of 12 tests"


@pytest.mark.parametrize(
    ("width", "counted", "staged"),
    [
        (80, f". {LAYER} \\S+ +1237/4321 0:00:0\\d -:--:--", f". {TESTS} 0:00:0\\d"),
        (60, f". {LAYER} 1237/4321 0:00:0\\d -:--:--", f". {TESTS} 0:00:0\\d"),
        (48, f". {LAYER} 1237/4321", f". {TESTS} 0:00:0\\d"),
        (41, f". {LAYER} 1237/4321", f". {TESTS}"),
        (40, f". {LAYER}", f". {TESTS}"),
        (38, f". {LAYER}", TESTS),
        (20, "Emulating: layer\nblock1.conv2", "Simulating\nbuild/mac12: 12 of\n12 tests"),
        (12, "Emulating:\nlayer\nblock1.conv2", "Simulating\nbuild/mac12:\n12 of 12\ntests"),
    ],
)
def test_progress_leaves_out_what_a_terminal_is_too_narrow_for(width, counted, staged, terminal, capsys, monkeypatch):
    """The bar first; what is being done is always there, and no number is cut."""
    lines = "\n".join(shown(width, capsys, monkeypatch))
    assert re.search(f"^{counted}\n(.*\n)*{staged}$", lines, re.MULTILINE), lines


@pytest.mark.parametrize("width", range(1, 100, 3))
def test_progress_never_cuts(width, terminal, capsys, monkeypatch):
    assert "\u2026" not in "".join(shown(width, capsys, monkeypatch))


def test_progress_in_ascii(terminal, monkeypatch):
    """Neither the spinner nor the bar needs what such a terminal cannot show."""
    written = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr("sys.stderr", written)
    with console.progress_bar("Emulating") as tell:
        tell(1237, 4321, "layer block1.conv2")
    written.flush()
    assert b"layer block1.conv2" in written.buffer.getvalue()


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
