"""Steps of several products, and aligned sums: every state of small accumulators, and whole arrays, against golden."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from macgen.errors import MacgenError
from macgen.numerics import FixedFormat
from macgen.rtl import ArrayCore, Design
from macgen.rtl.parts.hierarchy import Modules
from macgen.rtl.units.exact_number import Addend, Window
from macgen.spec import MacSpec
from tests.rtl.gates import from_rtlil
from tests.rtl.lane_stages import LaneProof, operand_bits
from tests.rtl.stages import DifferenceError
from tests.rtl.streams import beats_of, check, play
from tests.strategies import specs

# (a, b, acc, lanes, lane_sum, rounding, overflow, other fields). Together: infinities and NaN of every kind, integers,
# subnormals gradual and flushed, accumulators wider and narrower than products, sums that cancel, sums that no
# accumulator holds, windows wider and narrower than the accumulator.
LANES = {"scale_place": "lanes"}

PROOFS = [
    ("e2m1", "e2m1", "e3m2", 2, "fused", "rne", "infinity", {}),
    ("e3m2fn", "e2m3fn", "e4m3", 2, "fused", "drop", "saturate", {}),
    ("e3m2", "e2m1fnuz", "e4m2finite", 4, "fused", "stochastic:2", "saturate", {}),
    ("e3m2", "e2m1fnuz", "e4m2finite", 2, "fused", "stochastic:1:nearest", "saturate", {}),
    ("e3m2", "e2m1", "e4m4", 2, "aligned:3", "stochastic:1:nearest", "saturate", {}),
    ("e3m1", "e3m1", "e4m1", 1, "exponents:6", "stochastic:1:nearest", "infinity", {}),
    ("int4", "uint4", "int8", 2, "fused", "rtz", "wrap", {}),
    ("e2m2", "e2m2", "fix8.1", 4, "fused", "rne", "saturate", {}),
    ("fix2.3", "fix2.3", "fix5.2", 4, "fused", "drop", "saturate", {}),
    ("e2m1", "e2m1", "e3m2", 2, "tree", "rne", "infinity", {}),
    ("e3m2", "e2m1", "e4m4", 4, "tree", "rtz", "saturate", {}),
    ("e2m1", "e3m2", "e3m2", 4, "tree", "drop", "infinity", {}),
    ("e3m2fnuz", "e3m2fnuz", "e4m4fnuz:flush", 2, "tree", "rne", "saturate", {}),
    ("e3m2", "e3m2", "e3m3", 2, "tree", "rne", "infinity", {"product": "e3m1"}),
    ("e2m2", "e2m2:none", "e3m2:none", 4, "tree", "rne", "infinity", {}),
    ("e2m1", "e3m2", "e3m2finite:none", 4, "tree", "drop", "saturate", {"product": "e3m2:none"}),
    ("e2m2", "e2m2", "fix8.1", 2, "tree", "rne", "saturate", {}),
    ("fix2.3", "fix2.3", "fix5.2", 2, "tree", "drop", "wrap", {}),
    ("e2m1", "e2m1", "e3m2", 2, "aligned:3", "rne", "infinity", {}),
    ("e3m2", "e3m2", "e3m2", 1, "aligned:11", "rne", "saturate", {}),
    ("e3m2", "e3m2", "e3m4:flush", 1, "aligned:2", "rtz", "saturate", {}),
    ("e2m2", "e2m2", "e3m3:none", 2, "aligned:3", "rne", "saturate", {"product": "e2m2:none"}),
    ("e2m1:none", "e3m2", "e3m3:none", 2, "fused", "rne", "saturate", {}),
    ("e2m1", "e2m1", "e4m2finite:none", 2, "tree", "rtz", "saturate", {"product": "e4m1finite:none"}),
    ("e3m2", "e2m1", "e4m4", 4, "aligned:1", "stochastic:2", "saturate", {}),
    ("int4", "int4", "e4m3", 2, "aligned:5", "rne", "saturate", {}),
    ("e3m2", "e3m2", "e4m3finite", 2, "aligned:4", "rtz", "saturate", {"product": "e3m1:flush"}),
    ("e3m2", "e3m2", "e4m3", 2, "aligned:4", "floor", "infinity", {"product": "e3m1:flush"}),
    ("e3m2", "e2m1", "e4m2", 4, "tree", "floor", "infinity", {}),
    ("e2m2", "e3m2", "e4m2fnuz:none", 2, "fused", "floor", "nan", {}),
    ("e3m2", "e2m1fn", "e4m2fn", 2, "tree", "rne", "nan", {"product": "e3m1fnuz"}),
    ("e3m2fn", "e3m2", "e4m2fn:flush", 2, "aligned:3", "rtz", "nan", {}),
    ("e2m2", "e2m2", "fix8.1", 4, "tree", "floor", "wrap", {}),
    ("e3m2", "e2m1", "e3m2", 2, "fused", "odd", "to-infinity", {}),
    ("e3m2", "e2m1", "e4m4", 4, "tree", "odd", "saturate", {}),
    ("e2m2", "e2m2", "fix8.1", 2, "tree", "odd", "saturate", {}),
    ("e3m2", "e3m2", "e4m3", 2, "aligned:4", "odd", "to-infinity", {"product": "e3m1"}),
    ("e3m2", "e2m1", "e3m2", 2, "exponents:4", "rtz", "to-infinity", {}),
    ("e3m2:none", "e2m1", "e4m3:none", 2, "exponents:2", "odd", "infinity", {}),
    ("e3m2fn:flush", "e3m2fnuz", "e4m2fn", 2, "exponents:3", "floor", "nan", {}),
    ("e3m1", "e3m1", "e4m3", 1, "exponents:60", "stochastic:2", "infinity", {}),
    # Zeros lead: those of both operands, of one, of the accumulator.
    ("e6m1finite:bias=75", "e6m1finite:bias=75", "e7m2finite:bias=100", 1, "exponents:3", "rtz", "saturate", {}),
    ("e6m1finite:bias=40", "e6m0finite:bias=90", "e7m2finite:bias=100", 1, "exponents:3", "rtz", "saturate", {}),
    ("e8m1finite:bias=140", "e3m1", "e8m2:bias=130", 1, "exponents:4", "rtz", "to-infinity", {}),
    ("e4m3fn", "e4m3fn", "fp32", 1, "exponents:13", "rtz", "to-infinity", {}),
    ("e3m2", "e2m1", "e4m4", 2, "bulk:3", "odd", "to-infinity", {}),
    ("e3m2quiet", "e3m1", "e4m3quiet", 2, "bulk:60", "rne", "infinity", {}),
    ("e3m2:none", "e2m1finite", "e4m2:none", 2, "bulk:2", "rtz", "saturate", {}),
    ("e3m1fnuz", "e3m2:flush", "e3m2fn:flush", 2, "bulk:1", "floor", "nan", {}),
    ("e4m0finite", "e4m0finite", "e6m0finite", 2, "bulk:2", "odd", "saturate", {}),
    ("e4m1", "e3m1", "e5m3", 1, "bulk:3", "odd", "to-infinity", {}),
    # Scales of lanes: of powers of two and floats with zeros, infinities and NaN; groups; blocks of one lane and more.
    ("e2m1finite", "e2m1finite", "e4m2", 2, "exponents:5/2", "rtz", "to-infinity", {"scale": "e2m0fnu", **LANES}),
    ("e2m1", "e2m1", "e4m2", 1, "exponents:4", "rne", "infinity", {"scale": "e3m1", **LANES}),
    (
        "e2m1finite",
        "e2m0finite",
        "e4m2fn:flush",
        2,
        "exponents:3/2",
        "odd",
        "nan",
        {"scale": "e2m1fn", **LANES},
    ),
    (
        "e2m1",
        "e2m0finite",
        "e3m2:none",
        2,
        "exponents:2",
        "floor",
        "saturate",
        {"scale": "e2m0fnu", **LANES, "scale_block": 1},
    ),
    (
        "e2m0finite",
        "e2m0finite",
        "e4m2",
        4,
        "exponents:6/2",
        "stochastic:2",
        "infinity",
        {"scale": "e2m1fnuz", **LANES},
    ),
    # Products overflow to infinities of both signs, of operands that are all finite.
    ("e2m1finite", "e2m1finite", "e4m3", 2, "fused", "rne", "infinity", {"product": "e2m1"}),
    ("e2m1finite", "e2m1finite", "e4m3", 2, "tree", "rne", "infinity", {"product": "e2m1"}),
    ("e2m1finite", "e2m1finite", "e4m3", 2, "aligned:3", "rne", "infinity", {"product": "e2m1"}),
]


def spec_of(a, b, acc, lanes, lane_sum, rounding, overflow, other):
    fields = {"a": a, "b": b, "acc": acc, "lanes": lanes, "lane_sum": lane_sum, "rounding": rounding}
    return MacSpec(**fields, overflow=overflow, chunk=lanes, **other)


@pytest.mark.thinned(5)
@pytest.mark.parametrize("fields", PROOFS, ids=lambda fields: "-".join(map(str, fields[:-1])))
def test_every_state_with_the_lanes_products(fields):
    proof = LaneProof(spec_of(*fields), most_pairs=8_000).run()
    assert len(proof.states) >= 64
    assert proof.steps > 5_000


@pytest.mark.thinned(3)
@pytest.mark.parametrize(
    ("hardware", "contract"),
    [
        ({"lane_sum": "aligned:3"}, {"lane_sum": "aligned:4"}),
        ({"lane_sum": "aligned:8"}, {"lane_sum": "fused"}),
        ({"lane_sum": "tree"}, {"lane_sum": "fused"}),
        ({"lane_sum": "exponents:3"}, {"lane_sum": "exponents:4"}),
        ({"lane_sum": "exponents:3"}, {"lane_sum": "aligned:3"}),
        ({"lane_sum": "bulk:3", "rounding": "odd"}, {"lane_sum": "bulk:4", "rounding": "odd"}),
        ({"lane_sum": "bulk:3"}, {"lane_sum": "exponents:3"}),
        ({"lane_sum": "tree", "rounding": "rtz"}, {"lane_sum": "tree", "rounding": "drop"}),
    ],
)
def test_the_proof_sees_a_difference(hardware, contract):
    formats = {"a": "e3m2", "b": "e3m2", "acc": "e4m3", "lanes": 2, "chunk": 4}
    with pytest.raises(DifferenceError):
        LaneProof(MacSpec(**formats, **hardware), 30_000, contract=MacSpec(**formats, **contract)).run()


@st.composite
def lane_specs(draw):
    """Small formats of every kind with lanes, or aligned."""
    spec = draw(specs(max_exp_bits=3, max_man_bits=3, max_width=5, max_side=1, max_chunk=1))
    kinds = [st.integers(1, 12).map(f"{kind}:{{}}".format) for kind in ("aligned", "exponents", "bulk")]
    lane_sum = draw(st.sampled_from(["fused", "tree"]) | st.one_of(kinds))
    lanes = draw(st.sampled_from([1, 2, 4] if ":" in lane_sum else [2, 4]))
    chunk = spec.chunk and lanes
    try:
        spec = replace(spec, lanes=lanes, lane_sum=lane_sum, chunk=chunk)
    except MacgenError:
        spec = replace(spec, lanes=2, lane_sum="fused", chunk=spec.chunk and 2)
    assume(operand_bits(spec) < 64)
    return spec


@pytest.mark.prove
@given(lane_specs())
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_spec(spec):
    """States and lanes drawn at random: the whole component is made anew for each spec."""
    LaneProof(replace(spec, pipeline=1), most_pairs=6_000).run()


# -- arrays ----------------------------------------------------------------------------------------------------------

SMALL = {"a": "e3m2", "b": "e3m2", "acc": "e4m3", "rows": 2, "cols": 1}
FOUR_BITS = {"a": "e2m1finite", "b": "e2m1finite", "lanes": 4}
ARRAYS = [
    {**SMALL, "lanes": 2, "chunk": 6, "overflow": "infinity"},
    {**SMALL, "lanes": 2, "lane_sum": "tree", "pipeline": 2},
    {**SMALL, "lanes": 2, "lane_sum": "tree", "chunk": 4, "fold": "overlap", "product": "e3m1", "overflow": "infinity"},
    {**SMALL, "lanes": 2, "lane_sum": "aligned:3", "chunk": 6, "rounding": "stochastic:4", "pipeline": 2},
    {**SMALL, "lane_sum": "aligned:3", "chunk": 3, "fold": "overlap", "rounding": "stochastic:4"},
    {**SMALL, "lane_sum": "aligned:4", "lanes": 2, "overflow": "infinity"},
    {**SMALL, "lane_sum": "aligned:4", "lanes": 2, "chunk": 4, "outer": "e5m6", "outer_rounding": "stochastic:3"},
    {**SMALL, "lanes": 2, "chunk": 4, "outer": "e5m4", "scale": "e3m0fnu", "rounding": "rtz", "pipeline": 2},
    {**SMALL, "lanes": 2, "lane_sum": "tree", "chunk": 4, "interleave": 2, "product": "e3m1", "fold": "overlap"},
    {**SMALL, "lanes": 2, "lane_sum": "aligned:3", "interleave": 2},
    {**SMALL, "lanes": 2, "lane_sum": "aligned:3", "chunk": 4, "interleave": 2, "rounding": "stochastic:4"},
    {**SMALL, "lane_sum": "aligned:4", "chunk": 3, "interleave": 3, "fold": "overlap", "product": "e3m1"},
    {**SMALL, "lane_sum": "aligned:4", "chunk": 2, "interleave": 4, "fold": "overlap", "rounding": "stochastic:4"},
    {**SMALL, "lanes": 2, "lane_sum": "aligned:5", "chunk": 4, "interleave": 3, "outer": "e5m4", "scale": "e3m0fnu"},
    {**SMALL, "lanes": 3, "lane_sum": "exponents:4", "chunk": 6, "rounding": "rtz", "overflow": "to-infinity"},
    {**SMALL, "lane_sum": "exponents:3", "chunk": 3, "fold": "overlap", "rounding": "stochastic:4", "pipeline": 2},
    {**SMALL, "lanes": 2, "lane_sum": "exponents:5", "chunk": 4, "interleave": 3, "outer": "e5m4", "scale": "e3m0fnu"},
    {**SMALL, "lane_sum": "exponents:4", "interleave": 4, "rounding": "odd"},
    {**SMALL, "lanes": 2, "lane_sum": "bulk:4", "pipeline": 2, "rounding": "odd", "overflow": "to-infinity"},
    {**SMALL, "lane_sum": "bulk:3", "chunk": 3, "fold": "overlap", "interleave": 2},
    {**SMALL, "lanes": 4, "lane_sum": "exponents:5", "chunk": 8, "scale": "e3m0fnu", **LANES, "scale_block": 2},
    {**SMALL, **FOUR_BITS, "lane_sum": "exponents:6/2", "scale": "e3m1", **LANES, "pipeline": 3, "interleave": 2},
    {**SMALL, **FOUR_BITS, "lane_sum": "exponents:6/4", "scale": "e4m3fn", **LANES, "pipeline": 2, "chunk": 8}
    | {"outer": "e5m6", "outer_rounding": "stochastic:3"},
    {"a": "int4", "b": "uint4", "acc": "int9", "overflow": "wrap", "rows": 2, "cols": 2, "lanes": 3},
    {"a": "fp16", "b": "fp16", "acc": "fp32", "overflow": "infinity", "lanes": 2, "lane_sum": "tree", "rows": 1},
    {"a": "e4m3fn", "b": "e4m3fn", "acc": "e8m13", "rounding": "rtz", "outer": "fp32", "outer_rounding": "rne"}
    | {"rows": 1, "cols": 1, "lanes": 4, "chunk": 16, "lane_sum": "aligned:13"},
]


@pytest.mark.thinned(5)
@pytest.mark.parametrize("index", range(len(ARRAYS)))
def test_arrays_take_beats_of_several_elements(index):
    """The lanes that a dot product's last beat does not need hold zero; gaps, back-pressure, restarts and resets."""
    spec = MacSpec(**{"cols": 1, **ARRAYS[index]})
    gates = from_rtlil(Modules("array").convert(ArrayCore(Design(spec))), "array")
    rng = np.random.default_rng(1)
    beats = beats_of(spec, rng, 32, 24)
    assert check(spec, beats, play(gates, spec, beats, rng)) > 40


@pytest.mark.thinned(2)
@pytest.mark.parametrize(
    "fields",
    [
        {"a": "e4m3fn", "b": "e4m3fn", "acc": "e8m13", "outer": "fp32", "chunk": 128, "lanes": 32}
        | {"lane_sum": "aligned:13", "rounding": "rtz", "outer_rounding": "rne"},
        {"a": "e4m3fn", "b": "e4m3fn", "acc": "fp32", "lanes": 32, "lane_sum": "exponents:13", "rounding": "rtz"},
        {"a": "int8", "b": "int8", "acc": "int32", "lanes": 4},
        {"a": "e5m2", "b": "e5m2", "acc": "e6m9", "lanes": 4, "chunk": 64},
        {"a": "fp16", "b": "fp16", "acc": "fp32", "lanes": 4, "lane_sum": "tree", "overflow": "infinity"},
    ],
)
def test_specs_in_use_become_hardware(fields):
    text = Modules("array").convert(ArrayCore(Design(MacSpec(**fields))))
    assert text.count("\\array_multiplier") >= fields["lanes"]


# -- what sums can be ------------------------------------------------------------------------------------------------


def test_a_fused_sum_has_the_bits_that_the_spec_counts():
    for a, acc, lanes in (("e4m3fn", "e8m13", 32), ("fp16", "fp32", 8), ("int8", "fp32", 5)):
        spec = MacSpec(a=a, b=a, acc=acc, lanes=lanes)
        addend = Design(spec).steps.rounded_sum.addend
        assert addend.significand_bits == spec.fused_bits
        assert addend.largest == lanes * Design(spec).product.largest


@given(lane_specs())
def test_windows_hold_what_they_keep(spec):
    if spec.aligned_bits is None:
        return
    window = Design(spec).window
    total = Addend.of_window(window)
    # The largest sum fits, and in the lowest position the last bit is the grid's.
    scale = Fraction(2) ** (window.highest - window.bits)
    assert total.largest / scale < 1 << total.significand_bits
    assert window.bits == min(spec.aligned_bits, max(window.highest - window.lsb_exponent, 0))
    assert window.lowest_top == window.bits + window.lsb_exponent - window.base
    assert total.least_exponent == 1
    assert total.largest_exponent == 1 + window.highest - window.bits - window.lsb_exponent


def test_a_window_is_no_wider_than_the_numbers():
    product = Addend.of_product(FixedFormat(4, 0), FixedFormat(4, 0), integer=False)
    assert Window((product, product), 64, 0).bits == 6
