"""The sizes of a model's inputs: as the file fixes them, and as --batch and --dim give the open ones."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from macgen.errors import MacgenError, check_integer, escaped, shown
from macgen.network.gemm import MAX_BATCH
from macgen.network.onnx_file import MAX_DIMENSION, checked_shape
from macgen.network.symbolic_size import parts, symbolic_size

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto
    from onnx.onnx_ml_pb2 import TensorShapeProto

_LONGEST = 300  # characters of a command line in a sentence


@dataclass(frozen=True)
class Inputs:
    """The inputs with all sizes known.

    Attributes:
        shapes: of each tensor that the network is given.
        dimensions: sizes of the symbolic dimensions.
        batch: examples in `shapes`.
        repeat: how many times as many examples were asked for, of a model that fixes its batch.
    """

    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    dimensions: dict[str, int] = field(default_factory=dict)
    batch: int = 1
    repeat: int = 1


def graph_inputs(model: ModelProto) -> list[ValueInfoProto]:
    """Return the inputs that are tensors and no weights (old files list the weights among the inputs)."""
    weights = {tensor.name for tensor in model.graph.initializer}
    weights |= {sparse.values.name for sparse in model.graph.sparse_initializer}
    return [value for value in model.graph.input if value.name not in weights and value.type.HasField("tensor_type")]


def size_inputs(model: ModelProto, name: str, batch: int | None, dims: Mapping[str, int]) -> Inputs:
    """Return the sizes of all inputs.

    A size that the file gives as 0 or -1 is open, as exporters mean it. The first dimension of the first input counts
    as the batch, and so does that of every other input that has the same there. If it is open, `batch` is its size. If
    it is fixed, say to 1, all shapes stay as the file has them, and a `batch` that is a multiple is a matter of
    counting (`Inputs.repeat`): so models whose inner shapes hold the batch as a constant serve as well. A dimension
    that is calculated from named ones, `past + sequence`, follows from these unless `dims` has it by its own name.

    Parameters:
        model: as `read_model` returns it.
        name: how sentences call the model.
        batch: examples; None: as the file or `dims` says.
        dims: sizes by the name of a symbolic dimension, or by `input:axis`, which also replaces a fixed size.

    Raises:
        MacgenError: an open dimension has no size, a size is no integer in range, a name is unknown, or the batch is
            no multiple of the fixed one.
    """
    if batch is not None:
        batch = check_integer("batch", batch, 1, MAX_BATCH)
    inputs = graph_inputs(model)
    for value in inputs:
        if not value.type.tensor_type.HasField("shape"):
            raise MacgenError(f"input {shown(value.name)} of model {name} has no shape; accepted are inputs with one")
    axes = {
        f"{value.name}:{axis}": dim for value in inputs for axis, dim in enumerate(value.type.tensor_type.shape.dim)
    }
    symbols = {symbol for dim in axes.values() if (symbol := _symbol(dim))}
    parts_of = {symbol: parts(symbol) for symbol in symbols}
    names = frozenset[str]().union(*parts_of.values())
    for key, size in dims.items():
        if key not in symbols and key not in axes and key not in names:
            known = ", ".join([*sorted(symbols), *axes]) or "none"
            raise MacgenError(f"dim {shown(key)} is no dimension of model {name}; accepted are {shown(known, 300)}")
        check_integer(f"dim {shown(key)} of", size, 0, MAX_DIMENSION)
    dims = {key: int(size) for key, size in dims.items()}
    sizes = {key: _size(dim) if (given := _given(key, dim, dims)) is None else given for key, dim in axes.items()}
    first = next((f"{value.name}:0" for value in inputs if value.type.tensor_type.shape.dim), None)
    open_batch = first is not None and sizes[first] is None
    if first is not None and open_batch and batch is not None:
        for key, dim in axes.items():
            if key.endswith(":0") and sizes[key] is None and _symbol(dim) == _symbol(axes[first]):
                sizes[key] = batch
    named = {name: dims[name] for name in names if name in dims}
    for key, dim in axes.items():
        if _symbol(dim) and (size_here := sizes[key]) is not None:
            named[_symbol(dim)] = size_here
    for key, dim in axes.items():
        if sizes[key] is None and parts_of.get(_symbol(dim)):
            sizes[key] = symbolic_size(_symbol(dim), named)
    missing = [_symbol(dim) or key for key, dim in axes.items() if sizes[key] is None]
    # What is calculated from other dimensions follows from these.
    missing = [key for key in missing if not parts_of.get(key) or not parts_of[key] <= symbols] or missing
    if missing:
        hint = " (or --batch SIZE for the first)" if open_batch and batch is None else ""
        options = " ".join(f"--dim {shlex.quote(f'{key}=SIZE')}" for key in dict.fromkeys(missing))
        if len(options) > _LONGEST:
            options = f"{options[:_LONGEST]}..."
        raise MacgenError(f"model {name} has inputs of open size; accepted with {escaped(options)}{hint}")
    shapes = {
        value.name: checked_shape(
            (sizes[f"{value.name}:{axis}"] or 0 for axis in range(len(value.type.tensor_type.shape.dim))),
            f"input {shown(value.name)} of model {name}",
        )
        for value in inputs
    }
    here = (sizes[first] if first is not None else None) or 1
    if batch is not None and batch % here:
        raise MacgenError(f"batch {batch} is not a multiple of {here}, which model {name} fixes")
    dimensions = named | {symbol: sizes[key] or 0 for key, dim in axes.items() if (symbol := _symbol(dim))}
    return Inputs(shapes, dimensions, here, 1 if batch is None else batch // here)


def _symbol(dim: TensorShapeProto.Dimension) -> str:
    """Return the name of a symbolic dimension that says which other dimensions are as large; some are all `?`."""
    return "" if dim.HasField("dim_value") or dim.dim_param in ("?", "-1") else dim.dim_param


def _size(dim: TensorShapeProto.Dimension) -> int | None:
    return dim.dim_value if dim.HasField("dim_value") and dim.dim_value not in (0, -1) else None


def _given(key: str, dim: TensorShapeProto.Dimension, dims: Mapping[str, int]) -> int | None:
    return dims[key] if key in dims else dims.get(_symbol(dim)) if _symbol(dim) else None
