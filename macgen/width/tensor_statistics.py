"""What was measured of the tensors of a training, from which their fixed-point formats follow."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from macgen.errors import MacgenError, check_choice, check_integer, check_type, is_real, shown
from macgen.network.gemm import KINDS, Kind

SCHEMA = 1
"""Of files of statistics and of plans of tensors."""


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
            self.__dict__[field] = check_integer(f"{field} {where}", getattr(self, field), 1)
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
            value = getattr(self, field)
            if not is_real(value) or value - value != 0 or (value < 0 and not signed):
                accepted = "a finite number" if signed else "a finite number from 0"
                raise MacgenError(f"{field} {shown(value)} {where} is not {accepted}")
            self.__dict__[field] = float(value)
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
        self.__dict__["batch"] = check_integer("batch", self.batch, 1)
        if not is_real(self.learning_rate) or not 0 < self.learning_rate < float("inf"):
            raise MacgenError(f"learning_rate {shown(self.learning_rate)} is not a positive number")
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
    return {kind: check_integer(f"length {kind} {where}", given[kind], 1) for kind in KINDS if kind in given}
