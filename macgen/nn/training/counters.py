"""What was lost in the GEMMs of layers that are trained, and where it went wrong first."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Self

from macgen.emulate import Counts, Events
from macgen.errors import MacgenError, shown
from macgen.network.gemm import Kind


class NotFiniteError(MacgenError):
    """A gradient that a layer was given is infinite or NaN; a dynamic loss scale halves on it."""


EXPLODED_SHARE = 0.01
"""Share of a GEMM's results at the end of their format from which on the layer counts as exploded."""


@dataclass
class OperandCounters:
    """What became of an operand's values on their way into their format.

    Attributes:
        values: all of them.
        saturated: those beyond the format's largest value, which they became.
        flushed: those other than 0 that became 0.
    """

    values: int = 0
    saturated: int = 0
    flushed: int = 0

    def add(self, values: int, saturated: int, flushed: int) -> None:
        """Add some values."""
        self.values, self.saturated, self.flushed = (
            self.values + values,
            self.saturated + saturated,
            self.flushed + flushed,
        )


@dataclass
class GemmCounters:
    """What happened in one GEMM of a layer since it was counted from.

    Attributes:
        calls: of the GEMM.
        macs: multiply-accumulates.
        a: its operand a.
        b: its operand b.
        results: all of them.
        at_the_end: results that are as large as their format's largest number, before what was scaled is scaled back.
        lost: results that are infinite or NaN, or beyond the type of the tensor that they go into.
        counted: calls whose additions were counted.
        steps: their additions to the inner accumulator.
        folds: their additions of chunk sums to the outer one.
    """

    calls: int = 0
    macs: int = 0
    a: OperandCounters = field(default_factory=OperandCounters)
    b: OperandCounters = field(default_factory=OperandCounters)
    results: int = 0
    at_the_end: int = 0
    lost: int = 0
    counted: int = 0
    steps: Events = field(default_factory=Events)
    folds: Events = field(default_factory=Events)

    def count(self, counts: Counts) -> None:
        """Add the counts of a product."""
        self.steps, self.folds = self.steps + counts.steps, self.folds + counts.folds

    def to_dict(self) -> dict[str, Any]:
        """Return the counters as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the counters that `to_dict` wrote."""
        operands = {which: OperandCounters(**values[which]) for which in ("a", "b")}
        events = {which: Events(**values[which]) for which in ("steps", "folds")}
        return cls(**{**values, **operands, **events})


@dataclass(frozen=True)
class Explosion:
    """Where values first went wrong.

    Attributes:
        layer: its name.
        kind: of the GEMM.
        step: of training, from 0.
        what: went wrong, in words.
    """

    layer: str
    kind: Kind
    step: int
    what: str

    def __str__(self) -> str:
        return f"layer {shown(self.layer)} in its {self.kind} GEMM in step {self.step}: {self.what}"


class Watch:
    """What the layers of a model share: the step of training, and where values first went wrong.

    Attributes:
        step: from 0; the optimizer counts it.
        first: the first explosion; None: there was none.
    """

    def __init__(self) -> None:
        self.step = 0
        self.first: Explosion | None = None

    def note(self, layer: str, kind: Kind, what: str) -> None:
        """Note that values went wrong, if they had not yet."""
        if self.first is None:
            self.first = Explosion(layer, kind, self.step, what)

    def reason(self) -> str:
        """Return what a sentence about values that went wrong ends with."""
        if self.first is None:
            return "no counter of a layer had moved before, so look at other layers and the learning rate"
        return f"the first to explode was {self.first}"
