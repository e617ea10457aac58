"""The products of an Einsum: of two operands one, of more of them one after another from the left."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from macgen.errors import shown
from macgen.network.gemm import Layer, contraction_layer
from macgen.network.onnx_operation import Built, Operation, Shape

_TERM = re.compile(r"([^\W\d_]*)(\.\.\.)?([^\W\d_]*)")

Labels = list[str | None]
"""The label of each axis of an operand; None: an axis of 1 that is broadcast."""


def einsum_layers(operation: Operation) -> Built:
    """Return the products of an Einsum of two or more operands; none of other ones.

    More than two are multiplied from the left, as onnxruntime does: the first two, what comes of them and the third,
    and so on. What neither the result nor a later operand has a label for is summed at once. Products of constants are
    done before the network runs.

    Raises:
        MacgenError: the operands' shapes do not fit the equation.
    """
    equation = parsed_equation(operation)
    if equation is None or len(equation.terms) < 2:
        return [], ()
    layers: list[Layer] = []
    left, *others = ({label for label in term if label is not None} for term in equation.terms)
    constant, learned = operation.constants[0], operation.learned[0]
    for number, right in enumerate(others, start=1):
        result = (left | right) & set(equation.out).union(*others[number:])
        is_constant, is_learned = operation.constants[number], operation.learned[number]
        if not (constant and is_constant):
            layers.append(
                contraction_layer(
                    operation.name if len(others) == 1 else f"{operation.name}.{number}",
                    operation.node.op_type,
                    {label: equation.sizes[label] for label in sorted(left | right)},
                    (sorted(left), sorted(right), sorted(result)),
                    weight="b" if is_constant else "a" if constant else None,
                    input_gradient=learned or is_learned,
                )
            )
            learned = learned or is_learned or constant or is_constant
        left = result
        constant = constant and is_constant
    weights = equation.terms[0 if operation.weight == "a" else 1]
    return layers, tuple(axis for axis, label in enumerate(weights) if label in equation.out)


@dataclass(frozen=True)
class Equation:
    """An equation whose ellipses are written out.

    Attributes:
        terms: the labels of each operand.
        out: those of the result.
        sizes: size of each label.
    """

    terms: list[Labels]
    out: list[str]
    sizes: dict[str, int]


def parsed_equation(operation: Operation) -> Equation | None:
    """Return the equation of an Einsum, or None if it is of another kind.

    Raises:
        MacgenError: the operands' shapes do not fit it.
    """
    given = operation.given.get("equation", b"")
    text = given.decode(errors="replace").replace(" ", "") if isinstance(given, bytes) else ""
    left, arrow, right = text.partition("->")
    matches = [_TERM.fullmatch(term) for term in left.split(",")]
    result = _TERM.fullmatch(right)
    shapes = [shape for shape in operation.inputs if shape is not None]
    if result is None or len(matches) != len(shapes) or len(shapes) != len(operation.inputs):
        return None
    terms: list[list[str]] = []
    for match, shape in zip(matches, shapes, strict=True):
        if match is None:
            return None
        before, ellipsis, after = match.groups()
        hidden = len(shape) - len(before) - len(after)
        if hidden < 0 or (hidden and not ellipsis):
            raise operation.refusal(f"shapes that fit the equation {shown(text)}")
        terms.append([*before, *_hidden(hidden), *after])
    sizes = _sizes(operation, text, terms, shapes)
    hidden = max(sum(label.startswith("...") for label in term) for term in terms)
    if arrow:
        out = [*result[1], *(_hidden(hidden) if result[2] else ()), *result[3]]
    else:
        named = left.replace(",", "").replace("...", "")
        out = [*_hidden(hidden), *sorted(label for label in set(named) if named.count(label) == 1)]
    if not set(out) <= set(sizes):
        raise operation.refusal(f"equations whose result has only their operands' labels, not {shown(text)}")
    # An axis of 1 that an ellipsis stands for is repeated.
    kept: list[Labels] = [
        [label if sizes[label] == size else None for label, size in zip(term, shape, strict=True)]
        for term, shape in zip(terms, shapes, strict=True)
    ]
    return Equation(kept, out, sizes)


def _hidden(count: int) -> list[str]:
    """Return the labels of the axes that an ellipsis stands for, which are counted from the last one."""
    return [f"...{axis}" for axis in reversed(range(count))]


def _sizes(operation: Operation, text: str, terms: Sequence[Sequence[str]], shapes: Sequence[Shape]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for label, size in zip(term, shape, strict=True):
            known = sizes.setdefault(label, size)
            if known == size:
                continue
            if not label.startswith("...") or 1 not in (known, size):
                raise operation.refusal(f"shapes that fit the equation {shown(text)}")
            sizes[label] = max(known, size)
    return sizes
