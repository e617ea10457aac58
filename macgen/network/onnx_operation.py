"""A single operation of a graph as the rules that count it see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from macgen.errors import MacgenError, shown
from macgen.network.gemm import Layer
from macgen.network.weight_sums import Outputs

if TYPE_CHECKING:
    from onnx import NodeProto

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Operands:
    """Where an operation takes its two operands from.

    Attributes:
        a: index of the activation operand among the inputs (the left one of a matrix product).
        b: index of the other.
        a_zero: index of the first one's zero point; None: it has none.
        b_zero: index of the second one's.
        packed: whether b may be absent, because a then holds both.
        needed: indices of the inputs whose shapes are needed, those of a and b aside; None: of all.
    """

    a: int = 0
    b: int = 1
    a_zero: int | None = None
    b_zero: int | None = None
    packed: bool = False
    needed: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Operation:
    """A node whose shapes are known, as far as they are needed; they have no zeros in a, b and the result.

    Attributes:
        node: the node.
        name: how lists call it.
        a: shape of the activation operand.
        b: shape of the other.
        out: shape of the first result.
        weight: which operand holds weights; None: neither.
        input_gradient: whether training needs the gradients of the activations.
        given: the attributes.
        model: how sentences call the model.
        inputs: shapes of all inputs; None: absent, or not known and not needed.
        constants: which inputs are the same whatever the network is given.
        learned: which other inputs depend on weights.
        order: where a rule sees the weights' axes in another order: the tensor's axis of each.
    """

    node: NodeProto
    name: str
    a: Shape
    b: Shape
    out: Shape
    weight: Literal["a", "b"] | None
    input_gradient: bool
    given: Mapping[str, Any]
    model: str
    inputs: tuple[Shape | None, ...] = ()
    constants: tuple[bool, ...] = ()
    learned: tuple[bool, ...] = ()
    order: tuple[int, ...] | None = None

    def refusal(self, accepted: str) -> MacgenError:
        """Return the error of operands that do not fit each other."""
        return MacgenError(
            f"{self.node.op_type} {shown(self.name)} of model {self.model} cannot have operands of shapes {self.a} and "
            f"{self.b}; accepted are {accepted}"
        )

    def count(self, attribute: str) -> int:
        """Return an attribute that counts something.

        Raises:
            MacgenError: it is absent or no positive integer.
        """
        value = self.given.get(attribute)
        if not isinstance(value, int) or value < 1:
            raise self._wrong(attribute, "positive integers")
        return value

    def integer(self, attribute: str, otherwise: int) -> int:
        """Return an attribute that is an integer; `otherwise` if it is absent.

        Raises:
            MacgenError: it is something else.
        """
        value = self.given.get(attribute, otherwise)
        if not isinstance(value, int):
            raise self._wrong(attribute, "integers")
        return value

    def _wrong(self, attribute: str, accepted: str) -> MacgenError:
        return MacgenError(
            f"{self.node.op_type} {shown(self.name)} of model {self.model} has {attribute} "
            f"{shown(self.given.get(attribute))}; accepted are {accepted}"
        )


Built = tuple[list[Layer], Outputs]
"""An operation's layers, none if it is of an unknown kind, and which of the weights each output sums."""
