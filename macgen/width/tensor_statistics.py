"""What was measured of the tensors of a training, from which their fixed-point formats follow."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from macgen.errors import MAX_COUNT, MacgenError, check_choice, check_integer, check_type, is_real, shown
from macgen.network.gemm import KINDS, Kind

SCHEMA = 1
"""Of files of statistics and of plans of tensors."""

MAX_EXPONENT = 200
"""Magnitudes are 0 or from 2^-200 to 2^200: beyond what float32 has, and far from where products of them leave float64.
"""


@dataclass(frozen=True, kw_only=True)
class LayerStatistics:
    """What is known of a layer and its tensors after a training in float32.

    Attributes:
        name: of the layer.
        op: its type.
        weights, activations, macs: elements of its weights and, for one example, of its input, and multiply-accumulates
            of the forward GEMM.
        lengths: products in a sum of each GEMM, of a whole batch.
        weight_gain, activation_gain: noise gains E of weights and inputs, in units of their own squared step
            (`macgen.width.formulas.tensors.offsets`); 0: nothing depends on them.
        weight_largest: largest magnitude of a weight.
        activation_least, activation_largest: of the inputs.
        weight_gradient_least, weight_gradient_largest: standard deviations of the weights' gradient, over training.
        activation_gradient_largest: the largest standard deviation of the outputs' gradient.
        singular_value: largest one of the squared Jacobian of the weights' gradient by the outputs' gradient.

    Raises:
        MacgenError: a field is no number, or out of range.
    """

    name: str
    op: str
    weights: int
    activations: int
    macs: int
    lengths: Mapping[Kind, int]
    weight_gain: float
    activation_gain: float
    weight_largest: float
    activation_least: float
    activation_largest: float
    weight_gradient_least: float
    weight_gradient_largest: float
    activation_gradient_largest: float
    singular_value: float

    def __post_init__(self) -> None:
        check_type("name", self.name, str, "a text")
        check_type("op", self.op, str, "a text")
        where = f"of layer {shown(self.name)}"
        for field in ("weights", "activations", "macs"):
            self.__dict__[field] = check_integer(f"{field} {where}", getattr(self, field), 1, MAX_COUNT)
        object.__setattr__(self, "lengths", checked_lengths(self.lengths, where))
        for field, signed in (
            ("weight_gain", False),
            ("activation_gain", False),
            ("weight_largest", False),
            ("activation_least", True),
            ("activation_largest", True),
            ("weight_gradient_least", False),
            ("weight_gradient_largest", False),
            ("activation_gradient_largest", False),
            ("singular_value", False),
        ):
            self.__dict__[field] = checked_magnitude(field, getattr(self, field), where, signed=signed)
        for least, most in (
            ("activation_least", "activation_largest"),
            ("weight_gradient_least", "weight_gradient_largest"),
        ):
            if getattr(self, least) > getattr(self, most):
                raise MacgenError(
                    f"{least} {getattr(self, least):g} {where} is above {most} {getattr(self, most):g}; accepted is at "
                    f"most that"
                )


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What was measured of a network's training in float32.

    Attributes:
        network: its name.
        batch: examples of a step.
        learning_rate: the smallest one of the training.
        layers: in the order of computation.

    Raises:
        MacgenError: a field is refused.
    """

    network: str
    batch: int
    learning_rate: float
    layers: tuple[LayerStatistics, ...]

    def __post_init__(self) -> None:
        check_type("network", self.network, str, "a text")
        self.__dict__["batch"] = check_integer("batch", self.batch, 1, MAX_COUNT)
        self.__dict__["learning_rate"] = checked_magnitude("learning_rate", self.learning_rate, zero=False)
        if not self.layers:
            raise MacgenError("layers are none; accepted is at least one")
        for layer in self.layers:
            check_type("layers", layer, LayerStatistics, "a tuple of LayerStatistics")
        names = [layer.name for layer in self.layers]
        if twice := [name for name in names if names.count(name) > 1]:
            raise MacgenError(f"layer {shown(twice[0])} is there twice; accepted are different names")

    def to_json(self) -> str:
        """Return the statistics as JSON, which `macgen plan --per-tensor` reads."""
        return json.dumps({"schema": SCHEMA, "statistics": "per-tensor", **asdict(self)}, indent=2) + "\n"


def checked_magnitude(field: str, value: object, where: str = "", *, signed: bool = False, zero: bool = True) -> float:
    """Return a number that is 0 or of a magnitude from 2^-200 to 2^200.

    Parameters:
        field: its name.
        value: the number.
        where: what it is of, for the sentence.
        signed: whether it may be negative.
        zero: whether it may be 0.

    Raises:
        MacgenError: it is none.
    """
    if is_real(value):
        try:
            number = float(value)  # type: ignore[arg-type]
        except OverflowError:  # an integer beyond float64
            number = float("inf")
        if (zero and number == 0) or (
            2.0**-MAX_EXPONENT <= abs(number) <= 2.0**MAX_EXPONENT and (signed or number > 0)
        ):
            return number
    of, lowest = f" {where}" if where else "", "of a magnitude from" if signed else "from"
    raise MacgenError(
        f"{field} {shown(value)}{of} is not {'0 or ' if zero else ''}{lowest} 2^-{MAX_EXPONENT} to 2^{MAX_EXPONENT}"
    )


def checked_lengths(given: Any, where: str) -> dict[Kind, int]:
    """Return the products in a sum of each of a layer's GEMMs.

    Raises:
        MacgenError: the forward GEMM has none, or one is no positive integer.
    """
    check_type(f"lengths {where}", given, Mapping, "a mapping of kinds of GEMMs to lengths")
    for kind in given:
        check_choice(f"lengths {where}", kind, KINDS)
    if "forward" not in given:
        raise MacgenError(f"lengths {where} lack forward; accepted are those of the layer's GEMMs")
    return {kind: check_integer(f"length {kind} {where}", given[kind], 1, MAX_COUNT) for kind in KINDS if kind in given}
