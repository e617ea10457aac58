import itertools
import json
from dataclasses import replace
from fractions import Fraction

import pytest

from macgen.errors import MacgenError
from macgen.network.gemm import Gemm, Layer, Network
from macgen.network.measurement import Measurement, OperandStatistics
from macgen.network.operand_format import OperandFormat
from macgen.network.papers import paper_network
from macgen.numerics import FixedFormat, FloatFormat, all_values, parse_format
from macgen.width import exponent, nsr
from macgen.width.goal import Goal, Sum
from macgen.width.network_plan import measured_sum, plan_length, plan_network
from macgen.width.plan_file import parse_plan
from macgen.width.planning import plan

SMALL = Network(
    "small",
    2,
    (
        Layer("first", "Conv", (Gemm("forward", 27, 100), Gemm("gradient", 5000, 27))),
        Layer("last", "Gemm", (Gemm("forward", 4608, 10), Gemm("backward", 10, 4608), Gemm("gradient", 2, 46080))),
    ),
    {"Relu": 3},
)


def statistics(nonzero=1.0, largest=1.0, rms=0.5, dtype="float32", lowest=None):
    """Return figures of values from -largest, unless a lowest one is given, to largest."""
    return OperandStatistics(nonzero, -largest if lowest is None else lowest, largest, 0.01, rms, dtype)


def with_measurement(measured):
    gemms = Gemm("forward", 4608, 10), Gemm("gradient", 640, 4608)
    return Network("measured", 1, (Layer("only", "Conv", gemms, measured),))


# -- totals ----------------------------------------------------------------------------------------------------------


def test_rows_are_the_plans_of_the_gemms():
    goal = Goal(chunk=64)
    calls = []
    found = plan_network(SMALL, goal, progress=lambda *call: calls.append(call))
    assert calls == [(k, 5) for k in range(1, 6)]
    assert [(row.layer, row.op, row.gemm.kind, row.gemm.length) for row in found.rows] == [
        ("first", "Conv", "forward", 27),
        ("first", "Conv", "gradient", 5000),
        ("last", "Gemm", "forward", 4608),
        ("last", "Gemm", "backward", 10),
        ("last", "Gemm", "gradient", 2),
    ]
    assert all(row.plan == plan(goal, Sum(length=row.gemm.length)) for row in found.rows)
    assert (found.network, found.batch, found.goal, found.skipped) == ("small", 2, goal, {"Relu": 3})


def test_totals_by_hand():
    """NSR 0.0225 n / 4^m <= 0.01: m = 3 for 27, 7 for 5000 and 4608, 3 for 10 (0.0225 * 10 / 4^2 > 0.01), 2 for 2."""
    found = plan_network(SMALL, Goal())
    formats = [str(row.plan.chosen.acc) for row in found.rows]
    assert formats == ["e5m3", "e5m7", "e5m7", "e5m3", "e5m2"]
    macs = [2700, 135000, 46080, 46080, 92160]
    assert [row.gemm.macs for row in found.rows] == macs
    bits = (2700 * 9 + 135000 * 13 + 46080 * 13 + 46080 * 9 + 92160 * 8) / sum(macs)
    assert found.mean_bits == pytest.approx(bits, rel=1e-12)
    assert found.saving == pytest.approx(1 - bits / 32, rel=1e-12)
    assert found.widest == FloatFormat(5, 7)


def test_the_widest_joins_exponent_and_mantissa():
    """A short sum of tight noise and a long one that reaches far: no row has both."""
    layers = (Layer("a", "Gemm", (Gemm("forward", 1 << 30, 1),)), Layer("b", "Gemm", (Gemm("forward", 4, 1),)))
    found = plan_network(Network("two", 1, layers), Goal(a="e2m3", b="e2m3"))
    accs = [row.plan.chosen.acc for row in found.rows]
    assert found.widest == FloatFormat(max(x.exp_bits for x in accs), max(x.man_bits for x in accs))


def test_kinds():
    found = plan_network(SMALL, Goal(), kinds=("forward",))
    assert [row.gemm.kind for row in found.rows] == ["forward", "forward"]
    assert found.mean_bits == pytest.approx((2700 * 9 + 46080 * 13) / 48780, rel=1e-12)


def test_integers_save_against_int32():
    found = plan_network(SMALL, Goal(a="int8", b="int8"), kinds=("forward",))
    assert [str(row.plan.chosen.acc) for row in found.rows] == ["int20", "int28"]
    assert found.widest == FixedFormat(28)
    assert found.saving == pytest.approx(1 - (2700 * 20 + 46080 * 28) / 48780 / 32, rel=1e-12)


def test_resnet18_forward():
    """The VRR's widths of the blocks, without chunks; the 1 x 1 projections are shorter."""
    found = plan_network(paper_network("resnet18", 256), Goal(chunk=64), kinds=("forward",))
    blocks = {1: 7, 2: 7, 3: 8, 4: 9}
    for row in found.rows:
        if row.layer.endswith("conv2"):
            assert row.plan.answer("vrr", None).man_bits == blocks[int(row.layer[5])]
            assert row.plan.answer("vrr", 64).man_bits == 5


def test_one_length():
    found = plan_length(4608, Goal(chunk=64), nzr=0.5)
    (row,) = found.rows
    assert row.plan == plan(Goal(chunk=64), Sum(length=4608, nzr=0.5))
    assert found.widest == row.plan.chosen.acc
    assert found.mean_bits == row.plan.chosen.acc.width


def test_networks_without_products():
    for network, kinds in ((Network("empty", 1, ()), ("forward",)), (SMALL, ())):
        with pytest.raises(MacgenError) as caught:
            plan_network(network, Goal(), kinds=kinds)
        assert str(caught.value) == (
            f"network {network.name!r} has no multiply-accumulates of the kinds {', '.join(kinds)}; accepted are "
            f"networks with convolutions or matrix products"
        )


def test_absurd_lengths():
    network = Network("long", 1, (Layer("x", "Gemm", (Gemm("forward", 1 << 41, 1),)),))
    with pytest.raises(MacgenError) as caught:
        plan_network(network, Goal())
    assert str(caught.value) == "length 2199023255552 is not an integer from 1 to 2^40"


# -- measured --------------------------------------------------------------------------------------------------------


def test_measured_sparsity_and_range_enter_the_forward_gemm_only():
    measured = Measurement(statistics(nonzero=0.25, rms=0.5), statistics(nonzero=0.5, rms=0.125))
    found = plan_network(with_measurement(measured), Goal())
    assert found.rows[0].plan.sum == Sum(length=4608, nzr=0.125, rms=0.0625)
    assert found.rows[1].plan.sum == Sum(length=640)
    acc = found.rows[0].plan.chosen.acc
    assert acc.man_bits == nsr.min_man_bits(576, 0.01)
    assert acc.exp_bits == exponent.choose(*Goal().formats, 4608, acc.man_bits, rms=0.0625).bits


def test_measured_weights_bound_integers():
    numbers = statistics(largest=127.0, rms=30.0, dtype="int8")
    found = plan_network(with_measurement(Measurement(numbers, numbers, weight_l1=20000)), Goal(a="uint8", b="int8"))
    assert (found.rows[0].plan.chosen.method, str(found.rows[0].plan.chosen.acc)) == ("weights", "int24")
    assert found.rows[1].plan.chosen.method == "exact"


def integers(weights):
    """Return figures of one output's integer weights."""
    dtype = "int8" if min(weights) < 0 else "uint8"
    return OperandStatistics(1.0, float(min(weights)), float(max(weights)), 1.0, 1.0, dtype)


@pytest.mark.parametrize(
    ("a", "b", "acc"),
    [
        ("int2", "int8", "int10"),  # every product: -2 * -128 = 256
        ("int2", "int4", "int6"),  # -2 * 5 - 1 * 7 = -17 and 1 * 5 + 2 * 7 = 19
        ("int2", "fix4.4", "fix6.4"),
        ("fix1.1", "fix4.1", "fix5.2"),  # -1 * 5 - 0.5 * 7 = -8.5 and 9.5
        ("uint1", "ufix3.2", "ufix4.2"),
        ("ufix-1.2", "fix4.3", "fix2.5"),
    ],
)
def test_weights_of_a_model_are_values_whatever_the_format(a, b, acc):
    """The accumulator holds all sums of the weights as numbers, and one bit less does not, nor every product."""
    weights = (5, -7) if parse_format(b).signed else (5, 7)
    operands = [Fraction(float(x)) for x in all_values(parse_format(a))]
    sums = [x * weights[0] + y * weights[1] for x, y in itertools.product(operands, repeat=2)]
    products = [x * Fraction(end) for x in operands for end in (parse_format(b).min, parse_format(b).max)]
    known = Measurement(integers((-1, 1)), integers(weights), 12, (7, 5) if min(weights) < 0 else (0, 12))
    found = plan(Goal(a=a, b=b), measured_sum(2, known, Goal(a=a, b=b))).answer("weights", None).acc
    ends = min(sums + products), max(sums + products)
    assert found.frac_bits == parse_format(a).frac_bits + parse_format(b).frac_bits
    assert found.min <= ends[0] <= ends[1] <= found.max
    less = replace(found, int_bits=found.int_bits - 1)
    assert ends[0] < less.min or less.max < ends[1]
    assert str(found) == acc


@pytest.mark.parametrize(("weights", "fit"), [((5, -7), False), ((16, -32), False), ((0, 0), True)])
def test_integers_between_the_numbers_of_a_format_do_not_fit(weights, fit):
    """Between 16 and -32 there may be others, which fix8.-4 does not have; of nothing but zeros that is known."""
    positive, negative = max(*weights, 0), -min(*weights, 0)
    known = Measurement(integers((0, 1)), integers(weights), positive + negative, (negative, positive))
    found = plan(Goal(a="uint1", b="fix8.-4"), measured_sum(2, known, Goal(a="uint1", b="fix8.-4")))
    assert (found.answer("weights", None) is not None) is fit
    assert found.warnings == (() if fit else (
        f"operands reach from {min(weights)} to {max(weights)}, beyond b fix8.-4, which holds multiples of 16 from "
        f"-128 to 112: the plan is for operands that fit",
    ))  # fmt: skip


@pytest.mark.parametrize(
    ("a", "b", "goal", "rms"),
    [
        (statistics(largest=3.0, rms=0.5), statistics(largest=6.0, rms=2.0), Goal(a="e2m1finite", b="e2m1finite"), 1.0),
        (
            statistics(largest=6.1, rms=0.5),
            statistics(largest=48.0, rms=2.0),
            Goal(a="e2m1finite", b="e2m1finite"),
            0.25 * 0.25,
        ),
        # Real numbers fill a fixed-point format: 0.4 * 256 = 102.4, not 204.8; 500 / 4 = 125
        (statistics(largest=0.4, rms=0.1), statistics(rms=2.0), Goal(a="int8", b="e5m2"), 25.6 * 2),
        (statistics(largest=500.0, rms=100.0), statistics(rms=2.0), Goal(a="int8", b="e5m2"), 25.0 * 2),
        (statistics(largest=9.0, rms=3.0, dtype="int8"), statistics(rms=2.0), Goal(a="int8", b="e5m2"), 6.0),
    ],
)
def test_operands_are_scaled_into_their_formats(a, b, goal, rms):
    reach = ((-9, 9), None) if a.dtype == "int8" else (None, None)
    assert measured_sum(100, Measurement(a, b), goal) == Sum(length=100, rms=rms, reach=reach)


def test_integers_beyond_their_format_warn():
    """Int8 weights in int4; real numbers are scaled and fit."""
    integers, reals = (statistics(largest=127.0, rms=30.0, dtype=dtype) for dtype in ("int8", "float32"))
    for b, warned in ((integers, True), (reals, False)):
        found = plan_network(with_measurement(Measurement(integers, b)), Goal(a="int8", b="int4"))
        assert any("reach from -127 to 127, beyond b int4" in text for text in found.rows[0].plan.warnings) is warned
        assert found.rows[1].plan.warnings == ()


def test_integer_weights_that_fixed_point_carries():
    """Five weights of 7 with any int8 reach from -4480 to 4445, in sixteenths."""
    a = statistics(largest=127.0, rms=30.0, dtype="int8")
    b = OperandStatistics(0.5, 0.0, 7.0, 7.0, 5.0, "int8")
    dot = measured_sum(10, Measurement(a, b, weight_l1=35, weight_range=(0, 35)), Goal(a="int8", b="fix4.4"))
    found = plan(Goal(a="int8", b="fix4.4"), dot)
    assert (found.chosen.method, str(found.chosen.acc)) == ("weights", "fix14.4")


@pytest.mark.parametrize(
    "a", [statistics(nonzero=0.0, largest=0.0, rms=0.0), statistics(rms=0.0), statistics(largest=0.0, rms=0.0)]
)
@pytest.mark.parametrize("goal", [Goal(), Goal(a="int8", b="e5m2")])
def test_nothing_but_zeros(a, goal):
    assert measured_sum(100, Measurement(a, statistics(), 7), goal) == Sum(length=100, weight_l1=7)


def test_what_the_model_says_goes_with_its_rows():
    formats = OperandFormat("uint4"), OperandFormat("int4", narrow=True)
    layers = (replace(SMALL.layers[0], formats=formats), SMALL.layers[1])
    found = plan_network(replace(SMALL, layers=layers, uncounted=("DFT",), unknown=("Newer",)), Goal())
    assert [row.stated for row in found.rows] == [formats] * 2 + [(None, None)] * 3
    values = json.loads(found.to_json())
    assert [row["stated"] for row in values["rows"]] == [["uint4", "int4narrow"]] * 2 + [[None, None]] * 3
    assert (values["uncounted"], values["unknown"]) == (["DFT"], ["Newer"])
    assert parse_plan(found.to_json(), "plan").rows[0].layer == "first"


# -- the file --------------------------------------------------------------------------------------------------------


def test_json_says_everything():
    found = plan_network(SMALL, Goal(chunk=64, rounding="rtz"))
    values = json.loads(found.to_json())
    assert {name: values[name] for name in ("schema", "network", "batch", "skipped", "widest")} == {
        "schema": 1,
        "network": "small",
        "batch": 2,
        "skipped": {"Relu": 3},
        "widest": str(found.widest),
    }
    assert values["goal"] == {
        "a": "e5m2",
        "b": "e5m2",
        "chunk": 64,
        "outer": None,
        "rounding": "rtz",
        "nsr": 0.01,
        "limit": 50.0,
        "reading": "per-level",
        "overflow_probability": 1e-6,
    }
    assert (values["mean_bits"], values["saving"]) == (found.mean_bits, found.saving)
    row, planned = values["rows"][2], found.rows[2].plan
    assert {
        name: row[name] for name in ("layer", "op", "kind", "length", "outputs", "macs", "nzr", "rms", "chunk")
    } == {
        "layer": "last",
        "op": "Gemm",
        "kind": "forward",
        "length": 4608,
        "outputs": 10,
        "macs": 46080,
        "nzr": 1.0,
        "rms": None,
        "chunk": 64,
    }
    assert (row["acc"], row["decided_by"], row["reason"]) == (str(planned.chosen.acc), "noise", planned.chosen.reason)
    assert row["warnings"] == list(planned.warnings) != []
    assert [(x["method"], x["chunk"], x["acc"], x["man_bits"], x["reason"]) for x in row["answers"]] == [
        (x.method, x.chunk, str(x.acc), x.man_bits, x.reason) for x in planned.answers
    ]
