"""Networks on a spec's arithmetic, bit for bit, every product by `macgen.emulate`.

ONNX models run by `emulate`. Models of torch train: `convert` swaps their layers. The names that need torch (extra
`macgen[torch]`) load it when they are first used.
"""

from __future__ import annotations

import importlib

from macgen.nn.emulation import emulate
from macgen.nn.model import EmulatedModel
from macgen.nn.results import Answers, Emulation, LayerResult, Run
from macgen.nn.training.counters import GemmCounters
from macgen.nn.training.rules import Arithmetic

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from macgen.nn.training.checkpoint import load, save
    from macgen.nn.training.convert import check_loss, convert, counters, layers, reset_counters, switch
    from macgen.nn.training.layers import Conv1d, Conv2d, Linear, Matmul, matmul
    from macgen.nn.training.measure import measure
    from macgen.nn.training.optimizer import Optimizer
    from macgen.nn.training.schedule import CounterRule, EpochRule, GradientMetrics, MetricRule, Schedule, metrics

_HOMES = {
    "Conv1d": "layers",
    "Conv2d": "layers",
    "Linear": "layers",
    "Matmul": "layers",
    "Optimizer": "optimizer",
    "check_loss": "convert",
    "convert": "convert",
    "counters": "convert",
    "layers": "convert",
    "load": "checkpoint",
    "matmul": "layers",
    "measure": "measure",
    "reset_counters": "convert",
    "save": "checkpoint",
    "switch": "convert",
    "CounterRule": "schedule",
    "EpochRule": "schedule",
    "GradientMetrics": "schedule",
    "MetricRule": "schedule",
    "Schedule": "schedule",
    "metrics": "schedule",
}
"""The modules of `macgen.nn.training` that have the names for which torch is needed."""

__all__ = [
    "Answers",
    "Arithmetic",
    "Conv1d",
    "Conv2d",
    "CounterRule",
    "EmulatedModel",
    "Emulation",
    "EpochRule",
    "GemmCounters",
    "GradientMetrics",
    "LayerResult",
    "Linear",
    "Matmul",
    "MetricRule",
    "Optimizer",
    "Run",
    "Schedule",
    "check_loss",
    "convert",
    "counters",
    "emulate",
    "layers",
    "load",
    "matmul",
    "measure",
    "metrics",
    "reset_counters",
    "save",
    "switch",
]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'macgen.nn' has no attribute {name!r}")
        try:
            home = importlib.import_module(f"macgen.nn.training.{_HOMES[name]}")
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] != "torch":
                raise
            from macgen.errors import ToolError

            raise ToolError(
                f"the package torch, which macgen.nn.{name} trains with, is missing: pip install 'macgen[torch]' "
                f"(docs/training.md says how to get the small one)"
            ) from None
        return getattr(home, name)


def __dir__() -> list[str]:
    from importlib.util import find_spec

    hidden = set(_HOMES) if find_spec("torch") is None else set()  # so that `help` looks at none that is not to be had
    return sorted(({*__all__} - hidden) | {name for name in globals() if name.startswith("__")})
