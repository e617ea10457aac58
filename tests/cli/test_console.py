import pytest

from macgen.cli import console


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


def test_text_is_printed_as_it_is(capsys):
    text = "[red]x[/red] :smile: " + "long " * 100
    console.output().print(text)
    assert capsys.readouterr().out == text + "\n"
