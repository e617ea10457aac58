"""Layers as the GEMMs of training: how many products each dot product sums, and how many multiply-accumulates that is.

A layer's forward GEMM computes its outputs, a backward GEMM the gradient of an activation operand, a gradient GEMM the
gradient of its weights. Sizes count all of one batch.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, get_args

from macgen.errors import MacgenError, check_choice, check_flag, check_integer, check_type, is_integer, shown
from macgen.network.measurement import Measurement
from macgen.network.operand_format import OperandFormat
from macgen.network.taps import Scatter

Kind = Literal["forward", "backward", "gradient"]
KINDS: tuple[Kind, ...] = get_args(Kind)

MAX_BATCH = 1 << 24


@dataclass(frozen=True, slots=True)
class Gemm:
    """A number of dot products of equal length.

    Attributes:
        kind: `forward`, `backward` (gradient of an activation operand) or `gradient` (of the weights).
        length: products that the longest dot product sums: the accumulation length.
        outputs: dot products.
        macs: multiply-accumulates; `length * outputs` unless given, less where many dot products are shorter than
            the longest (the input gradient of a strided convolution).
        rows, cols: the dot products are those of `products` matrix products of equal shape, each of so many rows of a
            left matrix and columns of a right one; both 0: that is not known. The weights are the right matrix.

    Raises:
        MacgenError: a field is not a positive integer, `macs` is more than `length * outputs`, or rows and cols do not
            make up the outputs.
    """

    kind: Kind
    length: int
    outputs: int
    macs: int = 0
    rows: int = 0
    cols: int = 0

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, KINDS)
        length, outputs = check_integer("length", self.length, 1), check_integer("outputs", self.outputs, 1)
        open_macs = is_integer(self.macs) and self.macs == 0
        macs = length * outputs if open_macs else check_integer("macs", self.macs, 1)
        if macs > length * outputs:
            raise MacgenError(
                f"macs {shown(macs)} are more than {shown(outputs)} dot products of {shown(length)} products hold; "
                f"accepted are at most {shown(length * outputs)}"
            )
        rows, cols = check_integer("rows", self.rows, 0), check_integer("cols", self.cols, 0)
        if (rows or cols) and (rows * cols == 0 or outputs % (rows * cols)):
            raise MacgenError(
                f"rows {shown(rows)} and cols {shown(cols)} do not make up {shown(outputs)} dot products; accepted are "
                f"two whose product divides it, or 0 for both"
            )
        sizes = {"length": length, "outputs": outputs, "macs": macs, "rows": rows, "cols": cols}
        for name, value in sizes.items():
            object.__setattr__(self, name, value)

    @property
    def products(self) -> int:
        """How many matrix products of `rows` x `cols` it is; 0 where that is not known."""
        return self.outputs // (self.rows * self.cols) if self.rows else 0


@dataclass(frozen=True, slots=True)
class Layer:
    """One operation with multiply-accumulates.

    Attributes:
        name: unique in its network.
        op: what it is, in ONNX's words (`Conv`, `ConvTranspose`, `Gemm`, `MatMul`, ...).
        gemms: forward first; a product of two activations has two `backward` GEMMs and no `gradient`; a layer on which
            no weights precede has no `backward`, because training never needs the gradient of a network's inputs.
        measured: its operands on sample inputs, if it was run.
        formats: what the model says of the formats of the activation operand and of the weights (or of the left and
            the right one); None: nothing.

    Raises:
        MacgenError: a field is of another type.
    """

    name: str
    op: str
    gemms: tuple[Gemm, ...]
    measured: Measurement | None = None
    formats: tuple[OperandFormat | None, OperandFormat | None] = (None, None)

    def __post_init__(self) -> None:
        _check_texts(name=self.name, op=self.op)
        _check_members("gemms", self.gemms, Gemm)
        if self.measured is not None:
            check_type("measured", self.measured, Measurement, "a Measurement, or None")
        _check_members("formats", self.formats, OperandFormat, 2, none=True)

    @property
    def forward(self) -> Gemm:
        """The GEMM that computes the layer's outputs."""
        return self.gemms[0]

    def batched(self, factor: int) -> Self:
        """Return the layer for a batch `factor` times as large: longer weight gradients, more of all other outputs."""

        # Examples are rows where weights are shared by all of them, and else matrix products of their own.
        shared = any(gemm.kind == "gradient" for gemm in self.gemms)

        def scaled(gemm: Gemm) -> Gemm:
            if gemm.kind == "gradient":
                return replace(gemm, macs=gemm.macs * factor, length=gemm.length * factor)
            rows = gemm.rows * factor if shared else gemm.rows
            return replace(gemm, macs=gemm.macs * factor, outputs=gemm.outputs * factor, rows=rows)

        return replace(self, gemms=tuple(map(scaled, self.gemms)))


@dataclass(frozen=True, slots=True)
class Network:
    """Layers in the order of computation.

    Attributes:
        name: the paper's name of it, or the file's.
        batch: examples that are computed together; the layers' sizes are those of the whole batch.
        layers: the operations with multiply-accumulates.
        skipped: how often each other operation occurs, by name; operations outside ONNX's own set as `domain::name`.
        uncounted: those names among them that have multiply-accumulates.
        unknown: those names among them of which it is not known.

    Raises:
        MacgenError: the batch is no integer from 1, or a field is of another type.
    """

    name: str
    batch: int
    layers: tuple[Layer, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)
    uncounted: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_texts(name=self.name)
        object.__setattr__(self, "batch", check_integer("batch", self.batch, 1))
        _check_members("layers", self.layers, Layer)
        _check_members("uncounted", self.uncounted, str)
        _check_members("unknown", self.unknown, str)
        check_type("skipped", self.skipped, Mapping, "a mapping of names to counts")

    def gemms(self) -> Iterator[tuple[Layer, Gemm]]:
        """Yield every GEMM with its layer."""
        for layer in self.layers:
            for gemm in layer.gemms:
                yield layer, gemm


def conv_layer(
    name: str,
    *,
    batch: int,
    in_channels: int,
    out_channels: int,
    kernel: Sequence[int],
    out_size: Sequence[int],
    in_size: Sequence[int] | None = None,
    groups: int = 1,
    transposed: bool = False,
    scatters: Sequence[Scatter] | None = None,
    input_gradient: bool = True,
    op: str | None = None,
) -> Layer:
    """Return a convolution of any number of dimensions.

    Lengths: forward (in_channels / groups) * prod(kernel), backward (out_channels / groups) * prod(kernel), gradient
    batch * prod(out_size). With a stride, an input takes part in at most every stride-th output, so that backward's
    length is an upper bound (the one in use in the literature) unless `scatters` says which taps meet; its `macs` are
    exact, those of forward. A transposed convolution is the input gradient of a convolution: there all this is so of
    forward's length, and the weight gradient sums over batch * prod(in_size). Products with padding count, as usual.

    Parameters:
        name: the layer's.
        batch: examples.
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel: taps in each dimension.
        out_size: the output's size in each dimension.
        in_size: the input's size in each dimension; None: as `out_size`.
        groups: channel groups that are convolved separately; `in_channels` for a depthwise convolution.
        transposed: whether it is a transposed convolution.
        scatters: stride, dilation and padding in each dimension, of the inputs of a transposed convolution, else of
            the outputs' gradients; None: unknown.
        input_gradient: whether training needs the gradient of the input; not so for a network's first layer.
        op: the layer's `op`; None: Conv or ConvTranspose.

    Raises:
        MacgenError: a size is not a positive integer, the dimensions differ in number, or the groups do not divide the
            channels.
    """
    kernel = _sizes(f"kernel of layer {shown(name)}", kernel)
    out_size = _sizes(f"out_size of layer {shown(name)}", out_size)
    in_size = out_size if in_size is None else _sizes(f"in_size of layer {shown(name)}", in_size)
    if scatters is not None:
        check_type("scatters", scatters, Sequence, "a sequence of Scatter")
        _check_members("scatters", tuple(scatters), Scatter, len(kernel))
    for what, size in (("out_size", out_size), ("in_size", in_size)):
        if len(size) != len(kernel):
            raise MacgenError(
                f"{what} {shown(size)} of layer {shown(name)} is of {len(size)} dimensions; accepted are those of "
                f"kernel, {len(kernel)}"
            )
    batch = check_integer(f"batch of layer {shown(name)}", batch, 1)
    groups = check_integer(f"groups of layer {shown(name)}", groups, 1)
    in_channels = check_integer(f"in_channels of layer {shown(name)}", in_channels, 1)
    out_channels = check_integer(f"out_channels of layer {shown(name)}", out_channels, 1)
    for what, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels % groups:
            raise MacgenError(
                f"{what} {shown(channels)} of layer {shown(name)} is not a multiple of groups {shown(groups)}"
            )
    transposed = check_flag("transposed", transposed)
    input_gradient = check_flag("input_gradient", input_gradient)
    taps = math.prod(kernel)
    met = taps if scatters is None else math.prod(scatter.most() for scatter in scatters)
    forward, backward = (met, taps) if transposed else (taps, met)
    # Each tap is applied at every position of the output; in a transposed convolution, of the input.
    steps = batch * math.prod(in_size if transposed else out_size)
    macs = steps * taps * in_channels * out_channels // groups

    inputs, outputs = in_channels // groups, out_channels // groups  # of a group: a matrix product of its own

    def strided(kind: Kind, length: int, rows: int, cols: int) -> Gemm:
        dots = groups * rows * cols
        return Gemm(kind, length, dots, min(macs, length * dots), rows, cols)

    gemms = [strided("forward", inputs * forward, batch * math.prod(out_size), outputs)]
    if input_gradient:
        gemms.append(strided("backward", outputs * backward, batch * math.prod(in_size), inputs))
    gemms.append(Gemm("gradient", steps, groups * inputs * taps * outputs, rows=inputs * taps, cols=outputs))
    return Layer(name, ("ConvTranspose" if transposed else "Conv") if op is None else op, tuple(gemms))


def linear_layer(
    name: str, *, batch: int, inputs: int, outputs: int, input_gradient: bool = True, op: str = "Gemm"
) -> Layer:
    """Return a fully connected layer; lengths: forward `inputs`, backward `outputs`, gradient `batch`.

    Parameters:
        name: the layer's.
        batch: rows: examples, times positions where a layer sees a sequence.
        inputs: features of a row before.
        outputs: features of a row after.
        input_gradient: whether training needs the gradient of the input; not so for a network's first layer.
        op: the layer's `op`.

    Raises:
        MacgenError: a size is not a positive integer.
    """
    sizes = {"r": batch, "k": inputs, "n": outputs}
    return contraction_layer(name, op, sizes, ("rk", "kn", "rn"), weight="b", input_gradient=input_gradient)


def matmul_layer(
    name: str,
    *,
    a_shape: Sequence[int],
    b_shape: Sequence[int],
    weight: Literal["a", "b"] | None = None,
    input_gradient: bool = True,
    op: str = "MatMul",
) -> Layer:
    """Return the product of stacks of matrices, shaped and broadcast as by NumPy's `matmul`.

    For shapes (M, K) and (K, N), the lengths are K forward, N for the gradient of the left operand and M for the right
    one's; the gradient of an operand that is broadcast also sums over the matrices that share it.

    Parameters:
        name: the layer's.
        a_shape: (..., M, K) or (K,).
        b_shape: (..., K, N) or (K,).
        weight: the operand that holds weights; None: both are activations, as in attention.
        input_gradient: whether training needs the gradients of the activations.
        op: the layer's `op`.

    Raises:
        MacgenError: a size is not a positive integer, or the shapes do not fit.
    """
    a_shape = _sizes(f"a_shape of layer {shown(name)}", a_shape)
    b_shape = _sizes(f"b_shape of layer {shown(name)}", b_shape)
    shapes = f"shapes {shown(tuple(a_shape))} and {shown(tuple(b_shape))} of layer {shown(name)}"
    a = (1, *a_shape) if len(a_shape) == 1 else tuple(a_shape)
    b = (*b_shape, 1) if len(b_shape) == 1 else tuple(b_shape)
    if len(a) < 2 or len(b) < 2 or a[-1] != b[-2]:
        raise MacgenError(f"{shapes} do not fit; accepted are (..., M, K) and (..., K, N)")
    sizes = {"m": a[-2], "k": a[-1], "n": b[-1]}
    labels = {"a": ["m", "k"], "b": ["k", "n"], "out": ["m", "n"]}
    for axis in range(3, max(len(a), len(b)) + 1):
        pair = {which: shape[-axis] for which, shape in (("a", a), ("b", b)) if len(shape) >= axis}
        label = f"batch{axis}"
        sizes[label] = max(pair.values())
        if set(pair.values()) - {1, sizes[label]}:
            raise MacgenError(f"{shapes} do not broadcast; accepted are equal sizes, or 1")
        for which, size in pair.items():
            if size == sizes[label]:
                labels[which].append(label)
        labels["out"].append(label)
    return contraction_layer(
        name, op, sizes, (labels["a"], labels["b"], labels["out"]), weight=weight, input_gradient=input_gradient
    )


def contraction_layer(
    name: str,
    op: str,
    sizes: Mapping[str, int],
    labels: tuple[Sequence[str], Sequence[str], Sequence[str]],
    *,
    weight: Literal["a", "b"] | None = None,
    input_gradient: bool = True,
) -> Layer:
    """Return a sum of products over labelled dimensions, as in Einstein's notation.

    The product of all sizes is the number of multiply-accumulates of each GEMM, so that the gradient of an operand
    sums over the dimensions that the operand itself has not.

    Parameters:
        name: the layer's.
        op: the layer's `op`.
        sizes: size of each dimension by label.
        labels: the dimensions of the left operand, of the right operand and of the result.
        weight: the operand that holds weights; None: both are activations.
        input_gradient: whether training needs the gradients of the activations.

    Raises:
        MacgenError: a size is not a positive integer.
    """
    check_type("sizes", sizes, Mapping, "a mapping of labels to sizes")
    sizes = {
        label: check_integer(f"size {shown(label)[1:-1]} of layer {shown(name)}", size, 1)
        for label, size in sizes.items()
    }
    check_type("labels", labels, tuple, "a tuple of three sequences of labels")
    if len(labels) != 3 or not all(isinstance(some, Sequence) for some in labels):
        raise MacgenError(f"labels {shown(labels)} of layer {shown(name)} are not those of two operands and a result")
    if unknown := [label for some in labels for label in some if not isinstance(label, str) or label not in sizes]:
        raise MacgenError(
            f"label {shown(unknown[0])} of layer {shown(name)} has no size; accepted are {shown([*sizes])}"
        )
    if weight is not None:
        check_choice("weight", weight, ("a", "b"))
    input_gradient = check_flag("input_gradient", input_gradient)
    macs = math.prod(sizes.values())
    a, b, out = (frozenset(some) for some in labels)

    def gemm(kind: Kind, left: frozenset[str], right: frozenset[str], result: frozenset[str]) -> Gemm:
        outputs, rows, cols = (
            math.prod(sizes[label] for label in of) for of in (result, result & left - right, result & right - left)
        )
        return Gemm(kind, macs // outputs, outputs, rows=rows, cols=cols)

    # Weights are the right matrix: so results and gradients have a row for each of the activations' rows.
    activations, other = (b, a) if weight == "a" else (a, b)
    gemms = [gemm("forward", activations, other, out)]
    if input_gradient:
        gemms.append(gemm("backward", out, other, activations))
    if weight is not None:
        gemms.append(gemm("gradient", activations, out, other))
    elif input_gradient:
        gemms.append(gemm("backward", a, out, b))
    return Layer(name, op, tuple(gemms))


def _check_texts(**texts: object) -> None:
    for field_name, text in texts.items():
        check_type(field_name, text, str, "a text")


def _check_members(field: str, values: Any, kind: type, count: int | None = None, none: bool = False) -> None:
    """Refuse what is no tuple of members of a type (with `none` of these and None), of so many if `count` is given."""
    members = isinstance(values, tuple) and count in (None, len(values))
    if members and all(isinstance(value, kind) or (none and value is None) for value in values):
        return
    number = "" if count is None else f"{count} "
    what = f"{number}{kind.__name__}{' or None' * none}"
    raise MacgenError(f"{field} {shown(values)} are of other types; accepted is a tuple of {what}")


def _sizes(field: str, sizes: Sequence[int]) -> tuple[int, ...]:
    check_type(field, sizes, Sequence, "a sequence of integers")
    return tuple(check_integer(field, size, 1) for size in sizes)
