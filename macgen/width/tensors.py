"""Per-tensor fixed point: the formats of every tensor of a layer, from what was measured of a training.

The criteria are those of Sakr and Shanbhag, ICLR 2019 (arXiv 1812.11732); `macgen.width.formulas.tensors` has them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

from macgen.errors import MacgenError, check_choice, check_integer, check_type, is_real, shown
from macgen.network.gemm import KINDS, Kind
from macgen.numerics import FixedFormat
from macgen.spec import MacSpec
from macgen.spec_fields import MAX_OPERAND_WIDTH
from macgen.width import bounds
from macgen.width.formulas import tensors as criteria
from macgen.width.goal import Sum
from macgen.width.planned_row import PlannedRow, rows_of
from macgen.width.tensor_statistics import MAX_EXPONENT, SCHEMA, LayerStatistics, Statistics, checked_lengths

Tensor = Literal["weights", "activations", "weight_gradients", "activation_gradients", "accumulators"]
TENSORS: tuple[Tensor, ...] = get_args(Tensor)

MISMATCH = 1 / 400
"""Default limit of the bound on how often the quantised network answers otherwise: the authors' 3 bits follow."""

MAX_UPDATE_BITS = 53
"""Of a master copy, which an optimizer has in float64."""


@dataclass(frozen=True, kw_only=True)
class PlannedTensors:
    """The formats of a layer's tensors.

    Attributes:
        name, op, sizes, lengths: of the layer; sizes are elements of weights and inputs, and multiply-accumulates.
        weights, activations: of the operands of the forward GEMM.
        weight_gradients: of the results of the gradient GEMM.
        activation_gradients: of the outputs' gradient, which both backward GEMMs take.
        accumulators: of the weights' updates: what is below half a step of a weight, and a sign.
    """

    name: str
    op: str
    sizes: tuple[int, int, int]
    lengths: Mapping[Kind, int]
    weights: FixedFormat
    activations: FixedFormat
    weight_gradients: FixedFormat
    activation_gradients: FixedFormat
    accumulators: FixedFormat

    def __post_init__(self) -> None:
        where = f"of layer {shown(self.name)}"
        for tensor in TENSORS:
            fmt = getattr(self, tensor)
            check_type(f"{tensor} {where}", fmt, FixedFormat, "a fixed-point format")
            if tensor != "accumulators" and fmt.width > MAX_OPERAND_WIDTH:
                raise MacgenError(
                    f"{tensor} {where} need {fmt} of {fmt.width} bits; accepted are up to {MAX_OPERAND_WIDTH}"
                )
            if tensor != "activations" and not fmt.signed:
                raise MacgenError(f"{tensor} {fmt} {where} is unsigned; accepted are signed formats")
        object.__setattr__(self, "lengths", checked_lengths(self.lengths, where))
        master = self.master
        if master.width > MAX_UPDATE_BITS:
            raise MacgenError(
                f"master copy {where} needs {master} of {master.width} bits; accepted are up to {MAX_UPDATE_BITS}"
            )

    @property
    def master(self) -> FixedFormat:
        """The weight with its accumulator: the format in which updates are added up."""
        finest = max(self.weights.frac_bits, self.accumulators.frac_bits)
        return _format(self.weights.int_bits, finest, True, f"master copy of layer {shown(self.name)}")

    def spec(self, kind: Kind) -> MacSpec:
        """Return a GEMM's array: sums are exact, and weight gradients are rounded to nearest once, at the end.

        Parameters:
            kind: of the GEMM.
        """
        a, b, out = {
            "forward": (self.activations, self.weights, None),
            "backward": (self.activation_gradients, self.weights, None),
            "gradient": (self.activation_gradients, self.activations, self.weight_gradients),
        }[kind]
        acc = bounds.exact_format(a, b, self.lengths[kind])
        return MacSpec(a=a, b=b, acc=acc, out=out, rounding="rtz", outer_rounding="rne")

    @property
    def derived(self) -> dict[str, Any]:
        """What follows from the formats, as values that JSON has: the master copy, and each GEMM's array."""
        gemms = {}
        for kind in self.lengths:
            spec = self.spec(kind)
            formats = {name: str(getattr(spec, name)) for name in ("a", "b", "acc")}
            gemms[kind] = {**formats, "out": None if spec.out is None else str(spec.out)}
        return {"master": str(self.master), "gemms": gemms}

    @property
    def bits(self) -> criteria.LayerBits:
        """Sizes and bits, of which costs are made."""
        return criteria.LayerBits(
            *self.sizes,
            weight=self.weights.width,
            activation=self.activations.width,
            weight_gradient=self.weight_gradients.width,
            activation_gradient=self.activation_gradients.width,
            accumulator=self.accumulators.width,
        )


@dataclass(frozen=True, kw_only=True)
class TensorPlan:
    """Formats of all tensors of a network's training.

    Attributes:
        network, batch, learning_rate: as of the `Statistics`.
        layers: in the order of computation.
    """

    network: str
    batch: int
    learning_rate: float
    layers: tuple[PlannedTensors, ...]

    @cached_property
    def rows(self) -> tuple[PlannedRow, ...]:
        """The GEMMs and their arrays."""
        return tuple(
            PlannedRow(layer.name, kind, Sum(length=layer.lengths[kind]), layer.spec(kind), layer.op)
            for layer in self.layers
            for kind in KINDS
            if kind in layer.lengths
        )

    @property
    def masters(self) -> dict[str, FixedFormat]:
        """The formats in which updates are added up, by the name of the parameter: for `macgen.nn.Optimizer`."""
        return {f"{layer.name}.weight" if layer.name else "weight": layer.master for layer in self.layers}

    @property
    def costs(self) -> criteria.Costs:
        """What training costs."""
        return criteria.costs([layer.bits for layer in self.layers])

    @property
    def float_costs(self) -> criteria.Costs:
        """What it costs in float32."""
        return criteria.costs([criteria.LayerBits.of_float32(*layer.sizes) for layer in self.layers])

    def spec(self, layer: str | None = None) -> MacSpec:
        """Return the array for a GEMM (`NAME:KIND`), or one for all GEMMs of a layer, or of all layers.

        Fixed point is integers with a place that nobody but the reader knows. So one array for several formats takes
        their codes as integers, and gives exact sums of codes; what rounds them to a gradient's format comes after it.

        Parameters:
            layer: a layer's name, or `NAME:KIND`; None: all layers.

        Raises:
            MacgenError: there is no such layer.
        """
        rows = rows_of(self.rows, layer)
        specs = list(dict.fromkeys(row.spec for row in rows))
        if len(specs) == 1:
            return specs[0]
        formats = {field: [getattr(spec, field) for spec in specs] for field in ("a", "b", "acc")}
        a, b = _of_codes(formats["a"]), _of_codes(formats["b"])
        # The widest operands may come from different GEMMs, so no row's accumulator need hold their product.
        acc = _of_codes([*formats["acc"], bounds.exact_format(a, b, 1)])
        return MacSpec(a=a, b=b, acc=acc, rounding="rtz")

    def sums(self, layer: str | None = None) -> tuple[Sum, ...]:
        """Return the dot products of a layer, or of all; parameters and errors of `spec`."""
        return tuple(row.dot for row in rows_of(self.rows, layer))

    def remarks(self, layer: str | None = None) -> tuple[str, ...]:
        """Return what is to be known of `spec`, a sentence (without its full stop) each."""
        rows = rows_of(self.rows, layer)
        if len({row.spec for row in rows}) == 1:
            return ()
        return (
            f"One array for the codes of {len(rows)} GEMMs: it takes and gives integers, and weight gradients are "
            f"rounded after it; --layer NAME:KIND is the array of one GEMM",
        )

    def fewer(self, tensor: Tensor, bits: int) -> "TensorPlan":
        """Return the plan with fewer bits in all tensors of a kind: coarser steps, the same ranges, a bit at least.

        Parameters:
            tensor: the kind.
            bits: how many.

        Raises:
            MacgenError: there is no such kind, or the bits are no integer from 0.
        """
        check_choice("tensor", tensor, TENSORS)
        bits = check_integer("bits", bits, 0)

        def coarser(layer: PlannedTensors) -> PlannedTensors:
            fmt: FixedFormat = getattr(layer, tensor)
            narrow = replace(fmt, frac_bits=fmt.frac_bits - min(bits, fmt.width - 1))
            changes: dict[str, Any] = {tensor: narrow}
            if tensor == "weights":  # what they lose, their accumulators have to hold
                changes["accumulators"] = replace(layer.accumulators, int_bits=-narrow.frac_bits)
            return replace(layer, **changes)

        return replace(self, layers=tuple(map(coarser, self.layers)))

    @property
    def derived(self) -> dict[str, Any]:
        """What follows from the layers, as values that JSON has: the costs."""
        return {"costs": asdict(self.costs), "float_costs": asdict(self.float_costs)}

    def to_json(self) -> str:
        """Return the plan as JSON, which `macgen build --plan` and `macgen.nn.convert` read."""
        layers = []
        for layer in self.layers:
            sizes = dict(zip(("weights", "activations", "macs"), layer.sizes, strict=True))
            layers.append(
                {"name": layer.name, "op": layer.op, "sizes": sizes, "lengths": dict(layer.lengths)}
                | {"formats": {tensor: str(getattr(layer, tensor)) for tensor in TENSORS}}
                | layer.derived
            )
        values = {
            "schema": SCHEMA,
            "plan": "per-tensor",
            "network": self.network,
            "batch": self.batch,
            "learning_rate": self.learning_rate,
            "layers": layers,
            **self.derived,
        }
        return json.dumps(values, indent=2) + "\n"


def plan_tensors(found: Statistics, *, mismatch: float = MISMATCH, least_bits: int | None = None) -> TensorPlan:
    """Choose the formats of all tensors by the five criteria.

    Values are taken from zero or, where there are negative ones, symmetrically, up to a power of two. A gain counts in
    units of a tensor that spans 2, as the authors' do.

    Parameters:
        found: what was measured.
        mismatch: limit of the bound on how often the quantised network answers otherwise, 2^-200 to 1.
        least_bits: of the tensor with the smallest noise gain; None: as the limit asks for.

    Raises:
        MacgenError: an argument is refused, or a tensor would need more bits than operands have.
    """
    check_type("statistics", found, Statistics, "a Statistics, such as macgen.nn.measure returns")
    if not is_real(mismatch) or not 2.0**-MAX_EXPONENT <= mismatch <= 1:
        raise MacgenError(f"mismatch {shown(mismatch)} is not from 2^-{MAX_EXPONENT} to 1")
    outlines = [(_weights(layer), _activations(layer)) for layer in found.layers]
    gains = [
        gain * 4.0 ** (span - 1)
        for layer, (w, a) in zip(found.layers, outlines, strict=True)
        for gain, (span, _) in ((layer.weight_gain, w), (layer.activation_gain, a))
    ]
    if not any(gains):
        raise MacgenError("statistics have no noise gain above 0; accepted are those of a network whose outputs differ")
    smallest = min(gain for gain in gains if gain > 0)
    gains = [max(gain, smallest) for gain in gains]  # of what nothing depends on, few bits do
    if least_bits is None:
        least_bits = criteria.least_bits(gains, mismatch)
    else:
        least_bits = check_integer("least_bits", least_bits, 1, MAX_OPERAND_WIDTH)
    bits = [least_bits + more for more in criteria.offsets(gains)]
    layers = [
        _planned(
            layer,
            _fixed(bits[2 * number], *w, f"weights of layer {shown(layer.name)}"),
            _fixed(bits[2 * number + 1], *a, f"activations of layer {shown(layer.name)}"),
            found.learning_rate,
        )
        for number, (layer, (w, a)) in enumerate(zip(found.layers, outlines, strict=True))
    ]
    return TensorPlan(network=found.network, batch=found.batch, learning_rate=found.learning_rate, layers=tuple(layers))


def _planned(
    layer: LayerStatistics, weights: FixedFormat, activations: FixedFormat, learning_rate: float
) -> PlannedTensors:
    where = f"of layer {shown(layer.name)}"
    for field in ("weight_gradient_least", "activation_gradient_largest", "singular_value"):
        if getattr(layer, field) <= 0:
            raise MacgenError(
                f"{field} {where} is 0, so its gradients vanish; accepted are layers that learn throughout the training"
            )
    reach = criteria.gradient_range(layer.weight_gradient_largest, criteria.WEIGHT_GRADIENT_CLIPPING)
    step = criteria.weight_gradient_step(layer.weight_gradient_least)
    of_activations = criteria.gradient_range(layer.activation_gradient_largest, criteria.ACTIVATION_GRADIENT_CLIPPING)
    fine = criteria.activation_gradient_step(step, layer.singular_value)
    bits = criteria.bits_between(reach, step)
    update = criteria.update_step(learning_rate, reach, bits)
    accumulated = criteria.accumulator_bits(weights.width, update, weights.int_bits - 1)
    return PlannedTensors(
        name=layer.name,
        op=layer.op,
        sizes=(layer.weights, layer.activations, layer.macs),
        lengths=layer.lengths,
        weights=weights,
        activations=activations,
        weight_gradients=_signed(reach, bits, f"weight_gradients {where}"),
        activation_gradients=_signed(
            of_activations, criteria.bits_between(of_activations, fine), f"activation_gradients {where}"
        ),
        # Half a step of the weight is its range, so its highest bit is one below the weight's last.
        accumulators=_format(-weights.frac_bits, weights.frac_bits + accumulated, True, f"accumulators {where}"),
    )


def _weights(layer: LayerStatistics) -> tuple[int, bool]:
    """Return the exponent of what weights span, and whether they have a sign: they have."""
    return 1 + criteria.ceil_log2(layer.weight_largest or 1.0), True


def _activations(layer: LayerStatistics) -> tuple[int, bool]:
    signed = layer.activation_least < 0
    largest = max(layer.activation_largest, -layer.activation_least) or 1.0
    return signed + criteria.ceil_log2(largest), signed


def _fixed(bits: int, span: int, signed: bool, what: str) -> FixedFormat:
    """Return the format of so many bits whose values span a power of two."""
    return _format(span, max(bits, 1 + signed) - span, signed, what)


def _signed(reach: int, bits: int, what: str) -> FixedFormat:
    """Return the format of so many bits from -2^reach to 2^reach."""
    return _format(reach + 1, bits - reach - 1, True, what)


def _format(int_bits: int, frac_bits: int, signed: bool, what: str) -> FixedFormat:
    """Return a format; where there is none, the sentence names the tensor and its layer."""
    try:
        return FixedFormat(int_bits, frac_bits, signed)
    except MacgenError as error:
        raise MacgenError(f"{what}: {error}") from None


def _of_codes(formats: Sequence[FixedFormat]) -> FixedFormat:
    """Return the integers that have the codes of all formats."""
    signed = any(fmt.signed for fmt in formats)
    return FixedFormat(max(fmt.width + (signed and not fmt.signed) for fmt in formats), 0, signed)
