"""Comments tell the stages of the hardware in a fixed form, from which the Verilog has its sections."""

import ast
import re
from pathlib import Path

import pytest

RTL = Path(__file__).parents[2] / "macgen" / "rtl"
FILES = sorted(path for path in RTL.rglob("*.py") if path.name != "__init__.py")
LANDMARK = re.compile(r" *# -- [A-Z][^:]+: [^ ].*[^.]")

# Signals that are made here have their caller's line as source.
OF_THE_CALLER = RTL / "parts"


def makes_signal(node):
    if not isinstance(node, ast.Call):
        return False
    called = node.func.value if isinstance(node.func, ast.Attribute) and node.func.attr == "like" else node.func
    return (isinstance(called, ast.Name) and called.id in ("Signal", "registers")) or (
        isinstance(called, ast.Attribute) and called.attr == "create"
    )


def functions_with_signals(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            lines = [node.lineno for node in ast.walk(function) if makes_signal(node)]
            if lines:
                yield function.name, function.lineno, min(lines)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_landmarks_have_their_form(path):
    for line in path.read_text(encoding="utf-8").splitlines():
        if re.match(r" {4,}# *--", line) and not re.fullmatch(r" {4}# -- .* -{3,}", line):
            assert LANDMARK.fullmatch(line), line


@pytest.mark.parametrize("path", [path for path in FILES if OF_THE_CALLER not in path.parents], ids=lambda p: p.stem)
def test_signals_stand_below_a_landmark_of_their_function(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    for name, start, first in functions_with_signals(path):
        marks = [number for number in range(start, first) if re.match(r" +# -- ", lines[number - 1])]
        assert marks, f"{path.name}:{first}: a signal of {name} stands above its first landmark"


def test_helpers_make_signals_of_their_caller():
    for path in OF_THE_CALLER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Signal":
                assert any(keyword.arg == "src_loc_at" for keyword in node.keywords), f"{path.name}:{node.lineno}"


def test_an_engineer_finds_the_stages_of_the_adder():
    found = re.findall(r"# -- ([^:]+):", (RTL / "units" / "float_adder.py").read_text(encoding="utf-8"))
    assert found == [
        "Settle",
        "Compare exponents",
        "Align early",
        "Select",
        "Infinities and NaN",
        "Align",
        "Add",
        "Normalise and round",
    ]


def test_there_are_comments():
    """At least five lines of comment for a hundred of code."""
    code = comments = 0
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        strings = [
            node
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        ]
        prose = {line for node in strings for line in range(node.lineno, node.end_lineno + 1)}
        for number, line in enumerate(text.splitlines(), 1):
            if number not in prose and line.strip():
                comments += line.strip().startswith("#")
                code += not line.strip().startswith("#")
    assert comments / code > 0.05, (comments, code)
