"""macgen: multiply-accumulate arrays whose accumulator is as narrow as the mathematics allows.

The names below load their modules when first used, so that `import macgen` and `macgen --help` stay quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from macgen import emulate, golden, network, rtl, width
    from macgen.catalogue import presets
    from macgen.errors import MacgenError, ToolError
    from macgen.numerics import FixedFormat, FloatFormat, parse_format
    from macgen.spec import MacSpec

from macgen.version import __version__ as __version__

_HOMES = {
    "FixedFormat": "macgen.numerics",
    "FloatFormat": "macgen.numerics",
    "MacSpec": "macgen.spec",
    "MacgenError": "macgen.errors",
    "ToolError": "macgen.errors",
    "parse_format": "macgen.numerics",
    "presets": "macgen.catalogue",
}
_MODULES = ("emulate", "golden", "network", "rtl", "width")

__all__ = [
    "FixedFormat",
    "FloatFormat",
    "MacSpec",
    "MacgenError",
    "ToolError",
    "emulate",
    "golden",
    "network",
    "parse_format",
    "presets",
    "rtl",
    "width",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"macgen.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'macgen' has no attribute {name!r}")
