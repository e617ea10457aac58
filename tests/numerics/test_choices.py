import copy
import json
import pickle
import re

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
from macgen.spec_fields import Fold, ScalePlace

CHOICES = [Encoding, Subnormals, Overflow, RoundingKind, LaneSumKind, Fold, ScalePlace]

TEXTS = [
    *(member for choice in CHOICES for member in choice),
    *SUM_ROUNDINGS,
    Rounding("stochastic:1"),
    Rounding("stochastic:32"),
    Rounding("stochastic:4:nearest"),
    LaneSum("fused"),
    LaneSum("tree"),
    LaneSum("aligned:64"),
    LaneSum("exponents:1"),
    LaneSum("exponents:64/64"),
    LaneSum("bulk:28"),
]


def test_the_words():
    assert [list(choice) for choice in CHOICES] == [
        ["ieee", "fn", "fnuz", "finite", "quiet"],
        ["gradual", "flush", "none"],
        ["saturate", "infinity", "to-infinity", "nan", "wrap"],
        ["rne", "rtz", "floor", "odd", "drop", "stochastic"],
        ["fused", "tree", "aligned", "exponents", "bulk"],
        ["bubble", "overlap"],
        ["outer", "lanes"],
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
    name = re.sub("(?<!^)([A-Z])", r"_\1", choice.__name__).lower()
    assert str(caught.value) == f"{name} {value!r} is not one of {words}"
    assert issubclass(choice, Choice)


@pytest.mark.parametrize(
    ("text", "kind", "bits", "beneath", "below"),
    [
        ("rne", RoundingKind.RNE, 0, "rtz", 1),
        ("rtz", RoundingKind.RTZ, 0, "rtz", 0),
        ("drop", RoundingKind.DROP, 0, "rtz", 0),
        ("floor", RoundingKind.FLOOR, 0, "rtz", 0),
        ("odd", RoundingKind.ODD, 0, "rtz", 0),
        ("stochastic:1", RoundingKind.STOCHASTIC, 1, "rtz", 1),
        ("stochastic:13", RoundingKind.STOCHASTIC, 13, "rtz", 13),
        ("stochastic:32", RoundingKind.STOCHASTIC, 32, "rtz", 32),
        ("stochastic:1:nearest", RoundingKind.STOCHASTIC, 1, "rne", 2),
        ("stochastic:32:nearest", RoundingKind.STOCHASTIC, 32, "rne", 33),
    ],
)
def test_roundings(text, kind, bits, beneath, below):
    rounding = Rounding(text)
    assert (rounding, rounding.kind, rounding.random_bits) == (text, kind, bits)
    assert (rounding.beneath, rounding.bits_below) == (beneath, below)
    assert Rounding(rounding) is rounding


@pytest.mark.parametrize(
    "text",
    [
        *("stochastic", "stochastic:", "stochastic:0", "stochastic:33", "stochastic:03", "stochastic:3 ", "rne:3"),
        *("stochastic:3:", "stochastic:3:even", "stochastic:33:nearest", "stochastic:nearest", "rne:nearest"),
        *("stochastic:3:nearest ", "stochastic:3:nearest\n", "stochastic:3\n", "stochastic:3:nearest:nearest"),
        *("stochastic:+3", "stochastic:٣", "RNE", "rne ", "", "rne:", None, 0, ["rne"], b"rne"),
    ],
)
def test_wrong_roundings(text):
    for field in ("rounding", "outer_rounding"):
        with pytest.raises(MacgenError) as caught:
            Rounding(text, field=field)
        assert str(caught.value) == (
            f"{field} {text!r} is not one of rne, rtz, floor, odd, drop, stochastic:r[:nearest] with r from 1 to 32"
        )


def test_single_numbers_are_rounded_as_sums_but_for_drop():
    assert [rounding.of_numbers for rounding in SUM_ROUNDINGS] == ["rne", "rtz", "floor", "odd", "rtz"]
    assert [rounding.with_random(5) for rounding in SUM_ROUNDINGS] == ["rne", "rtz", "floor", "odd", "rtz"]
    stochastic = Rounding("stochastic:7")
    assert stochastic.of_numbers is stochastic
    assert stochastic.with_random(5) == Stochastic(7, 5)
    assert Rounding("stochastic:7:nearest").with_random(5) == Stochastic(7, 5, "rne")


@pytest.mark.parametrize(
    ("text", "kind", "aligned", "exponents", "bulk", "group"),
    [
        ("fused", LaneSumKind.FUSED, None, None, None, 1),
        ("tree", LaneSumKind.TREE, None, None, None, 1),
        ("aligned:1", LaneSumKind.ALIGNED, 1, None, None, 1),
        ("aligned:64", LaneSumKind.ALIGNED, 64, None, None, 1),
        ("exponents:1", LaneSumKind.EXPONENTS, None, 1, None, 1),
        ("exponents:64", LaneSumKind.EXPONENTS, None, 64, None, 1),
        ("exponents:35/16", LaneSumKind.EXPONENTS, None, 35, None, 16),
        ("exponents:1/64", LaneSumKind.EXPONENTS, None, 1, None, 64),
        ("bulk:1", LaneSumKind.BULK, None, None, 1, 1),
        ("bulk:64", LaneSumKind.BULK, None, None, 64, 1),
    ],
)
def test_lane_sums(text, kind, aligned, exponents, bulk, group):
    lane_sum = LaneSum(text)
    assert (lane_sum, lane_sum.kind, lane_sum.group) == (text, kind, group)
    assert (lane_sum.aligned_bits, lane_sum.exponent_bits, lane_sum.bulk_bits) == (aligned, exponents, bulk)
    assert LaneSum(lane_sum) is lane_sum


@pytest.mark.parametrize(
    "text",
    [
        *("aligned", "aligned:0", "aligned:65", "aligned:7x", "tree:2", "none", None, 4),
        *("exponents", "exponents:", "exponents:0", "exponents:65", "exponents:07", "exponents:7/", "exponents:7/1"),
        *("exponents:7/65", "exponents:7/02", "exponents:7/2/2", "exponents:/2", "exponents:7 ", "aligned:7/2"),
        *("bulk", "bulk:", "bulk:0", "bulk:65", "bulk:7/2", "bulk:07"),
    ],
)
def test_wrong_lane_sums(text):
    with pytest.raises(MacgenError) as caught:
        LaneSum(text)
    assert str(caught.value) == (
        f"lane_sum {text!r} is not one of fused, tree, aligned:W with W from 1 to 64, exponents:F, exponents:F/G or "
        f"bulk:F with F from 1 to 64 and G from 2 to 64"
    )


def test_parsed_texts_are_immutable():
    for choice in (Rounding("stochastic:4"), LaneSum("aligned:4")):
        for name in ("kind", "random_bits", "aligned_bits", "exponent_bits", "group", "other"):
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
