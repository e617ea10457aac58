"""The GEMMs of one layer, and their place in torch's automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from macgen.network.gemm import KINDS, Kind
from macgen.nn.training.counters import GemmCounters, Watch
from macgen.nn.training.lost import Gradients
from macgen.nn.training.operations import Operation, gradient_sums
from macgen.nn.training.products import TrainedGemm
from macgen.nn.training.rules import Arithmetic

Array = NDArray[Any]


@dataclass(frozen=True)
class Native:
    """What torch computes in place of the GEMMs that have no spec."""

    forward: Callable[[Any, Any], Any]
    backward: Callable[[Any, Any, Any], Any]
    gradient: Callable[[Any, Any, Any], Any]


class LayerGemms:
    """The GEMMs of a layer on its arithmetic.

    Parameters:
        name: of the layer.
        arithmetic: of its GEMMs.
        watch: of the model.
        place: of the layer in the model.
        specs: of which GEMMs of the arithmetic the three take the specs; a product of two activations has two
            backward ones.

    Attributes:
        name, arithmetic: as given.
        threads: as for `macgen.emulate.matmul`.
    """

    def __init__(
        self,
        name: str,
        arithmetic: Arithmetic,
        watch: Watch,
        place: int,
        *,
        specs: tuple[Kind, ...] = KINDS,
    ) -> None:
        self.name, self.watch = name, watch
        self.threads: int | None = None
        self._place, self._specs = place, specs
        self._gemms: dict[Kind, TrainedGemm | None] = {}
        self.switch(arithmetic)

    def switch(self, arithmetic: Arithmetic) -> None:
        """Go on with another arithmetic; counters and random numbers go on, too.

        Parameters:
            arithmetic: of the GEMMs from here on. A GEMM that has no spec before or after begins anew.
        """
        self.arithmetic = arithmetic
        for kind, of in zip(KINDS, self._specs, strict=True):
            own, before = arithmetic.replace(**{kind: arithmetic.spec(of)}), self._gemms.get(kind)
            absent = arithmetic.spec(of) is None
            gemm = None if absent else TrainedGemm(self.name, kind, own, self.watch, self._place)
            if gemm is not None and before is not None:
                gemm.go_on_from(before)
            self._gemms[kind] = gemm

    @property
    def counters(self) -> dict[Kind, GemmCounters]:
        """What happened in the GEMMs that have a spec."""
        return {kind: gemm.counters for kind, gemm in self._gemms.items() if gemm is not None}

    def reset_counters(self) -> None:
        """Count from here on."""
        for gemm in self._gemms.values():
            if gemm is not None:
                gemm.counters = GemmCounters()

    def state(self) -> dict[str, Any]:
        """Return the counters, and the registers of random numbers, as values that JSON has."""
        return {
            kind: {
                "counters": gemm.counters.to_dict(),
                "registers": {which: source.state for which, source in gemm.sources.items()},
                "taken": gemm.taken,
                "histories": {which: history.state() for which, history in gemm.histories.items()},
            }
            for kind, gemm in self._gemms.items()
            if gemm is not None
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        for kind, gemm in self._gemms.items():
            if gemm is not None:
                gemm.counters, gemm.taken = GemmCounters.from_dict(state[kind]["counters"]), state[kind]["taken"]
                for which, source in gemm.sources.items():
                    source.state = state[kind]["registers"][which]
                for which, history in gemm.histories.items():
                    history.load_state(state[kind]["histories"][which])

    # -- called by autograd ----------------------------------------------------------------------------------------

    def forward(self, operation: Operation, native: Native, x: Any, w: Any) -> tuple[Any, Any]:
        """Return the outputs, and what `approximate` needs."""
        gemm = self._gemms["forward"]
        if gemm is None or not x.numel():
            return self._looked_at("forward", native.forward(x, w)), None
        a, b = _array(x), _array(w)
        y = gemm.run(
            lambda products: operation.forward(products, a, b),
            a,
            b,
            _largest(a) * operation.forward_sums(b),
            self.threads,
            keep=self.arithmetic.approximation != "identity",
        )
        kept, gemm.kept = gemm.kept, None
        return self._given("forward", y, x), kept

    def backward(self, operation: Operation, native: Native, g: Any, x: Any, w: Any) -> Any:
        """Return the gradient of the inputs."""
        gemm = self._gemms["backward"]
        if gemm is None or not g.numel():
            return self._looked_at("backward", native.backward(g, x, w))
        a, b, shape = _array(g), _array(w), tuple(x.shape)
        bound = _largest(a) * operation.backward_sums(b)
        y = gemm.run(lambda products: operation.backward(products, a, b, shape), a, b, bound, self.threads)
        return self._given("backward", y, x)

    def gradient(self, operation: Operation, native: Native, g: Any, x: Any, w: Any) -> Any:
        """Return the gradient of the weights."""
        gemm = self._gemms["gradient"]
        if gemm is None or not g.numel():
            return self._looked_at("gradient", native.gradient(g, x, w))
        a, b, weights = _array(g), _array(x), _array(w)
        bound = gradient_sums(a, operation.channel) * _largest(b)
        y = gemm.run(lambda products: operation.gradient(products, a, b, weights), a, b, bound, self.threads)
        return self._given("gradient", y, w)

    def approximate(
        self, operation: Operation, kept: Any, g: Any, x: Any, w: Any, asked: tuple[bool, bool]
    ) -> tuple[Any, Any]:
        """Return both gradients without what the forward accumulator lost; None where one is not asked for."""
        spec = self.arithmetic.forward
        assert spec is not None
        a, b, scales = kept
        gradients = Gradients(spec, a, b, scales, self.arithmetic.approximation, self.threads)
        of_x, of_w = operation.approximate(gradients, _array(g), _array(x), _array(w))
        return (
            self._given("backward", of_x, x) if asked[0] else None,
            self._given("gradient", of_w, w) if asked[1] else None,
        )

    def _given(self, kind: Kind, y: Array, like: Any) -> Any:
        """Return results as a tensor of another one's type and device; those beyond that type are lost, too."""
        tensor = torch.from_numpy(np.ascontiguousarray(y)).to(dtype=like.dtype, device=like.device)
        if y.dtype.itemsize > like.dtype.itemsize and not _largest(y) <= torch.finfo(like.dtype).max:
            beyond = int(np.count_nonzero(np.isfinite(y))) - int(torch.isfinite(tensor).sum())
            gemm = self._gemms[kind]
            if gemm is not None:
                gemm.counters.lost += beyond
            if beyond:
                name = str(like.dtype).removeprefix("torch.")
                self.watch.note(self.name, kind, f"{beyond} of {y.size} results are beyond {name}")
        return tensor

    def _looked_at(self, kind: Kind, y: Any) -> Any:
        if self.watch.first is None:
            lost = int(y.numel() - torch.isfinite(y).sum())
            if lost:
                self.watch.note(self.name, kind, f"{lost} of {y.numel()} results are infinite or NaN")
        return y


def _backward(ctx: Any, g: Any) -> Any:
    """Return the gradients of inputs and weights, as far as they are asked for."""
    x, w = ctx.saved_tensors
    gemms, operation, native = ctx.layer
    of_x = of_w = None
    if ctx.kept is not None:
        of_x, of_w = gemms.approximate(operation, ctx.kept, g, x, w, ctx.needs_input_grad[:2])
    else:
        if ctx.needs_input_grad[0]:
            of_x = gemms.backward(operation, native, g, x, w)
        if ctx.needs_input_grad[1]:
            of_w = gemms.gradient(operation, native, g, x, w)
    return of_x, of_w, None, None, None


class Multiplied(torch.autograd.Function):
    """Outputs of inputs and weights, and both gradients, each by its own GEMM."""

    @staticmethod
    def forward(ctx: Any, x: Any, w: Any, gemms: LayerGemms, operation: Operation, native: Native) -> Any:
        """Return the outputs."""
        y, ctx.kept = gemms.forward(operation, native, x, w)
        ctx.save_for_backward(x, w)
        ctx.layer = gemms, operation, native
        return y

    backward = staticmethod(torch.autograd.function.once_differentiable(_backward))


def _array(x: Any) -> Array:
    """Return a tensor's values as NumPy's, of a type that NumPy has."""
    x = x.detach()
    return np.asarray((x if x.dtype in (torch.float32, torch.float64) else x.float()).cpu().numpy())


def _largest(x: Array) -> float:
    return float(np.maximum(x.max(initial=0.0), -x.min(initial=0.0)))
