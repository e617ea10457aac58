"""What is known of the tensors of a model's graph while it is walked through."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import TypeProto


@dataclass
class Tensors:
    """What is known of the tensors of a graph, by name.

    Attributes:
        types: their ONNX types; absent where nothing is known.
        values: the values of small tensors that do not depend on what the network is given.
        constants: tensors that are the same for all inputs: weights, and what is computed from them alone.
        learned: other tensors that depend on weights, so that training needs their gradient.
        defined: every name that something has made.
    """

    types: dict[str, TypeProto] = field(default_factory=dict)
    values: dict[str, NDArray[Any]] = field(default_factory=dict)
    constants: set[str] = field(default_factory=set)
    learned: set[str] = field(default_factory=set)
    defined: set[str] = field(default_factory=set)

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Return a tensor's shape, or None where a size of it is not known."""
        sizes = sizes_of(self.types.get(name))
        if sizes is None or None in sizes:
            return None
        return tuple(size for size in sizes if size is not None)

    def copy(self) -> Tensors:
        """Return a copy that can be added to alone."""
        return Tensors(dict(self.types), dict(self.values), set(self.constants), set(self.learned), set(self.defined))


def sizes_of(kind: TypeProto | None) -> list[int | None] | None:
    """Return a type's sizes, None where one is not known; None where there is no shape."""
    if kind is None or not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
        return None
    return [
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value != -1 else None
        for dim in kind.tensor_type.shape.dim
    ]
