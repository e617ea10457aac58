"""The fixed-point loop, exhaustively, against golden; and its geometry."""

import pytest

from macgen.rtl import Design
from macgen.spec import MacSpec
from tests.rtl.stages import Proof

# (a, b, acc, rounding, overflow).
SMALL = [
    ("int4", "int4", "int8", "rne", "saturate"),
    ("int4", "int4", "int9", "rne", "wrap"),
    ("uint4", "uint4", "uint8", "rne", "saturate"),
    ("uint4", "uint4", "uint9", "rtz", "wrap"),
    ("uint4", "uint3", "int9", "rne", "saturate"),
    ("int4", "uint4", "int8", "rtz", "wrap"),
    ("int1", "int1", "int3", "rne", "saturate"),
    ("int1", "uint1", "int1", "rne", "saturate"),
    ("uint1", "uint1", "uint1", "rne", "wrap"),
    ("fix2.3", "fix2.3", "fix5.2", "rne", "saturate"),
    ("fix2.3", "fix2.3", "fix5.2", "rtz", "wrap"),
    ("ufix2.3", "ufix1.4", "ufix4.1", "rne", "saturate"),
    ("ufix0.4", "ufix0.4", "ufix1.0", "rne", "saturate"),
    ("ufix0.4", "fix1.3", "fix2.0", "rtz", "wrap"),
    ("int3", "int3", "fix7.2", "rne", "saturate"),
    ("e2m1finite", "e2m1finite", "fix8.0", "rne", "saturate"),
    ("e2m1finite", "e2m1finite", "fix8.1", "rtz", "wrap"),
    ("e2m1finite", "e2m1finite", "fix8.3", "rne", "wrap"),
    ("e2m2", "e2m2", "fix8.1", "rne", "saturate"),
    ("e2m2", "e2m2", "fix8.2", "rtz", "wrap"),
    ("e3m1fn", "e2m2fnuz", "fix9.0", "rne", "wrap"),
    ("e3m1", "int3", "fix9.1", "rne", "wrap"),
    ("e2m2:flush", "ufix1.2", "fix7.2", "rne", "saturate"),
    ("e3m0fn", "e3m0fnuz", "fix10.1", "rtz", "saturate"),
    ("e2m3:bias=5", "e2m3:bias=5", "fix1.7", "rne", "saturate"),
    ("e2m3:bias=8", "e2m3:bias=8", "fix1.6", "rtz", "saturate"),
    ("e2m1:bias=-1", "e2m1:bias=-1", "fix10.0", "rne", "saturate"),
    ("e1m2finite", "e1m2finite", "fix6.2", "rne", "saturate"),
]
DROP = [(a, b, acc, "drop", overflow) for a, b, acc, rounding, overflow in SMALL if rounding == "rtz"]

STOCHASTIC = [
    (a, b, acc, f"stochastic:{1 + index % 3}", overflow) for index, (a, b, acc, _, overflow) in enumerate(SMALL[9::2])
]
STOCHASTIC += [("e2m1:bias=3", "e2m1:bias=3", "fix3.3", f"stochastic:{bits}", "wrap") for bits in (4, 9, 32)]
STOCHASTIC += [
    (a, b, acc, f"stochastic:{1 + index % 2}:nearest", overflow)
    for index, (a, b, acc, _, overflow) in enumerate(SMALL[8::4])
]

# Products that lie below the accumulator's last bit altogether, by up to more than their own width.
FAR = [
    (a, b, acc, rounding, overflow)
    for a, b, acc, overflow in (
        ("fix2.2", "fix-2.5", "fix6.-2", "saturate"),
        ("ufix1.1", "ufix-2.4", "ufix6.-4", "wrap"),
        ("uint1", "fix-4.5", "fix3.0", "wrap"),
    )
    for rounding in ("floor", "drop", "rtz", "odd", "rne", "stochastic:2", "stochastic:12", "stochastic:2:nearest")
]

ODD = [
    ("e2m2", "e2m2", "fix6.1", "odd", "saturate"),
    ("fix2.3", "fix2.3", "fix5.2", "odd", "wrap"),
    ("ufix0.4", "ufix0.4", "ufix1.0", "odd", "saturate"),
    ("e2m3:bias=8", "e2m3:bias=8", "fix1.6", "odd", "saturate"),
]

FORMATS = SMALL + DROP + STOCHASTIC + ODD


@pytest.mark.thinned(6)
@pytest.mark.parametrize(
    ("formats", "chunk"),
    # Steps are the same without chunks, which only leave out folds and loads.
    [*((formats, 4) for formats in FORMATS), *((formats, None) for formats in FORMATS[::5])],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else f"chunk={value}",
)
def test_every_state_and_operand(formats, chunk):
    a, b, acc, rounding, overflow = formats
    spec = MacSpec(a=a, b=b, acc=acc, rounding=rounding, overflow=overflow, chunk=chunk)
    proof = Proof(spec, most_pairs=100_000 << min(spec.random_bits, 3)).run()
    assert proof.complete or len(proof.states) >= min(100, 2 ** (spec.acc.width - 1))


@pytest.mark.thinned("fix2.2-fix-2.5-fix6.-2-floor-saturate", "fix2.2-fix-2.5-fix6.-2-drop-saturate")
@pytest.mark.parametrize("formats", FAR, ids="-".join)
def test_products_below_the_accumulators_last_bit(formats):
    a, b, acc, rounding, overflow = formats
    spec = MacSpec(a=a, b=b, acc=acc, rounding=rounding, overflow=overflow, chunk=4)
    assert Proof(spec, most_pairs=100_000).run().steps


def test_integers_into_integers_need_no_bits_below():
    geometry = Design(MacSpec(a="int8", b="int8", acc="int32", overflow="wrap")).steps.geometry
    assert (geometry.extra_bits, geometry.operand_bits) == (0, 17)


def test_float_products_keep_a_guard_and_a_sticky_bit():
    fine = MacSpec(a="e4m3", b="e4m3", acc="fix20.0")
    assert Design(fine).steps.geometry.extra_bits == 2
    assert Design(MacSpec(a="e4m3", b="e4m3", acc="fix20.20")).steps.geometry.extra_bits == 0
