"""ONNX files as they may be: opened without trust, and never anything outside the model's folder read.

A file is only parsed here. Data in other files is not touched unless `load_external_data` is called.
"""

from __future__ import annotations

import importlib
import math
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from macgen.errors import MacgenError, ToolError, escaped, shown, shown_path

if TYPE_CHECKING:
    from onnx import (
        AttributeProto,
        FunctionProto,
        GraphProto,
        ModelProto,
        NodeProto,
        TensorProto,
        TypeProto,
        ValueInfoProto,
    )

MAX_FILE_BYTES = (1 << 31) - 1  # of one Protocol Buffers message
MAX_NODES = 1 << 20
MAX_DIMENSION = (1 << 31) - 1
MAX_ELEMENTS = 1 << 40
MAX_NAME = 100  # characters

STANDARD_DOMAINS = ("", "ai.onnx")


def onnx_module(name: str = "onnx") -> Any:
    """Return the `onnx` package, or one of its modules by full name.

    Raises:
        ToolError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ToolError("the package onnx, which reads models, is missing: pip install 'macgen[onnx]'") from None


def model_file(path: str | Path) -> Path:
    """Return a path that is a readable file.

    Raises:
        MacgenError: it is missing, a folder, a pipe or a device, or too large.
    """
    try:
        file = Path(path)
        status = file.stat()
    except (OSError, ValueError, TypeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "it is no path"
        raise MacgenError(f"model {shown_path(path)} cannot be read: {reason}; accepted is an ONNX file") from None
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise MacgenError(f"model {shown_path(file)} is {what}; accepted is an ONNX file")
    if status.st_size > MAX_FILE_BYTES:
        raise MacgenError(f"model {shown_path(file)} has {status.st_size} bytes; accepted are at most {MAX_FILE_BYTES}")
    return file


def read_model(path: str | Path) -> ModelProto:
    """Return the parsed model of a file, its local functions written out, its external data left where it is.

    Raises:
        MacgenError: the file cannot be read, is no ONNX model, or holds no graph.
        ToolError: the package onnx is missing.
    """
    file = model_file(path)
    onnx = onnx_module()
    errors = onnx_module("google.protobuf.message")
    name = shown_path(file)
    try:
        model: ModelProto = onnx.ModelProto.FromString(file.read_bytes())
    except OSError as error:
        raise MacgenError(f"model {name} cannot be read: {error.strerror}; accepted is an ONNX file") from None
    except (errors.DecodeError, MemoryError, RecursionError):
        raise MacgenError(f"model {name} is damaged or no ONNX model; accepted is an ONNX file") from None
    if not model.HasField("graph") or not model.graph.node:
        raise MacgenError(f"model {name} holds no graph with nodes; accepted is an ONNX model with one")
    if not model.opset_import:
        raise MacgenError(f"model {name} does not say of which operator set it is; accepted is an undamaged ONNX file")
    _check_texts(model, name)
    if model.functions:
        model = _without_functions(model, name)
    if sum(1 for _ in all_nodes(model.graph)) > MAX_NODES:
        raise MacgenError(f"model {name} has more than {MAX_NODES} nodes; accepted are at most as many")
    return model


def _check_texts(model: ModelProto, name: str) -> None:
    """Refuse text that is no UTF-8: Protocol Buffers leaves that to the reader, and gives such text as bytes."""

    def of_types(values: Iterable[ValueInfoProto]) -> Iterator[str]:
        for value in values:
            yield value.name
            yield from (dim.dim_param for dim in value.type.tensor_type.shape.dim)

    def of_nodes(nodes: Iterable[NodeProto]) -> Iterator[str]:
        for node in nodes:
            yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
            for attribute in node.attribute:
                yield from (attribute.name, attribute.ref_attr_name)
            for graph in subgraphs(node):
                yield from of_graph(graph)

    def of_graph(graph: GraphProto) -> Iterator[str]:
        yield graph.name
        yield from of_types((*graph.input, *graph.output, *graph.value_info))
        yield from of_nodes(graph.node)

    def of_model() -> Iterator[str]:
        yield from (opset.domain for opset in model.opset_import)
        yield from of_graph(model.graph)
        for function in model.functions:
            yield from (function.name, function.domain, *function.input, *function.output, *function.attribute)
            yield from (opset.domain for opset in function.opset_import)
            yield from of_nodes(function.node)
        for tensor in _all_tensors(model.graph):
            yield tensor.name
            for entry in tensor.external_data:
                yield from (entry.key, entry.value)

    try:
        sound = all(isinstance(text, str) for text in of_model())
    except UnicodeDecodeError:
        sound = False
    if not sound:
        raise MacgenError(f"model {name} has names that are no UTF-8; accepted is an undamaged ONNX file")


def opset_versions(model: ModelProto) -> dict[str, int]:
    """Return the version of each operator set that a model imports; the newest known one if it asks for more."""
    newest: int = onnx_module("onnx.defs").onnx_opset_version()
    versions = {
        "" if opset.domain in STANDARD_DOMAINS else opset.domain: max(1, min(opset.version, (1 << 31) - 1))
        for opset in model.opset_import
    }
    versions[""] = min(versions.get("", 1), newest)
    return versions


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """Yield the graphs that a node holds in its attributes (the branches of If, the bodies of Loop and Scan)."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def all_nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """Yield the nodes of a graph and of all graphs within."""
    for node in graph.node:
        yield node
        for inner in subgraphs(node):
            yield from all_nodes(inner)


def attributes(node: NodeProto) -> dict[str, Any]:
    """Return a node's attributes by name as Python values; text as bytes."""
    helper = onnx_module("onnx.helper")

    def value(attribute: AttributeProto) -> Any:
        try:
            return helper.get_attribute_value(attribute)
        except ValueError:  # of a type that this onnx does not know
            return None

    return {attribute.name: value(attribute) for attribute in node.attribute}


def operator_name(node: NodeProto) -> str:
    """Return an operation's name as lists show it: bare in ONNX's own domain, else `domain::name`; printable."""
    return printable(node.op_type if node.domain in STANDARD_DOMAINS else f"{node.domain}::{node.op_type}")


def printable(name: str) -> str:
    """Return a name that terminals and tables show as it is: control characters escaped, the middle of long ones cut.

    Names of up to 100 printable characters stay as they are.
    """
    if len(name) > 2 * MAX_NAME:
        name = name[:MAX_NAME] + name[-MAX_NAME:]  # all that can stay of a name of a gigabyte
    text = escaped(name)
    return text if len(text) <= MAX_NAME else f"{text[: MAX_NAME // 2]}...{text[-MAX_NAME // 2 :]}"


def checked_shape(dimensions: Iterable[int], what: str) -> tuple[int, ...]:
    """Return a shape whose sizes can be meant.

    Parameters:
        dimensions: sizes.
        what: how the sentence calls the tensor.

    Raises:
        MacgenError: a size is negative or beyond 2**31 - 1, or there are more than 2**40 elements.
    """
    shape = tuple(int(size) for size in dimensions)
    for size in shape:
        if not 0 <= size <= MAX_DIMENSION:
            raise MacgenError(f"{what} has a dimension of {size}; accepted are sizes from 0 to {MAX_DIMENSION}")
    if math.prod(shape) > MAX_ELEMENTS:
        raise MacgenError(f"{what} of shape {shown(shape)} has more than 2**40 elements; accepted are at most as many")
    return shape


def tensor_type(element: int, shape: Iterable[int | None] | None) -> TypeProto:
    """Return the type of a tensor; None stands for a size, or a whole shape, that is not known."""
    result: TypeProto = onnx_module("onnx.helper").make_tensor_type_proto(element, None if shape is None else [*shape])
    return result


def load_external_data(model: ModelProto, path: str | Path) -> None:
    """Read the tensors of a model that lie in other files into the model.

    Parameters:
        model: as `read_model` returned it; changed in place.
        path: the model's file; only files in its folder and below are read, after links are followed.

    Raises:
        MacgenError: a file lies outside the folder, is missing or is no regular file, or does not hold the bytes that
            the model says, or everything together is larger than 2 GiB.
    """
    helper = onnx_module("onnx.external_data_helper")
    folder = Path(path).resolve().parent
    room = MAX_FILE_BYTES - Path(path).stat().st_size
    for tensor in _all_tensors(model.graph):
        if not helper.uses_external_data(tensor):
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        what = f"external data {shown(entries.get('location', ''))} of tensor {shown(tensor.name)}"
        data = _external_bytes(folder, entries, what, room)
        room -= len(data)
        tensor.raw_data = data
        del tensor.external_data[:]
        tensor.data_location = tensor.DEFAULT


def _external_bytes(folder: Path, entries: Mapping[str, str], what: str, room: int) -> bytes:
    try:
        file = (folder / entries.get("location", "")).resolve(strict=True)
        if not file.is_relative_to(folder):
            raise MacgenError(f"{what} lies outside the model's folder; accepted are files in it")
        # O_NONBLOCK: a pipe must not make us wait; O_NOFOLLOW: what was resolved must not have become a link.
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, MacgenError):
            raise
        reason = (error.strerror if isinstance(error, OSError) else None) or "it is no path"
        raise MacgenError(f"{what} cannot be read: {reason}; accepted are files in the model's folder") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise MacgenError(f"{what} is no regular file; accepted are files in the model's folder")
    with os.fdopen(descriptor, "rb") as stream:
        try:
            offset = int(entries.get("offset", "0"))
            length = int(entries.get("length", str(status.st_size - offset)))
        except ValueError:
            raise MacgenError(f"{what} has an offset or length that is no integer; accepted are integers") from None
        if not (0 <= offset <= status.st_size and 0 <= length <= status.st_size - offset):
            raise MacgenError(
                f"{what} should hold {shown(length)} bytes from {shown(offset)} on but has {status.st_size}; accepted "
                f"is the file that was saved with the model"
            )
        if length > room:
            raise MacgenError(f"{what} makes the model larger than 2 GiB; accepted to be run are models up to there")
        stream.seek(offset)
        return stream.read(length)


def _all_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    def of_graph(graph: GraphProto) -> Iterator[TensorProto]:
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)

    yield from of_graph(graph)
    for node in all_nodes(graph):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
        for inner in subgraphs(node):
            yield from of_graph(inner)


def _without_functions(model: ModelProto, name: str) -> ModelProto:
    """Return a model in which every call of a local function is the function's nodes."""
    functions = {(f.domain, f.name): f for f in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def inlined_size(graph: GraphProto | FunctionProto, open_calls: frozenset[tuple[str, str]]) -> int:
        total = 0
        for node in graph.node:
            total += 1 + sum(inlined_size(inner, open_calls) for inner in subgraphs(node))
            key = node.domain, node.op_type
            if key not in functions:
                continue
            if key in open_calls:
                raise MacgenError(
                    f"function {shown(node.op_type)} of model {name} calls itself; accepted are functions that do not"
                )
            if key not in sizes:
                sizes[key] = inlined_size(functions[key], open_calls | {key})
            total += sizes[key]
        return total

    try:
        size = inlined_size(model.graph, frozenset())
    except RecursionError:
        raise MacgenError(f"functions of model {name} call each other too deeply; accepted are a few levels") from None
    if size > MAX_NODES:  # functions that call functions can double at every level
        raise MacgenError(
            f"model {name} has more than {MAX_NODES} nodes with its functions; accepted are at most as many"
        )
    inliner = onnx_module("onnx.inliner")
    try:
        inlined: ModelProto = inliner.inline_local_functions(model)
    except Exception as error:  # the checker's own class, RuntimeError and others, by what is wrong
        raise MacgenError(f"functions of model {name} cannot be written out: {one_line(error)}") from None
    return inlined


def one_line(error: BaseException, longest: int = 200) -> str:
    """Return what another package's exception says, on one line, without its stack."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= longest else text[:longest] + "..."
