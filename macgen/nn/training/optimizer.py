"""Updates of weights on a format of their own, and scaled losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from macgen.errors import MacgenError, check_choice, check_integer, check_type, is_real, shown
from macgen.nn.random_source import PLACE_OF_UPDATES, RandomSource
from macgen.nn.scaling import ends
from macgen.nn.training.convert import first_watch, watches
from macgen.nn.training.counters import NotFiniteError
from macgen.numerics import Format, Rounding, as_format
from macgen.numerics.at_random import check_random_bits, quantize_at_random

Array = NDArray[Any]

GROWTH_STEPS = 2000
"""Steps without a gradient that is infinite or NaN after which a dynamic loss scale doubles."""

_FIRST_DYNAMIC = 65536.0


@dataclass
class UpdateCounters:
    """What became of a parameter's updates.

    Attributes:
        values: elements that were updated.
        stalled: those that stayed as they were, though the step was not 0: it was lost to rounding.
        saturated: those that the step took beyond the format.
    """

    values: int = 0
    stalled: int = 0
    saturated: int = 0


class Optimizer:
    """An optimizer of torch's on a master copy of the weights, in a format of its own.

    The optimizer works in float64 on the master copy; each new weight is rounded to the format once, and the model gets
    it. So the step itself is exact, and only where it arrives is as narrow as asked. Without a format the optimizer
    works on the model's own parameters.

    Parameters:
        model: a `torch.nn.Module`. With a format, its parameters are rounded to nearest at once.
        make: makes the optimizer of parameters, such as `lambda p: torch.optim.SGD(p, lr=0.1)`.
        master: the format of the weights, or its string; formats by parameters' names, such as a plan of tensors has
            as `masters`: the other parameters then have none; None: as the parameters are.
        rounding: of the new weights: `rne`, `rtz`, `floor`, `stochastic:r` or `stochastic:r:nearest`.
        loss_scale: what losses are multiplied by, and gradients divided by again; a positive number, or `dynamic`: it
            halves, and the step is left out, where a gradient is infinite or NaN, and doubles after 2000 steps without.
        seed: of the random numbers.

    Attributes:
        inner: torch's optimizer, which schedulers of learning rates take.
        loss_scale: as it is now.
        updates: what became of the updates, by parameter's name; only with a format.

    Raises:
        MacgenError: an argument is refused.
    """

    def __init__(
        self,
        model: Any,
        make: Callable[[list[Any]], Any],
        *,
        master: Format | str | Mapping[str, Format | str] | None = None,
        rounding: Rounding | str = "rne",
        loss_scale: float | str = 1.0,
        seed: int = 0,
    ) -> None:
        check_type("model", model, torch.nn.Module, "a torch.nn.Module")
        self._model = model
        self._named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self._formats = _formats(master, [name for name, _ in self._named], dict(model.named_parameters()))
        formats = [fmt for fmt in self._formats if fmt is not None]
        self._rounding = Rounding(rounding)
        check_choice("rounding", str(self._rounding.kind), ("rne", "rtz", "floor", "stochastic"))
        self._source = None
        if not formats and str(self._rounding) != "rne":
            raise MacgenError(f"rounding {str(self._rounding)!r} does not go with master None; accepted is a format")
        if formats and self._rounding.random_bits:
            for fmt in formats:
                check_random_bits(fmt, self._rounding)
            self._source = RandomSource(self._rounding.random_bits, check_integer("seed", seed, 0), PLACE_OF_UPDATES)
        self._dynamic, self.loss_scale = _loss_scale(loss_scale)
        self._sound_steps = 0
        self._overflowed = False
        self.updates = {
            name: UpdateCounters() for (name, _), fmt in zip(self._named, self._formats, strict=True) if fmt is not None
        }
        self._masters = [
            p if fmt is None else torch.from_numpy(_nearest(fmt, _values(p)))
            for (_, p), fmt in zip(self._named, self._formats, strict=True)
        ]
        self._give()
        self.inner = make(list(self._masters))

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self._overflowed = False
        for _, parameter in self._named:
            parameter.grad = None

    def backward(self, loss: Any) -> None:
        """Compute the gradients of a loss, scaled.

        With a dynamic loss scale, a gradient that is infinite or NaN where a layer is given it ends this, and `step`
        leaves the step out.

        Raises:
            MacgenError: with a fixed loss scale, a layer is given such a gradient.
        """
        try:
            (loss * self.loss_scale).backward()
        except NotFiniteError:
            if not self._dynamic:
                raise
            self._overflowed = True

    def step(self) -> bool:
        """Update the weights; the watch counts a step on.

        Returns:
            Whether the step was taken: with a dynamic loss scale it is not where a gradient is infinite or NaN.

        Raises:
            MacgenError: with a fixed loss scale, a gradient is infinite or NaN; the sentence names the layer and the
                counter that exploded first.
        """
        wrong = next((name for name, p in self._named if p.grad is not None and not torch.isfinite(p.grad).all()), None)
        sound, self._overflowed = wrong is None and not self._overflowed, False
        if sound:
            self._update()
            self._sound_steps += 1
            if self._dynamic and self._sound_steps % GROWTH_STEPS == 0:
                self.loss_scale *= 2
        elif not self._dynamic:
            watch = first_watch(self._model)
            where = "" if watch is None else f" in step {watch.step}; {watch.reason()}"
            raise MacgenError(f"gradient of {shown(wrong)} is infinite or NaN{where}")
        else:
            self.loss_scale, self._sound_steps = self.loss_scale / 2, 0
        for watch in watches(self._model):
            watch.step += 1
            if not sound:
                watch.first = None  # it was dealt with
        return sound

    def state_dict(self) -> dict[str, Any]:
        """Return all that a run needs to go on: torch's state, the master copy, scale, register and counters."""
        return {
            "inner": self.inner.state_dict(),
            "masters": [
                None if fmt is None else master.clone()
                for master, fmt in zip(self._masters, self._formats, strict=True)
            ],
            "loss_scale": self.loss_scale,
            "sound_steps": self._sound_steps,
            "register": None if self._source is None else self._source.state,
            "updates": {name: asdict(each) for name, each in self.updates.items()},
        }

    def signature(self) -> dict[str, str]:
        """Return what an optimizer that goes on from this one's state has in common with it, by what it is."""
        groups = [len(group["params"]) for group in self.inner.param_groups]
        return {
            "the optimizer": type(self.inner).__name__,
            "its groups' numbers of parameters": str(groups),
            "the parameters": ", ".join(name for name, _ in self._named),
            "the master copy": str(self._formats[0]) if len({*self._formats}) == 1 else shown(self._formats, 1000),
            "the rounding of updates": str(self._rounding),
            "the loss scale": "dynamic" if self._dynamic else "fixed",
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned.

        Raises:
            MacgenError: it is of an optimizer of other parameters, or without a master copy where this one has one.
        """
        given = state["masters"]
        mine = [
            None if fmt is None else tuple(master.shape)
            for master, fmt in zip(self._masters, self._formats, strict=True)
        ]
        if [None if master is None else tuple(master.shape) for master in given] != mine:
            raise MacgenError("state is of an optimizer of other parameters or master copies; accepted is its own")
        with torch.no_grad():
            for master, kept in zip(self._masters, given, strict=True):
                if kept is not None:
                    master.copy_(kept)
        self._give()
        self.inner.load_state_dict(state["inner"])
        self.loss_scale, self._sound_steps = state["loss_scale"], state["sound_steps"]
        if self._source is not None:
            self._source.state = state["register"]
        self.updates = {name: UpdateCounters(**each) for name, each in state["updates"].items()}

    # -- one update ------------------------------------------------------------------------------------------------

    def _update(self) -> None:
        before: list[Array | None] = []
        for master, fmt, (_, parameter) in zip(self._masters, self._formats, self._named, strict=True):
            gradient = parameter.grad
            if fmt is not None:
                master.grad = None if gradient is None else gradient.detach().double().cpu() / self.loss_scale
                before.append(master.numpy().copy())
                continue
            before.append(None)
            if gradient is not None and self.loss_scale != 1:
                with torch.no_grad():
                    gradient /= self.loss_scale
        self.inner.step()
        for number, (old, fmt) in enumerate(zip(before, self._formats, strict=True)):
            name, parameter = self._named[number]
            if fmt is not None and old is not None and parameter.grad is not None:
                wanted = self._masters[number].numpy()
                self._count(name, fmt, old, wanted, new := self._rounded(fmt, wanted))
                wanted[...] = new
        self._give()

    def _rounded(self, fmt: Format, x: Array) -> Array:
        if self._source is not None:
            numbers = self._source.take(x.size).reshape(x.shape)
            return quantize_at_random(fmt, x, self._rounding, numbers)
        return np.asarray(fmt.quantize(_clipped(fmt, x), str(self._rounding)))  # type: ignore[arg-type]

    def _count(self, name: str, fmt: Format, old: Array, wanted: Array, new: Array) -> None:
        least, most = ends(fmt)
        counters = self.updates[name]
        counters.values += old.size
        counters.stalled += int(np.count_nonzero((new == old) & (wanted != old)))
        counters.saturated += int(np.count_nonzero(wanted > most) + np.count_nonzero(wanted < least))

    def _give(self) -> None:
        """Copy the masters into the model."""
        with torch.no_grad():
            for master, fmt, (_, parameter) in zip(self._masters, self._formats, self._named, strict=True):
                if fmt is not None:
                    parameter.copy_(master)


def _formats(
    given: Format | str | Mapping[str, Format | str] | None, trained: list[str], known: Mapping[str, Any]
) -> list[Format | None]:
    """Return the format of each trained parameter; None: it is its own master."""
    if given is None:
        return [None] * len(trained)
    if not isinstance(given, Mapping):
        return [as_format("master", given)] * len(trained)
    if unknown := [name for name in given if name not in known]:
        raise MacgenError(f"master has {shown(unknown[0])}, which is no parameter; accepted are {shown([*known], 300)}")
    formats = {name: as_format(f"master of {shown(name)}", fmt) for name, fmt in given.items()}
    return [formats.get(name) for name in trained]


def _nearest(fmt: Format, x: Array) -> Array:
    return np.array(fmt.quantize(_clipped(fmt, x)))


def _values(parameter: Any) -> Array:
    return np.asarray(parameter.detach().double().cpu().numpy())


def _clipped(fmt: Format, x: Array) -> Array:
    least, most = ends(fmt)
    return np.clip(x, least, most)


def _loss_scale(given: float | str) -> tuple[bool, float]:
    if isinstance(given, str) and given == "dynamic":
        return True, _FIRST_DYNAMIC
    if not is_real(given) or not 0 < float(given) < float("inf"):
        raise MacgenError(f"loss_scale {shown(given)} is neither a positive number nor dynamic")
    return False, float(given)
