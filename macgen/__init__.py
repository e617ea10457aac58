"""macgen: multiply-accumulate arrays whose accumulator is as narrow as the mathematics allows.

    import macgen
    spec = macgen.presets["default"]
    bundle = macgen.build(spec, "build/mac12")
    assert macgen.verify(bundle).passed
    print(macgen.report(bundle).cost.gate_equivalents)

The names below load their modules when first used, so that `import macgen` and `macgen --help` stay quick.
"""

from __future__ import annotations

import importlib

from macgen.version import __version__ as __version__

TYPE_CHECKING = False  # type checkers know it by its name; `typing` would take as long to load as all else of a start

if TYPE_CHECKING:
    from typing import Any

    from macgen import (
        bundle,
        compress,
        cost,
        emulate,
        golden,
        network,
        nn,
        numerics,
        prove,
        rtl,
        simulate,
        system,
        width,
    )
    from macgen.bundle.bundle import Bundle, build
    from macgen.catalogue import presets
    from macgen.cost.estimate import report
    from macgen.errors import MacgenError, ToolError
    from macgen.numerics import FixedFormat, FloatFormat, parse_format
    from macgen.spec import MacSpec
    from macgen.verbs import plan, verify

_HOMES = {
    "Bundle": "macgen.bundle.bundle",
    "FixedFormat": "macgen.numerics",
    "FloatFormat": "macgen.numerics",
    "MacSpec": "macgen.spec",
    "MacgenError": "macgen.errors",
    "ToolError": "macgen.errors",
    "build": "macgen.bundle.bundle",
    "parse_format": "macgen.numerics",
    "plan": "macgen.verbs",
    "presets": "macgen.catalogue",
    "report": "macgen.cost.estimate",
    "verify": "macgen.verbs",
}
_MODULES = (
    "bundle",
    "compress",
    "cost",
    "emulate",
    "golden",
    "network",
    "nn",
    "numerics",
    "prove",
    "rtl",
    "simulate",
    "system",
    "width",
)

__all__ = [
    "Bundle",
    "FixedFormat",
    "FloatFormat",
    "MacSpec",
    "MacgenError",
    "ToolError",
    "build",
    "bundle",
    "compress",
    "cost",
    "emulate",
    "golden",
    "network",
    "nn",
    "numerics",
    "parse_format",
    "plan",
    "presets",
    "prove",
    "report",
    "rtl",
    "simulate",
    "system",
    "verify",
    "width",
]


if not TYPE_CHECKING:  # type checkers know the names from above, and no others

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return importlib.import_module(f"macgen.{name}")
        if name in _HOMES:
            return getattr(importlib.import_module(_HOMES[name]), name)
        raise AttributeError(f"module 'macgen' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
