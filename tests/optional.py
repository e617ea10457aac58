"""What only some machines have: the one place where a test may be skipped, and only where the thing is truly absent.

`MACGEN_TEST_EVERYTHING=1` turns an absence into a failure: continuous integration sets it, so that it skips nothing.
"""

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from macgen import tools
from macgen.tools import executables

TINY_LIBERTY = Path(__file__).parent / "data" / "tiny.lib"
"""A made-up Liberty file that is always there."""

_OSU018 = Path("/usr/share/qflow/tech/osu018/osu018_stdcells.lib")


def absent(what: str) -> None:
    """Skip the running test, or fail it where everything has to be tested."""
    if _tests_everything():
        pytest.fail(f"{what} is not on this machine, but MACGEN_TEST_EVERYTHING is set")
    pytest.skip(f"{what} is not on this machine")


def osu018() -> Path:
    """The Liberty file of a real 0.18 um library, from Debian's qflow-tech-osu018."""
    if not _OSU018.is_file():
        absent("Debian's package qflow-tech-osu018")
    return _OSU018


def need(tool: str) -> None:
    """Go on only where macgen finds an optional tool."""
    if not tools.find(tool).available:
        absent(tool)


def replace_find(monkeypatch: pytest.MonkeyPatch, find: Callable[[str], tools.Tool]) -> None:
    """Have every module find other tools than this machine's."""
    for module in (tools, executables):
        monkeypatch.setattr(module, "find", find)


def need_package(name: str) -> ModuleType:
    """Return an optional Python package; where it is absent, the module's tests are skipped."""
    try:
        return importlib.import_module(name)
    except ImportError:
        if _tests_everything():
            raise
        pytest.skip(f"the package {name} is not on this machine", allow_module_level=True)


def _tests_everything() -> bool:
    return os.environ.get("MACGEN_TEST_EVERYTHING", "") not in ("", "0")
