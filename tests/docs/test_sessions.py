"""What the pages show is what the commands print: quick commands are run, and the README's Python."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from macgen.bundle.manifest import load_manifest
from macgen.cost import kept
from tests.cli.runner import command

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "examples" / "README.md"]

ELIDED = "..."
"""A line that stands for any lines."""

QUICK = (
    "macgen plan",
    "macgen build",
    "macgen system",
    "python examples/dot_product.py",
    "python examples/own_design.py",
)


def sessions(page: Path) -> Iterator[list[tuple[str, list[str]]]]:
    """Yield the sessions of a page: commands, each with the lines that it prints."""
    session: list[tuple[str, list[str]]] = []
    for line in [*page.read_text(encoding="utf-8").splitlines(), "#"]:
        if line.startswith("    $ "):
            session.append((line.removeprefix("    $ "), []))
        elif line.startswith("    ") and session:
            session[-1][1].append(line[4:])
        elif session and line.startswith("#"):  # a heading ends a session, text between its commands does not
            yield session
            session = []


SESSIONS = [
    pytest.param(session, id=f"{page.relative_to(ROOT)}-{index}")
    for page in PAGES
    for index, session in enumerate(sessions(page))
    if any(line.startswith(QUICK) for line, _ in session)
]


@pytest.mark.parametrize("session", SESSIONS)
def test_the_commands_print_what_the_page_shows(session, tmp_path):
    for line, shown in session:
        if not line.startswith(QUICK):
            continue
        words = shlex.split(line)
        words = command(*words[1:]) if words[0] == "macgen" else [sys.executable, str(ROOT / words[1]), *words[2:]]
        result = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert result.returncode == 0, result.stderr
        printed = "\n".join(text.rstrip() for text in result.stdout.splitlines())
        pattern = re.escape("\n".join(shown)).replace(re.escape(ELIDED), ".*")
        assert not shown or re.fullmatch(pattern, printed, re.DOTALL), f"{line} prints:\n{printed}"


def test_the_sessions_are_found():
    found = [line for param in SESSIONS for line, _ in param.values[0]]
    assert any(line.startswith("macgen build --acc-bits 12") for line in found)
    assert any(line.startswith("macgen plan --length") for line in found)


def shown_by(page: Path, command_line: str) -> list[str]:
    (lines,) = [lines for session in sessions(page) for line, lines in session if line == command_line]
    return lines


@pytest.mark.parametrize(("page", "verb"), [("verification", "verify"), ("report", "report")])
def test_pages_show_what_the_readme_shows(page, verb):
    line = f"macgen {verb} build/mac12"
    *head, last = shown_by(ROOT / "README.md", line)
    assert shown_by(ROOT / "docs" / f"{page}.md", line)[: len(head)] == head
    assert last == ELIDED or verb == "verify"


def cells(line: str) -> list[str]:
    return re.split(r"  +", line.strip())


@pytest.mark.prove
def test_what_takes_longer_prints_what_the_readme_shows(tmp_path):
    """Figures may move by a tenth with the versions of the tools, and seconds with the machine."""
    (session,) = [session for session in sessions(ROOT / "README.md") if len(session) > 1]
    for line, shown in session:
        result = subprocess.run(
            command(*shlex.split(line)[1:]), cwd=tmp_path, capture_output=True, text=True, timeout=600
        )
        assert result.returncode == 0, result.stderr
        printed = result.stdout.splitlines()
        for text, wanted in zip(printed, shown, strict=False):
            if wanted == ELIDED:
                break
            if wanted.startswith("icarus"):  # its version, or Verilator; seconds
                assert cells(text)[1:-2] == cells(wanted)[1:-2]
                continue
            assert len(cells(text)) == len(cells(wanted))
            for found, figure in zip(cells(text), cells(wanted), strict=True):
                if re.fullmatch(r"[\d.,]+", figure):
                    assert float(found.replace(",", "")) == pytest.approx(float(figure.replace(",", "")), rel=0.1), text
                else:
                    assert found == figure
        assert len(printed) >= len(shown)


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.prove)])
def test_the_readme_s_python_runs(whole, tmp_path, monkeypatch, capsys):
    """On an array of one PE; to verify and price even that takes half a minute."""
    (snippet,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    runs = snippet.replace('presets["default"]', 'presets["default"].replace(rows=1, cols=1)')
    assert runs != snippet
    if not whole:
        runs, verifies, _ = runs.partition("assert macgen.verify")
        assert verifies
    names = {}
    exec(compile(runs, "README.md", "exec"), names)
    assert names["Y"].tolist() == [[1.5]]
    assert names["bundle"].verilog.is_file()
    assert not whole or 0.4 < float(capsys.readouterr().out) < 0.6


def snippet_of(page: str) -> str:
    (snippet,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / page).read_text(), re.MULTILINE | re.DOTALL)
    return snippet


def test_the_python_of_the_page_on_emulation_runs():
    exec(compile(snippet_of("emulation.md"), "emulation.md", "exec"), {})


@pytest.mark.prove
def test_the_python_of_the_page_on_fpgas_runs(tmp_path, monkeypatch, capsys):
    """For an array that meets the clock as it is: of others some are placed before one does."""
    monkeypatch.setattr(kept, "_folder", lambda: tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    snippet = snippet_of("fpga.md")
    runs = snippet.replace('presets["default"]', 'presets["int8"]')
    assert runs != snippet
    names = {}
    exec(compile(runs, "fpga.md", "exec"), names)
    assert names["choice"].met
    assert load_manifest("build/fast").spec == names["choice"].spec
    assert capsys.readouterr().out.startswith("True ")
