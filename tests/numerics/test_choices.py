import copy
import json
import pickle

import pytest

from macgen.errors import MacgenError
from macgen.numerics import (
    SUM_ROUNDINGS,
    Choice,
    Encoding,
    LaneSum,
    LaneSumKind,
    Overflow,
    Rounding,
    RoundingKind,
    Stochastic,
    Subnormals,
)
from macgen.spec_fields import Fold

CHOICES = [Encoding, Subnormals, Overflow, RoundingKind, LaneSumKind, Fold]

TEXTS = [
    *(member for choice in CHOICES for member in choice),
    *SUM_ROUNDINGS,
    Rounding("stochastic:1"),
    Rounding("stochastic:32"),
    LaneSum("fused"),
    LaneSum("tree"),
    LaneSum("aligned:64"),
]


def test_the_words():
    assert [list(choice) for choice in CHOICES] == [
        ["ieee", "fn", "fnuz", "finite"],
        ["gradual", "flush", "none"],
        ["saturate", "infinity", "nan", "wrap"],
        ["rne", "rtz", "floor", "drop", "stochastic"],
        ["fused", "tree", "aligned"],
        ["bubble", "overlap"],
    ]


@pytest.mark.parametrize("choice", TEXTS, ids=lambda choice: f"{type(choice).__name__}-{choice}")
def test_a_choice_is_its_text(choice):
    text = str(choice)
    assert type(text) is str
    assert choice == text
    assert text == choice
    assert hash(choice) == hash(text)
    assert {text: 1}[choice] == 1
    assert (repr(choice), f"{choice}", f"{choice!r}") == (repr(text), text, repr(text))
    assert json.dumps({"choice": choice}) == json.dumps({"choice": text})
    for twin in (type(choice)(text), pickle.loads(pickle.dumps(choice)), copy.copy(choice), copy.deepcopy(choice)):
        assert (twin, type(twin)) == (choice, type(choice))
        assert getattr(twin, "kind", None) is getattr(choice, "kind", None)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("value", ["up", "RNE", "", None, 3, True, ["rne"], float("nan")])
def test_wrong_words(choice, value):
    words = ", ".join(choice)
    with pytest.raises(MacgenError) as caught:
        choice(value)
    assert str(caught.value) == f"{choice.__name__.lower()} {value!r} is not one of {words}"
    assert issubclass(choice, Choice)


@pytest.mark.parametrize(
    ("text", "kind", "bits"),
    [
        ("rne", RoundingKind.RNE, 0),
        ("rtz", RoundingKind.RTZ, 0),
        ("drop", RoundingKind.DROP, 0),
        ("floor", RoundingKind.FLOOR, 0),
        ("stochastic:1", RoundingKind.STOCHASTIC, 1),
        ("stochastic:13", RoundingKind.STOCHASTIC, 13),
        ("stochastic:32", RoundingKind.STOCHASTIC, 32),
    ],
)
def test_roundings(text, kind, bits):
    rounding = Rounding(text)
    assert (rounding, rounding.kind, rounding.random_bits) == (text, kind, bits)
    assert Rounding(rounding) is rounding


@pytest.mark.parametrize(
    "text",
    [
        *("stochastic", "stochastic:", "stochastic:0", "stochastic:33", "stochastic:03", "stochastic:3 ", "rne:3"),
        *("stochastic:+3", "stochastic:٣", "stochastic:3:nearest", "RNE", "rne ", "", "rne:", None, 0, ["rne"], b"rne"),
    ],
)
def test_wrong_roundings(text):
    for field in ("rounding", "outer_rounding"):
        with pytest.raises(MacgenError) as caught:
            Rounding(text, field=field)
        assert str(caught.value) == (
            f"{field} {text!r} is not one of rne, rtz, floor, drop, stochastic:r with r from 1 to 32"
        )


def test_single_numbers_are_rounded_as_sums_but_for_drop():
    assert [rounding.of_numbers for rounding in SUM_ROUNDINGS] == ["rne", "rtz", "floor", "rtz"]
    assert [rounding.with_random(5) for rounding in SUM_ROUNDINGS] == ["rne", "rtz", "floor", "rtz"]
    stochastic = Rounding("stochastic:7")
    assert stochastic.of_numbers is stochastic
    assert stochastic.with_random(5) == Stochastic(7, 5)


@pytest.mark.parametrize(
    ("text", "kind", "bits"),
    [
        ("fused", LaneSumKind.FUSED, None),
        ("tree", LaneSumKind.TREE, None),
        ("aligned:1", LaneSumKind.ALIGNED, 1),
        ("aligned:64", LaneSumKind.ALIGNED, 64),
    ],
)
def test_lane_sums(text, kind, bits):
    lane_sum = LaneSum(text)
    assert (lane_sum, lane_sum.kind, lane_sum.aligned_bits) == (text, kind, bits)
    assert LaneSum(lane_sum) is lane_sum


@pytest.mark.parametrize("text", ["aligned", "aligned:0", "aligned:65", "aligned:7x", "tree:2", "none", None, 4])
def test_wrong_lane_sums(text):
    with pytest.raises(MacgenError) as caught:
        LaneSum(text)
    assert str(caught.value) == f"lane_sum {text!r} is not one of fused, tree, aligned:W with W from 1 to 64"


def test_parsed_texts_are_immutable():
    for choice in (Rounding("stochastic:4"), LaneSum("aligned:4")):
        for name in ("kind", "random_bits", "aligned_bits", "other"):
            with pytest.raises(AttributeError, match=f"^{type(choice).__name__} is immutable$"):
                setattr(choice, name, 1)


@pytest.mark.parametrize("choice", CHOICES)
def test_every_member_is_explained(choice):
    """In the source, a string stands behind each member, for readers and for the documentation's generator."""
    import ast
    import inspect

    (body,) = [node.body for node in ast.parse(inspect.getsource(choice)).body if isinstance(node, ast.ClassDef)]
    assert ast.get_docstring(ast.parse(inspect.getsource(choice)).body[0])
    for place, node in enumerate(body):
        if isinstance(node, ast.Assign):
            after = body[place + 1]
            assert isinstance(after, ast.Expr)
            assert isinstance(after.value, ast.Constant)
            assert len(after.value.value) > 4
