"""The float loop, exhaustively: every state that small accumulators can reach with every operand, against golden."""

from dataclasses import replace

import pytest

from macgen.rtl import Design
from macgen.spec import MacSpec
from tests.rtl.stages import DifferenceError, Proof

# (a, b, acc, rounding, overflow). Together: every encoding as operand and accumulator, accumulators wider and narrower
# than products, one significand bit, unusual biases, subnormals gradual, flushed and replaced, integer operands.
SMALL = [
    ("e2m1", "e2m1", "e3m2", "rne", "infinity"),
    ("e2m1", "e3m2", "e3m2", "rtz", "infinity"),
    ("e3m2", "e3m2", "e3m2", "rne", "saturate"),
    ("e3m2", "e2m1", "e4m4", "rtz", "saturate"),
    ("e2m2", "e2m2", "e3m5", "rne", "infinity"),
    ("e3m1", "e3m1", "e3m1", "rne", "infinity"),
    ("e2m1finite", "e2m1finite", "e4m3", "rne", "saturate"),
    ("e2m3finite", "e3m2finite", "e4m3fn", "rne", "saturate"),
    ("e3m2fn", "e3m2fn", "e3m3fn", "rtz", "saturate"),
    ("e3m2fn", "e2m3fn", "e4m5fn", "rne", "saturate"),
    ("e3m2fnuz", "e3m2fnuz", "e3m3fnuz", "rne", "saturate"),
    ("e3m2fnuz", "e3m2fnuz", "e4m4fnuz", "rtz", "saturate"),
    ("e3m2", "e2m1fnuz", "e4m2finite", "rne", "saturate"),
    ("e2m1fn", "e3m1", "e4m4finite", "rtz", "saturate"),
    ("e3m2", "e3m2", "e4m3fnuz", "rne", "saturate"),
    ("e3m2", "e3m2", "e4m1fn", "rne", "saturate"),
    ("e3m2:flush", "e3m2:flush", "e3m3:flush", "rne", "infinity"),
    ("e3m2", "e3m2", "e3m4:flush", "rtz", "saturate"),
    ("e3m2", "e3m2", "e5m5:flush", "rne", "saturate"),
    ("e2m2fnuz", "e2m2fnuz", "e3m3fnuz:flush", "rne", "saturate"),
    ("e2m1:flush", "e3m2", "e4m2fn:flush", "rtz", "saturate"),
    ("e3m2:none", "e3m2:none", "e3m3:none", "rne", "infinity"),
    ("e3m2finite:none", "e2m1", "e4m3finite:none", "rtz", "saturate"),
    ("e3m2", "e3m2", "e5m5:none", "rne", "saturate"),
    ("e2m2fnuz:none", "e2m2fnuz", "e3m3fnuz:none", "rne", "saturate"),
    ("e2m1", "e3m2:none", "e4m2fn:none", "rtz", "saturate"),
    ("e3m0fn", "e3m0fn", "e4m0fn", "rne", "saturate"),
    ("e3m0finite", "e3m1finite", "e4m0finite", "rtz", "saturate"),
    ("e3m0fnuz", "e2m2", "e4m0fnuz:flush", "rne", "saturate"),
    ("e1m3fn", "e1m3fnuz", "e2m3", "rne", "infinity"),
    ("e1m2finite", "e1m2finite", "e1m4finite", "rne", "saturate"),
    ("e1m2fn", "e1m2fn", "e1m4fn:bias=0", "rtz", "saturate"),
    ("e3m2:bias=7", "e3m2:bias=-1", "e4m2:bias=7", "rne", "infinity"),
    ("e3m2fn:bias=9", "e3m2fn:bias=9", "e3m3fn:bias=8", "rne", "saturate"),
    ("e2m1:bias=-3", "e2m1:bias=-3", "e3m2:bias=-4", "rne", "saturate"),
    ("int4", "int4", "e4m3", "rne", "saturate"),
    ("int3", "uint3", "e3m2finite", "rtz", "saturate"),
    ("fix2.2", "e3m2", "e4m3", "rne", "infinity"),
    ("int1", "e2m2fn", "e3m3fn:flush", "rne", "saturate"),
    ("uint2", "uint2", "e3m1fnuz", "rne", "saturate"),
]

# The same formats with `drop`, where they differ in what it cuts: products longer or shorter than the accumulator,
# subnormals gradual on a coarser or no coarser grid, or flushed.
DROP = [
    (a, b, acc, "drop", overflow)
    for a, b, acc, _, overflow in SMALL
    if acc
    in ("e3m2", "e4m4", "e3m5", "e3m1", "e4m3", "e4m5fn", "e4m4fnuz", "e3m3:flush", "e5m5:flush", "e4m0finite", "e2m3")
    or ":none" in acc
]

STOCHASTIC = [
    (a, b, acc, f"stochastic:{1 + index % 3}", overflow) for index, (a, b, acc, _, overflow) in enumerate(DROP)
]

NEAREST = [
    (a, b, acc, f"stochastic:{1 + index % 2}:nearest", overflow) for index, (a, b, acc, _, overflow) in enumerate(DROP)
]

FLOOR = [(a, b, acc, "floor", overflow) for a, b, acc, _, overflow in DROP]

# To odd, which sets the last bit of a cut significand; of one bit it is set already, but for what becomes the smallest
# number. Each kind of subnormals, with folds, and all of `to-infinity`.
ODD = [
    ("e3m2", "e2m1", "e3m2", "odd", "to-infinity"),
    ("e3m2", "e3m2", "e4m3:flush", "rtz", "to-infinity"),
    ("e3m2", "e3m2", "e4m3:none", "odd", "infinity"),
    ("e3m2", "e3m2", "e4m0fn", "odd", "nan"),
    ("e3m2", "e3m2", "e3m0finite", "odd", "saturate"),
    ("e3m2", "e3m2", "e4m2fnuz", "odd", "nan"),
    ("e3m2fn", "e3m2", "e4m2fn:flush", "odd", "saturate"),
    ("e3m2", "e3m1", "e3m3", "floor", "to-infinity"),
    ("e2m1", "e2m1", "e3m2", "stochastic:2", "to-infinity"),
]

# The largest number is a power of two, and the negative one has another exponent in two's complement. Mostly without
# infinities, which infinite operands then make it.
POWERS = [
    ("e3m2", "e3m1finite", "e4m0finite", "floor", "saturate"),
    ("e3m2", "e2m1", "e3m0finite:flush", "floor", "saturate"),
    ("e2m1", "e2m1", "e3m0fnuz", "floor", "nan"),
    ("e3m1", "e3m1", "e3m0fn:bias=3", "floor", "saturate"),
    ("e2m1", "e2m1", "e1m0finite", "floor", "saturate"),
    ("e2m1", "e2m1", "e1m0finite:bias=-1", "floor", "saturate"),
    ("e2m1", "e2m1", "e1m0finite:bias=-4", "floor", "saturate"),
    ("e3m2", "e2m1", "e3m1fn", "floor", "saturate"),
    ("e3m1", "e3m1", "e3m1fn:none", "floor", "saturate"),
    ("e2m1", "e2m1", "e2m1fn:bias=0", "floor", "saturate"),
    ("e2m1", "e2m1", "e1m1fn:bias=-1:none", "floor", "saturate"),
]

# Products of two subnormal numbers are not normalised: accumulators with the finest grid for which that holds.
TINY_PAIRS = [
    ("e3m2", "e3m2", "e4m3:bias=0", "rne", "infinity"),
    ("e3m2", "e3m2fnuz", "e4m3fnuz:bias=1", "rne", "saturate"),
    ("e2m3", "e4m1finite", "e4m3:bias=2", "rtz", "saturate"),
    ("e3m2", "e3m2", "e4m3:bias=0", "drop", "saturate"),
    ("e3m2", "e3m2", "e4m3:bias=0", "stochastic:1", "infinity"),
    ("e3m2", "e3m2", "e4m3:bias=-2", "stochastic:3", "saturate"),
    ("e3m2", "e3m2", "e4m3:bias=-1", "stochastic:1:nearest", "saturate"),
]


def specs(formats):
    a, b, acc, rounding, overflow = formats
    return MacSpec(a=a, b=b, acc=acc, rounding=rounding, overflow=overflow, chunk=4)


@pytest.mark.thinned(7)
@pytest.mark.parametrize("formats", SMALL + DROP + STOCHASTIC + FLOOR + ODD + NEAREST, ids="-".join)
def test_every_state_and_operand(formats):
    proof = Proof(specs(formats), most_pairs=100_000).run()
    # Even where pairs had to be drawn: the accumulator got to many states.
    assert proof.complete or len(proof.states) >= 50


@pytest.mark.thinned("e3m2-e3m1finite-e4m0finite-floor-saturate", "e3m2-e2m1-e3m1fn-floor-saturate")
@pytest.mark.parametrize("formats", POWERS, ids="-".join)
def test_powers_of_two_as_the_largest_numbers(formats):
    proof = Proof(specs(formats), most_pairs=50_000).run()
    assert proof.complete or len(proof.states) >= 20


@pytest.mark.thinned(5)
@pytest.mark.parametrize("formats", TINY_PAIRS, ids="-".join)
def test_products_of_two_subnormal_numbers_below_all_that_matters(formats):
    spec = replace(specs(formats), chunk=None)
    assert Design(spec).product.has_tiny_pairs
    finer = replace(spec, acc=replace(spec.acc, bias=spec.acc.bias + 1))
    assert not Design(finer).product.has_tiny_pairs
    assert Proof(spec, most_pairs=4_000_000).run().complete


@pytest.mark.thinned(5)
@pytest.mark.parametrize(
    "formats",
    [
        ("e5m2", "e5m2", "e6m5", "rne", "saturate"),
        ("e5m2", "e5m2", "e6m9", "rne", "saturate"),
        ("e4m3fn", "e4m3fn", "e6m5", "rne", "infinity"),
        ("e4m3fn", "e5m2", "e5m7", "rtz", "infinity"),
        ("e4m3fnuz", "e5m2fnuz", "e6m5:flush", "rne", "saturate"),
        ("int8", "int8", "e5m10", "rne", "infinity"),
        ("e5m2", "e5m2", "e6m5", "stochastic:13", "saturate"),
        ("e4m3fn", "e5m2", "e5m7", "stochastic:5", "infinity"),
        ("e5m2", "e5m2", "e6m5", "stochastic:4:nearest", "saturate"),
        ("e4m3fnuz", "e5m2fnuz", "e6m5:flush", "stochastic:32", "saturate"),
    ],
    ids="-".join,
)
def test_formats_in_use(formats):
    """Too many states for all pairs: a hundred thousand of them."""
    proof = Proof(specs(formats), most_pairs=60_000).run()
    assert proof.steps + proof.folds >= 80_000


# Products and sums without subnormals: the missing power of two vanishes in the rounding of either.
REPLACED = [
    MacSpec(a="e2m2finite", b="e2m1finite", product="e3m2finite:bias=4:none", acc="e3m2finite:none", rounding="rtz"),
    MacSpec(a="e2m1", b="e2m2", product="e2m2:none", acc="e3m2:none", chunk=4, overflow="infinity"),
    MacSpec(a="e2m1", b="e2m1fn", product="e2m2fnuz:none", acc="e3m1fnuz:none"),
    MacSpec(a="e2m1:none", b="e2m1", product="e3m2fn:flush", acc="e3m2fn:none", chunk=4, rounding="drop"),
]


@pytest.mark.parametrize("spec", REPLACED, ids=lambda spec: f"{spec.product}-{spec.acc}")
def test_products_without_subnormals(spec):
    proof = Proof(spec, most_pairs=40_000).run()
    assert proof.complete or len(proof.states) >= 50


@pytest.mark.thinned(3)
@pytest.mark.parametrize(
    ("hardware", "contract"),
    [
        ({"rounding": "rtz"}, {"rounding": "rne"}),
        ({"rounding": "stochastic:2"}, {"rounding": "rtz"}),
        ({"rounding": "stochastic:2"}, {"rounding": "stochastic:3"}),
        ({"overflow": "saturate"}, {"overflow": "infinity"}),
        ({"rounding": "rtz", "overflow": "infinity"}, {"rounding": "rtz", "overflow": "to-infinity"}),
        ({"rounding": "rtz"}, {"rounding": "odd"}),
        ({"acc": "e3m3:flush"}, {"acc": "e3m3"}),
        ({"acc": "e3m3:flush"}, {"acc": "e3m3:none"}),
        ({"a": "e3m2:flush"}, {"a": "e3m2"}),
        ({"acc": "e3m3fn"}, {"acc": "e3m3finite"}),
    ],
)
def test_the_proof_sees_a_difference(hardware, contract):
    formats = {"a": "e3m2", "b": "e3m2", "acc": "e3m3", "chunk": 4}
    with pytest.raises(DifferenceError):
        Proof(MacSpec(**{**formats, **hardware}), 50_000, contract=MacSpec(**{**formats, **contract})).run()
