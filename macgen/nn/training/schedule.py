"""Arithmetics that change during training, steered by epochs, by gradients or by counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import torch

from macgen.errors import MacgenError, check_integer, check_type, is_integer, is_real, shown
from macgen.nn.training.convert import arithmetics_of, counters
from macgen.nn.training.counters import GemmCounters


@dataclass(frozen=True)
class GradientMetrics:
    """What the magnitudes of a gradient's elements, those that are not 0, tell of the precision that it needs.

    Attributes:
        smallest: of all.
        spread: of the first quantile: how far the quarter of the smallest ones reaches beyond the smallest.
        ratio: of the largest to the smallest.
        zeros: share of elements that are 0, which are in none of the others.
    """

    smallest: float
    spread: float
    ratio: float
    zeros: float

    @classmethod
    def of(cls, gradient: Any) -> GradientMetrics:
        """Return the metrics of a tensor; all 0 where all its elements are."""
        magnitudes = gradient.detach().double().abs().flatten()
        kept = magnitudes[magnitudes > 0].sort().values
        zeros = 1 - len(kept) / max(1, len(magnitudes))
        if not len(kept):
            return cls(0.0, 0.0, 0.0, zeros)
        smallest, largest = float(kept[0]), float(kept[-1])
        return cls(smallest, float(kept[(len(kept) - 1) // 4]) - smallest, largest / smallest, zeros)


def metrics(model: Any) -> dict[str, GradientMetrics]:
    """Return the metrics of the gradients of a model's weights, by the parameter's name.

    Weights are parameters of two dimensions or more. Gradients are those of the last backward pass, as they are: with a
    loss scale in them, smallest and spread have it, too.

    Parameters:
        model: a `torch.nn.Module`, converted or not.
    """
    check_type("model", model, torch.nn.Module, "a torch.nn.Module")
    return {
        name: GradientMetrics.of(parameter.grad)
        for name, parameter in model.named_parameters()
        if parameter.dim() > 1 and parameter.grad is not None
    }


@dataclass(frozen=True)
class Shares:
    """What was lost since the last look, as the largest share among all GEMMs.

    Attributes:
        flushed: of an operand's values, those that became 0.
        saturated: of an operand's values, or of the counted additions, those that went beyond their format.
        swamped: of the counted additions, those whose product vanished.
    """

    flushed: float = 0.0
    saturated: float = 0.0
    swamped: float = 0.0


@dataclass(frozen=True)
class Look:
    """What a rule decides by.

    Attributes:
        epoch: that begins.
        phase: in which the model is, from 0.
        phases: how many there are.
        since: looks in this phase, this one counted.
        metrics: of the gradients.
        first: the metrics at the first look.
        shares: of what was lost since the last look.
    """

    epoch: int
    phase: int
    phases: int
    since: int
    metrics: Mapping[str, GradientMetrics]
    first: Mapping[str, GradientMetrics]
    shares: Shares


class Rule(Protocol):
    """Steers a schedule."""

    def wanted(self, look: Look) -> int:
        """Return the phase that is to come; beyond the last one, the last."""


@dataclass(frozen=True)
class EpochRule:
    """Each phase begins with an epoch.

    Parameters:
        starts: of the phases after the first, each after the one before.

    Raises:
        MacgenError: they do not ascend.
    """

    starts: tuple[int, ...]

    def __post_init__(self) -> None:
        check_type("starts", self.starts, (tuple, list), "a tuple of epochs")
        starts = tuple(check_integer("starts", each, 1) for each in self.starts)
        if any(after <= before for before, after in pairwise(starts)):
            raise MacgenError(f"starts {shown(starts)} do not ascend; accepted are epochs in their order")
        object.__setattr__(self, "starts", starts)

    def wanted(self, look: Look) -> int:
        """Return how many have begun."""
        return sum(look.epoch >= start for start in self.starts)


@dataclass(frozen=True)
class MetricRule:
    """The next phase begins where the gradients of some weights have moved far enough from where they were at first.

    Parameters:
        smallest, spread: shares of what was seen at the first look, below which a metric calls for the next phase.
        ratio: multiple of what was seen at the first look, above which it does.

    Raises:
        MacgenError: none is given, or one is no positive number.
    """

    smallest: float | None = None
    spread: float | None = None
    ratio: float | None = None

    def __post_init__(self) -> None:
        _check_limits(smallest=self.smallest, spread=self.spread, ratio=self.ratio)

    def wanted(self, look: Look) -> int:
        """Return the next phase or this one."""
        moved = False
        for name, now in look.metrics.items():
            first = look.first.get(name)
            if first is None:
                continue
            moved |= self.smallest is not None and now.smallest < self.smallest * first.smallest
            moved |= self.spread is not None and now.spread < self.spread * first.spread
            moved |= self.ratio is not None and now.ratio > self.ratio * first.ratio
        return look.phase + moved


@dataclass(frozen=True)
class CounterRule:
    """The next phase begins where too much is lost, and the one before where little is.

    Parameters:
        flushed, saturated, swamped: shares above which something calls for the next phase.
        calm: of those limits, below which all shares have to be for the phase before to come back; 0: it never does.
        hold: looks for which a phase stays at least.

    Raises:
        MacgenError: no share is given, or a number is out of range.
    """

    flushed: float | None = None
    saturated: float | None = None
    swamped: float | None = None
    calm: float = 0.0
    hold: int = 1

    def __post_init__(self) -> None:
        _check_limits(flushed=self.flushed, saturated=self.saturated, swamped=self.swamped)
        if not is_real(self.calm) or not 0 <= self.calm <= 1:
            raise MacgenError(f"calm {shown(self.calm)} is not from 0 to 1")
        object.__setattr__(self, "hold", check_integer("hold", self.hold, 1))

    def wanted(self, look: Look) -> int:
        """Return the next phase, the one before, or this one."""
        limits = {"flushed": self.flushed, "saturated": self.saturated, "swamped": self.swamped}
        seen = [(getattr(look.shares, name), limit) for name, limit in limits.items() if limit is not None]
        if look.since < self.hold:
            return look.phase
        if any(share > limit for share, limit in seen):
            return look.phase + 1
        return look.phase - all(share < self.calm * limit for share, limit in seen)


@dataclass
class _Sums:
    """Of a GEMM's counters, what shares are taken of; they may have been reset."""

    values: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, each: GemmCounters) -> _Sums:
        additions = each.steps + each.folds
        return cls(
            {
                "a": each.a.values,
                "b": each.b.values,
                "a flushed": each.a.flushed,
                "b flushed": each.b.flushed,
                "a saturated": each.a.saturated,
                "b saturated": each.b.saturated,
                "additions": additions.additions,
                "additions saturated": additions.saturated,
                "additions swamped": additions.swamped,
            }
        )

    def since(self, before: _Sums) -> _Sums:
        if any(value < before.values.get(name, 0) for name, value in self.values.items()):
            return self
        return _Sums({name: value - before.values.get(name, 0) for name, value in self.values.items()})

    def share(self, of: str, what: str) -> float:
        return self.values[f"{of} {what}"] / self.values[of] if self.values[of] else 0.0


class Schedule:
    """Phases of a training, each with an arithmetic, and the rule by which they follow each other.

    Parameters:
        model: that `macgen.nn.convert` returned; it gets the first phase's arithmetic.
        phases: by name, in their order: each what `macgen.nn.convert` takes as an arithmetic.
        rule: an `EpochRule`, `MetricRule`, `CounterRule`, or anything with `wanted`.

    Attributes:
        phase: in which the model is, from 0.
        taken: the names of the phases that looks ended in, one for each.

    Raises:
        MacgenError: the model is not converted, or a phase's arithmetic does not fit it.
    """

    def __init__(self, model: Any, phases: Mapping[str, Any], rule: Rule) -> None:
        check_type("phases", phases, Mapping, "a mapping of names to arithmetics")
        if not phases:
            raise MacgenError("phases are none; accepted is at least one")
        if not callable(getattr(rule, "wanted", None)):
            raise MacgenError(
                f"rule {shown(rule)} is none; accepted are EpochRule, MetricRule, CounterRule and the like"
            )
        self._model, self._rule = model, rule
        self.names = [str(name) for name in phases]
        self._arithmetics = [arithmetics_of(model, given) for given in phases.values()]
        self.taken: list[str] = []
        self._first: dict[str, GradientMetrics] = {}
        self._sums: dict[str, _Sums] = {}
        self._since = 0
        self.phase = 0
        self._switch(0)

    @property
    def name(self) -> str:
        """The name of the phase in which the model is."""
        return self.names[self.phase]

    def look(self, epoch: int) -> str:
        """Look at gradients and counters before an epoch, and let the rule decide.

        Parameters:
            epoch: from 0. It may count anything else, such as hundreds of steps.

        Returns:
            The name of the phase in which the model goes on.

        Raises:
            MacgenError: the rule returns no integer.
        """
        self._since += 1
        now = metrics(self._model)
        self._first = {**now, **self._first}
        look = Look(
            epoch=check_integer("epoch", epoch, 0),
            phase=self.phase,
            phases=len(self.names),
            since=self._since,
            metrics=now,
            first=self._first,
            shares=self._shares(),
        )
        wanted = self._rule.wanted(look)
        if not is_integer(wanted):
            raise MacgenError(f"rule wants the phase {shown(wanted)}; accepted are integers")
        wanted = min(max(int(wanted), 0), len(self.names) - 1)
        if wanted != self.phase:
            self._switch(wanted)
            self._since = 0
        self.taken.append(self.name)
        return self.name

    def state(self) -> dict[str, Any]:
        """Return where the schedule is, as values that JSON has."""
        return {
            "names": self.names,
            "phase": self.phase,
            "since": self._since,
            "taken": [*self.taken],
            "first": {name: vars(each) for name, each in self._first.items()},
            "sums": {name: each.values for name, each in self._sums.items()},
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned.

        Raises:
            MacgenError: it is of a schedule of other phases.
        """
        if state["names"] != self.names:
            raise MacgenError(
                f"state is of a schedule of the phases {shown(state['names'])}; accepted are {shown(self.names)}"
            )
        self._switch(int(state["phase"]))
        self._since, self.taken = int(state["since"]), [*state["taken"]]
        self._first = {name: GradientMetrics(**each) for name, each in state["first"].items()}
        self._sums = {name: _Sums(dict(each)) for name, each in state["sums"].items()}

    def _switch(self, phase: int) -> None:
        for layer, arithmetic in self._arithmetics[phase]:
            layer.gemms.switch(arithmetic)
        self.phase = phase

    def _shares(self) -> Shares:
        now = {
            f"{layer}:{kind}": _Sums.of(each)
            for layer, gemms in counters(self._model).items()
            for kind, each in gemms.items()
        }
        new = [each.since(self._sums.get(name, _Sums())) for name, each in now.items()]
        self._sums = now

        def largest(what: str, *of: str) -> float:
            return max((each.share(name, what) for each in new for name in of), default=0.0)

        return Shares(
            flushed=largest("flushed", "a", "b"),
            saturated=largest("saturated", "a", "b", "additions"),
            swamped=largest("swamped", "additions"),
        )


def _check_limits(**limits: float | None) -> None:
    if all(limit is None for limit in limits.values()):
        raise MacgenError(f"no limit is given; accepted is at least one of {', '.join(limits)}")
    for name, limit in limits.items():
        if limit is not None and (not is_real(limit) or not 0 < limit < float("inf")):
            raise MacgenError(f"{name} {shown(limit)} is not a positive number")
