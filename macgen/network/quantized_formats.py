"""Formats that a model states for its tensors: QONNX's quantisers and annotations, and packed weights.

QONNX (Pappalardo et al., arXiv 2206.07527) computes with floats that stand for integers: a quantiser has a scale, a
zero point and a bit width, and what follows sees its result as real numbers. What is multiplied are the integers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from macgen.network.onnx_file import attributes
from macgen.network.operand_format import OperandFormat, integer_format
from macgen.network.operator_table import operator_key

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

    from macgen.network.onnx_tensors import Tensors

MAX_BITS = 32

Numbers = NDArray[np.float64] | None

Stated = tuple[OperandFormat | None, OperandFormat | None]
"""The formats of two operands; None where nothing is stated."""

# Operations whose results are values of their first operand, or zeros.
_MOVES = frozenset(
    {
        "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Identity", "MaxPool", "Reshape",
        "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
        "channels_last::MaxPool", "qonnx::DebugMarker", "qonnx::Im2Col", "qonnx::MaxPoolNHWC",
    }
)  # fmt: skip
# Operations whose results are means of their operand's values: no longer of its format, but of its sign.
_MEANS = frozenset({"AveragePool", "GlobalAveragePool", "ReduceMean"})


class QuantizedFormats:
    """What is stated of a model's tensors, gathered node by node in the order of computation.

    Parameters:
        model: as `read_model` returns it; its quantisation annotations are read.
    """

    def __init__(self, model: ModelProto) -> None:
        self._formats: dict[str, OperandFormat] = {}
        self._signed: dict[str, bool] = {}
        for annotation in model.graph.quantization_annotation:
            for entry in annotation.quant_parameter_tensor_names:
                found = annotated_format(entry.value) if entry.key == "finn_datatype" else None
                if found is not None:
                    self._formats[annotation.tensor_name] = found

    def note(self, node: NodeProto, tensors: Tensors) -> None:
        """Take in what a node says of its first result; `tensors` as `ShapeWalk.nodes` yields them."""
        if not (node.input and node.output):
            return
        key, source, output = operator_key(node), node.input[0], node.output[0]
        found: OperandFormat | None = None
        if key == "qonnx::Quant":
            given = attributes(node)
            values = [_values(node, index, tensors) for index in range(4)]
            found = quant_format(given.get("signed", 1), given.get("narrow", 0), values[3], values[2])
        elif key == "qonnx::BipolarQuant":
            found = integer_format(-1, 1)
        elif key == "qonnx::Trunc":
            found = self._truncated(node, tensors)
        elif key == "qonnx::FloatQuant":
            parts = [_values(node, index, tensors) for index in range(2, 6)]
            found = float_format(attributes(node), *parts)
        elif key == "qonnx::MultiThreshold":
            stated = attributes(node).get("out_dtype")
            found = annotated_format(stated.decode(errors="replace")) if isinstance(stated, bytes) else None
        elif key == "Relu":
            found = _positive_part(self._formats.get(source))
        elif key in _MOVES:
            found = self._formats.get(source)
            for other in node.output[1:]:
                if found is not None and key == "Split":
                    self._formats.setdefault(other, found)
        if key in _MOVES or key in _MEANS:
            if source in self._signed:
                self._signed[output] = self._signed[source]
        elif found is not None:
            self._signed[output] = not found.name.startswith("uint")
        if found is not None:
            self._formats.setdefault(output, found)

    def of_operands(self, node: NodeProto, operands: tuple[str, str]) -> Stated:
        """Return what is stated of a node's two operands."""
        if operator_key(node) == "com.microsoft::MatMulNBits":
            return self._formats.get(operands[0]), packed_format(attributes(node).get("bits", 4), _has(node, 3))
        return self._formats.get(operands[0]), self._formats.get(operands[1])

    def _truncated(self, node: NodeProto, tensors: Tensors) -> OperandFormat | None:
        """QONNX's Trunc: version 1 has the sign of what it truncates, version 2 says it and has a scale more."""
        given = attributes(node)
        if _has(node, 5):
            bits, signed = _values(node, 5, tensors), given.get("signed", 1)
        else:
            bits, signed = _values(node, 4, tensors), given.get("signed", self._signed.get(node.input[0], True))
        return quant_format(signed, given.get("narrow", 0), bits, _values(node, 2, tensors))


def _positive_part(stated: OperandFormat | None) -> OperandFormat | None:
    if stated is None or not stated.name.startswith("int"):
        return stated
    return integer_format(0, (1 << (int(stated.name.removeprefix("int")) - 1)) - 1)


def quant_format(signed: object, narrow: object, bits: Numbers, zero_point: Numbers) -> OperandFormat | None:
    """Return the format of a quantiser's integers less their zero points (qonnx, `IntQuant`).

    Parameters:
        signed: whether the integers are signed.
        narrow: whether they lack the most negative one; of unsigned ones, the largest.
        bits: of each; the largest of several counts. One signed bit means -1 and 1.
        zero_point: of each.

    Returns:
        The format; None where the bits or the zero point are no constants, no integers or beyond 32 bits.
    """
    if bits is None or zero_point is None or bits.size == 0 or zero_point.size == 0:
        return None
    width, zeros = float(bits.max()), (float(zero_point.min()), float(zero_point.max()))
    if not (1 <= width <= MAX_BITS and width.is_integer()) or not all(
        zero.is_integer() and abs(zero) < 1 << MAX_BITS for zero in zeros
    ):
        return None
    count = 1 << int(width)
    low, high = (-count // 2 + bool(narrow), count // 2 - 1) if signed else (0, count - 1 - bool(narrow))
    if signed and width == 1:
        low, high = -1, 1
    return integer_format(low - int(zeros[1]), high - int(zeros[0]))


def float_format(
    given: Mapping[str, Any],
    exponent: Numbers,
    mantissa: Numbers,
    bias: Numbers,
    largest: Numbers,
) -> OperandFormat | None:
    """Return the format of a float quantiser's numbers (qonnx, `FloatQuant`), but for a power of two as scale.

    Of the encodings, that which the attributes name is taken if it reaches the largest value, else one that does.

    Parameters:
        given: the attributes.
        exponent: bits of the exponent.
        mantissa: bits of the mantissa.
        bias: of the exponent.
        largest: value.
    """
    scalars = [None if x is None or x.size != 1 else float(x.reshape(())) for x in (exponent, mantissa, bias, largest)]
    if any(x is None or not np.isfinite(x) for x in scalars):
        return None
    e, m, b, most = (x for x in scalars if x is not None)
    if not (e.is_integer() and m.is_integer() and 1 <= e <= 11 and 0 <= m <= 52) or most <= 0 or abs(b) > 1 << 11:
        return None
    top = 2.0**e - 1 - b  # of the exponent whose codes may be infinity and NaN
    reach: dict[str, float] = {}
    if e < 11:  # of 11 bits, the numbers with this exponent are beyond binary64
        reach["finite"] = (2 - 2.0**-m) * _power(top)
        if m:
            reach["fn"] = (2 - 2.0 ** (1 - m)) * _power(top)
        elif e > 1:
            reach["fn"] = _power(top - 1)
    if e > 1 and m:
        reach[""] = (2 - 2.0**-m) * _power(top - 1)
    infinite = given.get("has_inf", given.get("has_infinity", 0))
    named = "" if infinite else "fn" if given.get("has_nan", 0) else "finite"
    order = [named, "", "fn", "finite"]
    encoding = next((name for name in order if reach.get(name, 0.0) >= most), None)
    return None if encoding is None else OperandFormat(f"e{int(e)}m{int(m)}{encoding}")


def _power(exponent: float) -> float:
    return 2.0**exponent if exponent < 1024 else np.inf


def packed_format(bits: object, zero_points: bool) -> OperandFormat | None:
    """Return the format of MatMulNBits' weights less their zero points, which are 2**(bits - 1) unless given."""
    if not isinstance(bits, int) or not 1 <= bits <= 8:
        return None
    most = (1 << bits) - 1
    return integer_format(-most, most) if zero_points else integer_format(-(1 << (bits - 1)), most >> 1)


_ANNOTATION = re.compile(r"(U?)INT(\d{1,2})|SCALEDINT<(\d{1,2})>|FIXED<(\d{1,2}),-?\d{1,2}>", re.ASCII)
_NAMED = {"BINARY": OperandFormat("uint1"), "BIPOLAR": integer_format(-1, 1), "TERNARY": integer_format(-1, 1)}


def annotated_format(text: str) -> OperandFormat | None:
    """Return the format of one of QONNX's data types, such as `INT4`, `UINT2`, `BIPOLAR` or `FIXED<8,3>`."""
    if text in _NAMED:
        return _NAMED[text]
    match = _ANNOTATION.fullmatch(text)
    if match is None:
        return None
    bits = int(match[2] or match[3] or match[4])
    return OperandFormat(f"{'u' if match[1] else ''}int{bits}") if 1 <= bits <= MAX_BITS else None


def _has(node: NodeProto, index: int) -> bool:
    return index < len(node.input) and bool(node.input[index])


def _values(node: NodeProto, index: int, tensors: Tensors) -> Numbers:
    """Return the values of an input that is a constant of real numbers."""
    values = tensors.values.get(node.input[index]) if _has(node, index) else None
    return None if values is None or values.dtype.kind not in "biufV" else values.astype(np.float64)
