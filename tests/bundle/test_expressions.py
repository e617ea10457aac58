"""Expressions mean what the cells mean they are made from, and their text is what a person would write."""

from functools import reduce
from operator import and_, or_, xor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macgen.bundle.verilog.expressions import (
    Binary,
    Choice,
    Concatenation,
    Constant,
    Expression,
    Reference,
    Repetition,
    Signed,
    Unary,
    chain,
    choice,
    concatenation,
    equality,
    negation,
    reduction,
)

VALUES = {"a": 0b1, "b": 0b0, "x": 0b1011, "y": 0b0110, "wide": 0b1010011}
WIDTHS = {"a": 1, "b": 1, "x": 4, "y": 4, "wide": 7}
_BITS = {"&": and_, "|": or_, "^": xor}


def ref(name, high=None, low=0):
    top = WIDTHS[name] - 1
    high = top if high is None else high
    return Reference(high - low + 1, name, high, low, (high, low) == (top, 0))


A, B, X, Y, WIDE = map(ref, WIDTHS)


def signed(value, width):
    return value - (1 << width) if value >> (width - 1) else value


def value_of(item: Expression) -> int:
    """Return what Verilog makes of an expression whose parts are all as wide as their places."""
    mask = (1 << item.width) - 1
    match item:
        case Constant():
            return item.value
        case Reference():
            return VALUES[item.name] >> item.low & mask
        case Concatenation():
            assert item.width == sum(part.width for part in item.items)
            return reduce(lambda value, part: value << part.width | value_of(part), item.items, 0)
        case Repetition():
            assert item.width == item.count * item.item.width
            return reduce(lambda value, _: value << item.item.width | value_of(item.item), range(item.count), 0)
        case Unary(operator="~" | "-"):
            value = value_of(item.operand)
            return (~value if item.operator == "~" else -value) & mask
        case Unary():
            bits = [value_of(item.operand) >> place & 1 for place in range(item.operand.width)]
            value = reduce(_BITS[item.operator[-1]], bits)
            return value ^ 1 if item.operator.startswith("~") else value
        case Choice():
            assert item.if_true.width == item.if_false.width == item.width
            assert item.condition.width == 1
            return value_of(item.if_true if value_of(item.condition) else item.if_false)
        case Binary(operator="&" | "|" | "^"):
            assert {part.width for part in item.operands} == {item.width}
            return reduce(_BITS[item.operator], map(value_of, item.operands))
        case Binary():
            left, right = item.operands
            assert left.width == right.width
            values = [value_of(part) for part in item.operands]
            if isinstance(left, Signed):
                values = [signed(value, left.width) for value in values]
            return int(eval(f"{values[0]} {item.operator} {values[1]}")) & mask
        case Signed():
            return value_of(item.operand)
    raise AssertionError(item)


@st.composite
def words(draw, width, depth=2):
    """Expressions of a width."""
    names = [name for name in WIDTHS if WIDTHS[name] >= width]
    kinds = ["reference", "constant"] if names else ["constant"]
    kinds += ["not", "chain", "choice", "concatenation"] * (depth > 0) + ["equality", "reduction"] * (
        depth > 0 and width == 1
    )
    inner = lambda width: words(width, depth - 1)  # noqa: E731
    match draw(st.sampled_from(kinds)):
        case "reference":
            name = draw(st.sampled_from(names))
            low = draw(st.integers(0, WIDTHS[name] - width))
            return ref(name, low + width - 1, low)
        case "constant":
            return Constant(width, draw(st.integers(0, (1 << width) - 1)))
        case "not":
            return negation(draw(inner(width)))
        case "chain":
            return chain(draw(st.sampled_from("&|^")), draw(st.lists(inner(width), min_size=1, max_size=3)))
        case "choice":
            return choice(draw(inner(1)), draw(inner(width)), draw(inner(width)))
        case "concatenation":
            widths, left = [], width
            while left:
                widths.append(draw(st.integers(1, left)))
                left -= widths[-1]
            return concatenation([draw(inner(part)) for part in widths])
        case "equality":
            operands = st.integers(1, 4).flatmap(lambda width: st.tuples(inner(width), inner(width)))
            return equality(*draw(operands))
        case "reduction":
            return reduction(draw(st.sampled_from("&|^")), draw(st.integers(1, 4).flatmap(inner)))


@given(st.integers(1, 5).flatmap(words))
def test_negation(word):
    assert value_of(negation(word)) == value_of(word) ^ (1 << word.width) - 1


@given(st.sampled_from("&|^"), st.integers(1, 5).flatmap(lambda width: st.lists(words(width), min_size=1, max_size=4)))
def test_chain(operator, operands):
    assert value_of(chain(operator, operands)) == reduce(_BITS[operator], map(value_of, operands))


@given(st.sampled_from("&|^"), st.integers(1, 6).flatmap(words))
def test_reduction(operator, word):
    bits = [value_of(word) >> place & 1 for place in range(word.width)]
    assert value_of(reduction(operator, word)) == reduce(_BITS[operator], bits)


@given(st.integers(1, 5).flatmap(lambda width: st.tuples(words(width), words(width))))
def test_equality(operands):
    left, right = operands
    assert value_of(equality(left, right)) == (value_of(left) == value_of(right))
    assert value_of(equality(left, left)) == 1


@given(st.integers(1, 5).flatmap(lambda width: st.tuples(words(1), words(width), words(width))))
def test_choice(parts):
    condition, high, low = parts
    assert value_of(choice(condition, high, low)) == value_of(high if value_of(condition) else low)


@given(st.lists(st.integers(1, 3).flatmap(words), min_size=1, max_size=5))
def test_concatenation(items):
    word = concatenation(items)
    assert word.width == sum(item.width for item in items)
    assert value_of(word) == reduce(lambda value, item: value << item.width | value_of(item), items, 0)


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (ref("x", 2, 1), "x[2:1]"),
        (ref("x", 3, 3), "x[3]"),
        (Constant(1, 1), "1'b1"),
        (Constant(3, 5), "3'b101"),
        (Constant(7, 5), "7'h05"),
        (Constant(7, 5, decimal=True), "7'd5"),
        (concatenation([Constant(1, 0), ref("x", 3, 3), ref("x", 3, 3), X]), "{1'b0, {2{x[3]}}, x}"),
        (concatenation([Constant(2, 1), Constant(2, 1)]), "4'h5"),
        (negation(negation(X)), "x"),
        (negation(reduction("|", X)), "~|x"),
        (negation(equality(X, Y)), "x != y"),
        (chain("&", [A, chain("&", [B, negation(A)])]), "a & b & ~a"),
        (chain("|", [chain("&", [A, B]), reduction("|", X)]), "(a & b) | (|x)"),
        (reduction("|", concatenation([A, X, Constant(2, 0)])), "a | (|x)"),
        (equality(concatenation([A, B]), Constant(2, 1)), "~a & b"),
        (equality(X, Constant(4, 9)), "x == 4'd9"),
        (choice(A, X, choice(B, Y, Constant(4, 0))), "a ? x : b ? y : 4'h0"),
        (choice(negation(A), X, Y), "a ? y : x"),
        (choice(A, Constant(1, 1), B), "a | b"),
        (choice(A, B, Constant(1, 0)), "a & b"),
        (Binary(4, "+", (X, choice(A, X, Y))), "x + (a ? x : y)"),
        (Unary(4, "-", X), "-x"),
        (Binary(1, "<", (Signed(4, X), Signed(4, Y))), "$signed(x) < $signed(y)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_text(expression, text):
    assert expression.text() == text
