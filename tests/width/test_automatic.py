import dataclasses

import pytest

from macgen.errors import MacgenError
from macgen.numerics import parse_format
from macgen.width.automatic import Outline, beyond_theory, choose
from macgen.width.goal import Goal, Sum
from macgen.width.planning import plan

PLAIN = Outline(
    a="e5m2", b="e5m2", product=None, scale=None, scale_place="outer", outer=None, chunk=64, rounding="rne", lanes=1,
    lane_sum="fused",
)  # fmt: skip


def chosen(length, *, acc=True, **changes):
    return choose(dataclasses.replace(PLAIN, **changes), Sum(length=length), acc=acc)


def test_the_accumulator_is_the_plans():
    for length, chunk, rounding in ((4608, 64, "rne"), (4608, None, "drop"), (100_000, 128, "rtz")):
        expected = plan(Goal(chunk=chunk, rounding=rounding), Sum(length=length))
        found = chosen(length, chunk=chunk, rounding=rounding)
        assert (found.acc, found.chunk, found.chunk_reason) == (expected.chosen.acc, chunk, None)
        assert found.warnings == expected.warnings
        assert found.acc_reason == f"Chosen for sums of {length} products: {found.acc}, {expected.chosen.reason}"


def test_known_widths():
    assert chosen(4608).acc == parse_format("e5m5")
    assert chosen(4608, a="int8", b="int8", chunk=None).acc == parse_format("int28")


@pytest.mark.parametrize(("length", "lanes", "chunk"), [(4608, 1, 64), (4608, 32, 64), (4608, 12, 72), (1, 3, 3)])
def test_an_automatic_chunk_is_a_multiple_of_the_lanes(length, lanes, chunk):
    found = chosen(length, chunk="auto", lanes=lanes, acc=False)
    assert (found.acc, found.acc_reason, found.chunk, found.warnings) == (None, None, chunk, ())
    assert found.chunk_reason.startswith("of all powers of two, ")
    assert (f"; {chunk} is the next multiple of {lanes} lanes" in found.chunk_reason) == (chunk % 2**4 != 0)
    assert chosen(length, chunk="auto", lanes=lanes).acc == chosen(length, chunk=chunk).acc


def test_an_automatic_chunk_ends_where_specs_do():
    assert chosen(1 << 40, chunk="auto", acc=False).chunk == 1 << 20


def test_with_an_outer_format_a_chunk_is_all_that_is_summed():
    promoted = chosen(1_000_000, outer="fp32")
    assert promoted.acc == chosen(64, chunk=None).acc
    assert promoted.acc_reason.startswith("Chosen for sums of 64 products")
    assert chosen(40, outer="fp32").acc_reason.startswith("Chosen for sums of 40 products")
    assert chosen(4608, outer="fp32", chunk=None).acc == chosen(4608, chunk=None).acc
    # Sums that no accumulator takes without chunks go through one that takes the chunks.
    assert chosen(1 << 40, outer="fp64", rounding="rtz").acc == chosen(64, chunk=None, rounding="rtz").acc


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"scale": "e8m0fnu"}, "the width is that for sums without scales, but the outer accumulator takes those"),
        (
            {"scale": "e8m0fnu", "scale_place": "lanes", "outer": "fp32"},
            "the width is that for sums without scales, but a",
        ),
        ({"product": "e5m4"}, "the width is that for exact products, not for ones rounded to e5m4"),
        ({"lanes": 4, "lane_sum": "tree"}, "the width is that for one rounding a step, not for lane_sum tree"),
        ({"lane_sum": "aligned:9"}, "the width is that for one rounding a step, not for lane_sum aligned:9"),
    ],
)
def test_what_the_theory_does_not_know_is_a_warning(changes, sentence):
    (warning,) = beyond_theory(dataclasses.replace(PLAIN, **changes))
    assert warning.startswith(sentence)
    assert chosen(512, **changes).warnings[-1] == warning


@pytest.mark.parametrize("changes", [{}, {"outer": "fp32"}, {"product": "exact"}, {"lane_sum": "tree"}, {"lanes": 8}])
def test_what_the_theory_knows_is_none(changes):
    assert not list(beyond_theory(dataclasses.replace(PLAIN, **changes)))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"a": "e99m1"}, "a: "),
        ({"rounding": "up"}, "rounding 'up' is not one of"),
        ({"chunk": 0}, "chunk 0 is not an integer from 1 to "),
    ],
)
def test_refused(changes, sentence):
    with pytest.raises(MacgenError) as caught:
        chosen(64, **changes)
    assert str(caught.value).startswith(sentence)
