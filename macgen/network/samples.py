"""Sample inputs: read from NumPy's files and fitted to a model's inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from macgen.errors import MacgenError, check_path, shown
from macgen.network.numpy_file import NumpyFile
from macgen.network.onnx_file import onnx_module
from macgen.network.onnx_inputs import Inputs, graph_inputs, size_inputs
from macgen.network.symbolic_size import parts, symbolic_size

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

MAX_SAMPLE_BYTES = 1 << 32

Samples = Mapping[str, NDArray[Any]] | NDArray[Any]
"""One array per input by name, or the array of the only input; the first dimension counts examples."""


def load_samples(path: str | Path) -> Samples:
    """Return the array of an .npy file, or the arrays of an .npz file by name; nothing is unpickled.

    Raises:
        MacgenError: the file cannot be read, is none of the two, holds other than numbers, or more than 4 GiB.
    """
    return read_arrays("data", path)


def read_arrays(field: str, path: str | Path) -> Samples:
    """Return the same of a file that sentences call by another field than `data`."""
    file = NumpyFile(check_path(field, path), "an .npy or .npz of NumPy with numbers", field)
    if file.unpacked_bytes > MAX_SAMPLE_BYTES:
        raise MacgenError(f"{file.name} holds {file.unpacked_bytes} bytes; accepted are at most {MAX_SAMPLE_BYTES}")
    if not file.names:
        raise file.refused("holds no arrays")
    arrays = {name: file.array(name).read() for name in file.names}
    return arrays if file.packed else arrays[""]


def fit_samples(model: ModelProto, name: str, samples: Samples) -> tuple[Inputs, list[dict[str, NDArray[Any]]]]:
    """Return the sizes of a model's inputs on samples, and what it is given in each run.

    A model with a fixed batch runs several times, each time on the next examples.

    Parameters:
        model: as `read_model` returns it.
        name: how sentences call the model.
        samples: the inputs.

    Raises:
        MacgenError: the samples do not fit the inputs' names, shapes or types.
    """
    inputs = graph_inputs(model)
    names = [value.name for value in inputs]
    if not isinstance(samples, Mapping):
        if len(names) != 1:
            raise MacgenError(f"samples are one array, but model {name} has inputs {shown(names)}; accepted are all")
        samples = {names[0]: samples}
    if set(samples) != set(names):
        raise MacgenError(f"samples are for inputs {shown(sorted(samples))}; accepted are exactly {shown(names)}")
    arrays = {value.name: _of_input_type(np.asarray(samples[value.name]), value) for value in inputs}
    dims: dict[str, int] = {}
    symbols: dict[str, tuple[str, int]] = {}
    batched = []
    for value in inputs:
        shape, stated = arrays[value.name].shape, value.type.tensor_type.shape.dim
        if not value.type.tensor_type.HasField("shape"):
            raise MacgenError(f"input {shown(value.name)} of model {name} has no shape; accepted are inputs with one")
        if len(shape) != len(stated):
            accepted = {0: "is a single number", 1: "is 1 axis"}.get(len(stated), f"are {len(stated)} axes")
            raise MacgenError(f"samples of input {shown(value.name)} have shape {shape}; accepted {accepted}")
        for axis, (size, dim) in enumerate(zip(shape, stated, strict=True)):
            if not dim.HasField("dim_value") or dim.dim_value in (0, -1):
                dims[f"{value.name}:{axis}"] = size
                key, first = symbols.setdefault(dim.dim_param, (value.name, size))
                if dim.dim_param not in ("", "?", "-1") and first != size:
                    raise MacgenError(
                        f"samples of input {shown(value.name)} have {size} where those of {shown(key)} have {first}; "
                        f"accepted are equal sizes of dimension {shown(dim.dim_param)}"
                    )
            elif (
                axis == 0
                and size % dim.dim_value == 0
                and dim.dim_value == inputs[0].type.tensor_type.shape.dim[0].dim_value
            ):
                batched.append(value.name)
            elif size != dim.dim_value:
                raise MacgenError(
                    f"samples of input {shown(value.name)} have shape {shape}; accepted is {dim.dim_value} in place of "
                    f"{size} at axis {axis}"
                )
    sizes = {symbol: size for symbol, (_, size) in symbols.items()}
    for symbol, (key, size) in symbols.items():
        others = {other: sizes[other] for other in parts(symbol) if other in sizes}
        if others and (expected := symbolic_size(symbol, others)) not in (None, size):
            raise MacgenError(
                f"samples of input {shown(key)} have {size} where {shown(symbol)} is {expected} by those of the other "
                f"inputs; accepted are {expected}"
            )
    sized = size_inputs(model, name, None, dims)
    runs = {arrays[key].shape[0] // sized.shapes[key][0] for key in batched}
    if len(runs) > 1 or 0 in runs or any(0 in shape for shape in sized.shapes.values()):
        shapes = {key: x.shape for key, x in arrays.items()}
        raise MacgenError(f"samples have shapes {shown(shapes)}; accepted is one number of examples, at least one")
    repeat = runs.pop() if runs else 1
    feeds = [
        {
            key: x[run * sized.shapes[key][0] : (run + 1) * sized.shapes[key][0]] if key in batched else x
            for key, x in arrays.items()
        }
        for run in range(repeat)
    ]
    return Inputs(sized.shapes, sized.dimensions, sized.batch, repeat), feeds


def _of_input_type(x: NDArray[Any], value: ValueInfoProto) -> NDArray[Any]:
    """Return samples in the type of an input, none of them changed but rounded to a narrower float."""
    name = f"samples of input {shown(value.name)}"
    if x.dtype.kind not in "biuf":
        raise MacgenError(f"{name} are of type {x.dtype}; accepted are numbers")
    if not np.isfinite(x).all():
        raise MacgenError(f"{name} hold infinities or NaN; accepted are finite numbers")
    helper = onnx_module("onnx.helper")
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
    except (KeyError, ValueError, TypeError):
        dtype = np.dtype(object)
    if dtype.kind not in "biufV":  # V: the small floats and bfloat16
        raise MacgenError(f"input {shown(value.name)} takes no numbers; accepted to be run are models that take some")
    with np.errstate(all="ignore"):
        converted = x.astype(dtype)
        if dtype.kind in "biu" and not np.array_equal(converted, x):
            raise MacgenError(f"{name} hold values that are no {dtype}; accepted are such integers")
    return converted


def count_of(shape: tuple[int, ...] | None) -> int:
    """Return how many elements a shape has; none if it is not known."""
    return 0 if shape is None else math.prod(shape)
