"""Layers of torch whose matrix products are computed on an arithmetic."""

from __future__ import annotations

import math
from itertools import count
from typing import Any

import torch
from torch.nn import functional

from macgen.errors import MacgenError, check_type, shown
from macgen.network.gemm import Kind
from macgen.nn.training.counters import Watch
from macgen.nn.training.gemms import LayerGemms, Multiplied, Native
from macgen.nn.training.operations import Convolution, RowsTimesWeights
from macgen.nn.training.rules import Arithmetic
from macgen.spec import MacSpec

Given = MacSpec | Arithmetic

_PLACES = count()
"""Of layers that are built by hand, in the order in which a program builds them: no two share random numbers."""

_OF_ACTIVATIONS: tuple[Kind, ...] = ("forward", "backward", "backward")
"""Specs of the GEMMs of a product whose gradients are both of inputs."""

_ROWS = RowsTimesWeights()
_ROWS_IN_FLOAT = Native(
    forward=lambda x, w: x @ w.T,
    backward=lambda g, x, w: g @ w,
    gradient=lambda g, x, w: g.T @ x,
)


class Linear(torch.nn.Linear):
    """`torch.nn.Linear` on an arithmetic; the bias is added in the type of its values, float32 as a rule.

    Parameters:
        in_features, out_features, bias, device, dtype: as of `torch.nn.Linear`.
        arithmetic: a spec for all three GEMMs, or an `Arithmetic`.
        name: of the layer in sentences and counters.

    Raises:
        MacgenError: the arithmetic is none.
    """

    gemms: LayerGemms

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        arithmetic: Given,
        name: str = "Linear",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(in_features, out_features, bias, device, dtype)
        self.gemms = LayerGemms(name, Arithmetic.of(arithmetic), Watch(), next(_PLACES))

    def forward(self, x: Any) -> Any:
        """Return the outputs (..., out_features) of inputs (..., in_features).

        Raises:
            MacgenError: the inputs have another shape.
        """
        if x.shape[-1:] != (self.in_features,):
            raise MacgenError(_other_shape(self, x, f"(..., {self.in_features})"))
        y = _product(x.reshape(-1, x.shape[-1]), self.weight, self.gemms)
        y = y.reshape(*x.shape[:-1], self.out_features)
        return y if self.bias is None else y + self.bias


class _Convolved:
    """What Conv1d and Conv2d share; a mixin before torch's class."""

    gemms: LayerGemms

    def _on_arithmetic(self, arithmetic: Given, name: str) -> None:
        self.gemms = LayerGemms(name, Arithmetic.of(arithmetic), Watch(), next(_PLACES))

    def forward(self: Any, x: Any) -> Any:
        """Return the outputs (N, out_channels, ...) of inputs (N, in_channels, ...), or of one example.

        Raises:
            MacgenError: the inputs have another shape, or are smaller than the kernel.
        """
        given, pads = x, _pads(self)
        single = x.dim() == len(self.kernel_size) + 1
        x = x.unsqueeze(0) if single else x
        least = [
            max(1, dilation * (taps - 1) + 1 - before - after)
            for dilation, taps, (before, after) in zip(self.dilation, self.kernel_size, pads, strict=True)
        ]
        if x.dim() != len(least) + 2 or x.shape[1] != self.in_channels or any(map(int.__lt__, x.shape[2:], least)):
            sizes = ", ".join(f"{size} or more" for size in least)
            raise MacgenError(_other_shape(self, given, f"(N, {self.in_channels}, {sizes}), or without N"))
        if self.padding_mode != "zeros":
            around = [size for pair in reversed(pads) for size in pair]
            x, pads = functional.pad(x, around, mode=self.padding_mode), ((0, 0),) * len(pads)
        operation = Convolution(tuple(self.stride), pads, tuple(self.dilation), self.groups, f"layer {self.gemms.name}")
        y = Multiplied.apply(x, self.weight, self.gemms, operation, _native_convolution(self, pads))
        if self.bias is not None:
            y = y + self.bias.reshape(-1, *[1] * len(pads))
        return y.squeeze(0) if single else y


class Conv1d(_Convolved, torch.nn.Conv1d):
    """`torch.nn.Conv1d` on an arithmetic; the bias is added in the type of its values, float32 as a rule.

    Parameters:
        arithmetic: a spec for all three GEMMs, or an `Arithmetic`.
        name: of the layer in sentences and counters.
        args, options: as of `torch.nn.Conv1d`.

    Raises:
        MacgenError: the arithmetic is none.
    """

    def __init__(self, *args: Any, arithmetic: Given, name: str = "Conv1d", **options: Any) -> None:
        super().__init__(*args, **options)
        self._on_arithmetic(arithmetic, name)


class Conv2d(_Convolved, torch.nn.Conv2d):
    """`torch.nn.Conv2d` on an arithmetic; the bias is added in the type of its values, float32 as a rule.

    Parameters:
        arithmetic: a spec for all three GEMMs, or an `Arithmetic`.
        name: of the layer in sentences and counters.
        args, options: as of `torch.nn.Conv2d`.

    Raises:
        MacgenError: the arithmetic is none.
    """

    def __init__(self, *args: Any, arithmetic: Given, name: str = "Conv2d", **options: Any) -> None:
        super().__init__(*args, **options)
        self._on_arithmetic(arithmetic, name)


class Matmul(torch.nn.Module):
    """Products of tensors on an arithmetic, as `matmul`; counters and random numbers go on from call to call.

    A model that has one among its modules has its counters, and keeps it in checkpoints. `convert` leaves it as it is.

    Parameters:
        arithmetic: a spec for all GEMMs, or an `Arithmetic`.
        name: of the product in sentences.

    Raises:
        MacgenError: the arithmetic is none.
    """

    gemms: LayerGemms

    def __init__(self, arithmetic: Given, *, name: str = "Matmul") -> None:
        super().__init__()
        self.gemms = LayerGemms(name, Arithmetic.of(arithmetic), Watch(), next(_PLACES), specs=_OF_ACTIVATIONS)

    def forward(self, a: Any, b: Any) -> Any:
        """Return the product (..., M, N) of a (..., M, K) and b (..., K, N).

        Raises:
            MacgenError: the shapes do not fit, or an operand is no tensor.
        """
        return _matmul(a, b, self.gemms)


def matmul(a: Any, b: Any, arithmetic: Given, *, name: str = "matmul") -> Any:
    """Return the product of tensors on an arithmetic: both are activations, such as those of attention.

    Both gradients are backward GEMMs: the `backward` spec computes them, its operand `a` is the gradient of the result.

    Nothing is kept from call to call: there are no counters, and random numbers begin anew. So each call with random
    rounding rounds with the same numbers, which differ only by the arithmetic's `seed`; those of a `Matmul` go on.

    Parameters:
        a: (..., M, K).
        b: (..., K, N), with the same or broadcast dimensions in front.
        arithmetic: a spec for all GEMMs, or an `Arithmetic`.
        name: of the product in sentences.

    Raises:
        MacgenError: the shapes do not fit, an operand is no tensor, or the arithmetic is none.
    """
    return _matmul(a, b, LayerGemms(name, Arithmetic.of(arithmetic), Watch(), 0, specs=_OF_ACTIVATIONS))


def _matmul(a: Any, b: Any, gemms: LayerGemms) -> Any:
    for field, given in (("a", a), ("b", b)):
        check_type(field, given, torch.Tensor, "a torch.Tensor")
    if min(a.dim(), b.dim()) < 2 or a.shape[-1] != b.shape[-2]:
        raise MacgenError(
            f"a has the shape {tuple(a.shape)} and b {tuple(b.shape)}; accepted are (..., M, K) and (..., K, N)"
        )
    try:
        front = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except RuntimeError:
        raise MacgenError(
            f"a has the shape {shown(tuple(a.shape))} and b {shown(tuple(b.shape))}, whose dimensions in front differ; "
            f"accepted are equal ones, or 1"
        ) from None
    left, right = a.expand(*front, *a.shape[-2:]), b.expand(*front, *b.shape[-2:])
    rows, columns = (x.reshape(math.prod(front), *x.shape[-2:]) for x in (left, right))
    each = [_product(x, y.T, gemms) for x, y in zip(rows, columns, strict=True)]
    return torch.stack(each).reshape(*front, a.shape[-2], b.shape[-1]) if each else left @ right


def _product(x: Any, w: Any, gemms: LayerGemms) -> Any:
    return Multiplied.apply(x, w, gemms, _ROWS, _ROWS_IN_FLOAT)


def _other_shape(layer: Any, x: Any, accepted: str) -> str:
    return f"layer {shown(layer.gemms.name)} got inputs of the shape {tuple(x.shape)}; accepted are {accepted}"


def _pads(layer: Any) -> tuple[tuple[int, int], ...]:
    """Return the zeros before and after, of each dimension."""
    if layer.padding == "valid":
        return ((0, 0),) * len(layer.kernel_size)
    if layer.padding == "same":
        totals = [dilation * (taps - 1) for dilation, taps in zip(layer.dilation, layer.kernel_size, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    return tuple((size, size) for size in layer.padding)


def _native_convolution(layer: Any, pads: tuple[tuple[int, int], ...]) -> Native:
    """Return the same convolution as torch computes it."""
    rank = len(pads)
    function = (functional.conv1d, functional.conv2d)[rank - 1]
    of_input = (torch.nn.grad.conv1d_input, torch.nn.grad.conv2d_input)[rank - 1]
    of_weight = (torch.nn.grad.conv1d_weight, torch.nn.grad.conv2d_weight)[rank - 1]
    even = all(before == after for before, after in pads)
    around = [size for pair in reversed(pads) for size in pair]
    options = {"stride": layer.stride, "dilation": layer.dilation, "groups": layer.groups}
    options["padding"] = tuple(before for before, _ in pads) if even else 0

    def padded(x: Any) -> Any:
        return x if even else functional.pad(x, around)

    def backward(g: Any, x: Any, w: Any) -> Any:
        of_padded = of_input(padded(x).shape, w, g, **options)
        if even:
            return of_padded
        inside = tuple(slice(before, before + size) for (before, _), size in zip(pads, x.shape[2:], strict=True))
        return of_padded[(slice(None), slice(None), *inside)]

    return Native(
        forward=lambda x, w: function(padded(x), w, **options),
        backward=backward,
        gradient=lambda g, x, w: of_weight(padded(x), w.shape, g, **options),
    )
