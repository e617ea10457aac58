import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macgen.cost.library.boolean import parse
from macgen.errors import MacgenError

VARIABLES = ("A", "B", "C")


def table(function) -> int:
    return sum(function(i & 1, i >> 1 & 1, i >> 2 & 1) << i for i in range(8))


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("A", lambda a, b, c: a),
        ("!A", lambda a, b, c: 1 - a),
        ("A'", lambda a, b, c: 1 - a),
        ("!(A')", lambda a, b, c: a),
        ("(A B)+C", lambda a, b, c: a & b | c),
        ("A B + C'", lambda a, b, c: a & b | (1 - c)),
        ("A*B|C", lambda a, b, c: a & b | c),
        ("A & B ^ C", lambda a, b, c: a & (b ^ c)),
        ("A ^ B | C", lambda a, b, c: (a ^ b) | c),
        ("!((A1 & A2) | B)".replace("A1", "A").replace("A2", "C"), lambda a, b, c: 1 - (a & c | b)),
        ("(S & B) | (A & !S)".replace("S", "C"), lambda a, b, c: b if c else a),
        ("A !B", lambda a, b, c: a & (1 - b)),
        ("A(B+C)", lambda a, b, c: a & (b | c)),
        ("(A)(B)' C", lambda a, b, c: a & (1 - b) & c),
        ("1", lambda a, b, c: 1),
        ("0 | C", lambda a, b, c: c),
    ],
)
def test_meaning(text, meaning):
    assert parse(text).truth_table(VARIABLES) == table(meaning)


@pytest.mark.parametrize("text", ["", "A &", "(A", "A)", "& A", "A ~ B", "'A", "A = B", "A & | B"])
def test_malformed(text):
    with pytest.raises(MacgenError, match="Boolean expression"):
        parse(text)


EXPRESSIONS = st.recursive(
    st.sampled_from(["A", "B", "C", "0", "1"]),
    lambda inner: st.one_of(
        inner.map(lambda text: f"!({text})"),
        st.tuples(inner, st.sampled_from("&|^"), inner).map(lambda parts: f"({parts[0]}) {parts[1]} ({parts[2]})"),
    ),
    max_leaves=12,
)


@given(EXPRESSIONS)
def test_against_pythons_own_operators(text):
    code = compile(text.replace("!", "~").replace("~", "1^"), "expression", "eval")
    # Every operand is in parentheses, so that Python's precedence does not matter.
    expected = table(lambda a, b, c: eval(code, {"A": a, "B": b, "C": c}))
    assert parse(text).truth_table(VARIABLES) == expected


def test_words_hold_64_values_at_once():
    rng = np.random.default_rng(1)
    values = {name: rng.integers(0, 1 << 64, size=(5, 3), dtype=np.uint64) for name in VARIABLES}
    result = parse("!(A & B) ^ C").evaluate(values, np.uint64(0xFFFF_FFFF_FFFF_FFFF))
    assert result.dtype == np.uint64
    assert np.array_equal(result, ~(values["A"] & values["B"]) ^ values["C"])


def test_equivalence_up_to_renaming():
    nand = parse("!(A & B)")
    assert parse("(X' + Y')").is_equivalent(nand)
    assert not parse("!(X | Y)").is_equivalent(nand)
    assert parse("(S & B) | (A & !S)").is_equivalent(parse("X ? Y".replace("X ? Y", "(Y & !Z) | (X & Z)")))
    assert not parse("A").is_equivalent(nand)


def test_variables_in_order_of_use():
    assert parse("B2 & (A[3] | B2) ^ $x").variables == ("B2", "A[3]", "$x")
