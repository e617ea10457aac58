"""What the table and the picture of a plan show."""

import io
import re
import sys
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from rich.console import Console

from macgen.errors import MacgenError, ToolError
from macgen.network.gemm import Gemm, Layer, Network
from macgen.network.measurement import Measurement, OperandStatistics
from macgen.network.operand_format import OperandFormat
from macgen.presentation.plan_plot import draw_plan
from macgen.presentation.plan_table import print_plan
from macgen.width.goal import Goal
from macgen.width.network_plan import NetworkPlan, plan_length, plan_network

GOAL = Goal(chunk=64)


def network(measured=None):
    gemms = Gemm("forward", 576, 300), Gemm("backward", 1152, 100), Gemm("gradient", 4096, 5)
    return Network("tiny", 4, (Layer("conv0", "Conv", gemms, measured),), {"Relu": 3, "Add": 1})


def printed(plan, width=120):
    buffer = io.StringIO()
    print_plan(plan, Console(file=buffer, width=width, markup=False, soft_wrap=True))
    return buffer.getvalue()


def test_shares_of_the_multiply_accumulates_add_up():
    lines = [line.split() for line in printed(plan_network(network(), GOAL)).splitlines() if line.startswith("conv0")]
    macs = [576 * 300, 1152 * 100, 4096 * 5]
    assert [line[2] for line in lines] == [f"{part / sum(macs):.1%}" for part in macs]
    assert [line[3] for line in lines] == ["576", "1,152", "4,096"]


def test_operations_passed_over_are_counted():
    assert "Passed over: 3 Relu, 1 Add." in printed(plan_network(network(), GOAL))


def test_what_has_multiply_accumulates_is_named():
    """A plan says "all" only where nothing is passed over that sums products, or may."""
    small = network()
    assert "does for all 3 GEMMs; each" in printed(plan_network(small, GOAL))
    skipped = {"Relu": 3, "DFT": 2, "foo::Mystery": 1}
    for uncounted, unknown in ((("DFT",), ("foo::Mystery",)), (("DFT",), ()), ((), ("foo::Mystery",))):
        text = printed(plan_network(replace(small, skipped=skipped, uncounted=uncounted, unknown=unknown), GOAL))
        assert "does for the 3 GEMMs counted; each" in text
        assert " all " not in text
        assert ("Not counted, though they have multiply-accumulates: 2 DFT." in text) == bool(uncounted)
        assert ("Not known, so they may have multiply-accumulates: 1 foo::Mystery." in text) == bool(unknown)
        rest = [name for name in skipped if name not in (*uncounted, *unknown)]
        assert f"Passed over: {', '.join(f'{skipped[name]} {name}' for name in rest)}." in text


def test_formats_that_the_model_states():
    narrow = OperandFormat("int4", narrow=True)
    layers = [
        Layer(f"l{n}", "Conv", (Gemm("forward", 9, 1), Gemm("gradient", 1, 9)), formats=formats)
        for n, formats in enumerate([(OperandFormat("uint4"), narrow)] * 2 + [(None, narrow), (None, None)])
    ]
    text = printed(plan_network(Network("quantised", 1, tuple(layers)), Goal(a="int8", b="int8")))
    assert "The model states operands of uint4 x int4narrow (2 layers), unknown x int4narrow (1 layer)." in text
    assert "states" not in printed(plan_network(network(), GOAL))


def test_measured_zeros_have_a_column():
    half = OperandStatistics(nonzero=0.5, lowest=-2.0, highest=2.0, smallest=0.1, rms=1.0, dtype="float32")
    full = OperandStatistics(nonzero=1.0, lowest=-2.0, highest=2.0, smallest=0.1, rms=1.0, dtype="float32")
    text = printed(plan_network(network(Measurement(half, full)), GOAL))
    assert "Non-zero" in text
    assert [line.split()[4] for line in text.splitlines() if line.startswith("conv0")] == ["0.50", "1.00", "1.00"]
    assert "Non-zero" not in printed(plan_network(network(), GOAL))


def test_mean_bits_are_weighted_by_multiply_accumulates():
    plan = plan_network(network(), GOAL)
    bits = {row.gemm.kind: row.plan.chosen.acc.width for row in plan.rows}
    macs = {row.gemm.kind: row.gemm.macs for row in plan.rows}
    mean = sum(bits[kind] * macs[kind] for kind in bits) / sum(macs.values())
    assert f"a multiply-accumulate has {mean:.1f} accumulator bits on average" in printed(plan)
    assert f"{1 - mean / 32:.0%} of the accumulator bits saved" in printed(plan)


@pytest.mark.parametrize("width", [120, 80, 60, 40, 20])
def test_no_number_is_cut_on_a_narrow_terminal(width):
    gemms = tuple(Gemm("gradient", length, 1) for length in (3_211_264, 12_845_056, 147))
    plan = plan_network(Network("wide", 256, (Layer("block1.0.conv1", "Conv", gemms),)), GOAL)
    text = printed(plan, width)
    table = text.partition("Operands ")[0]
    assert "\u2026" not in text
    assert max(map(len, table.splitlines())) <= width
    for row in plan.rows:
        assert f"{row.gemm.length:,}" in table.split() or f"{row.gemm.length:,}," in table.split()
        assert str(row.plan.chosen.acc) in re.split(r"[\s,]+", table)
    left_out = {120: "", 80: "Left out for 80 columns: MACs, VRR normal, VRR chunked, noise normal"}.get(width, "")
    assert left_out in table
    assert ("Left out" in table) == bool(left_out)


@pytest.mark.parametrize(
    ("saving", "sentence"),
    [
        (0.625, "Against 32 bits: 62% of the accumulator bits saved."),
        (-0.17, "Against 32 bits: 17% more accumulator bits."),
        (0.0, "Against 32 bits: about as many accumulator bits."),
        (-0.001, "Against 32 bits: about as many accumulator bits."),
    ],
)
def test_savings_have_no_sign(saving, sentence, monkeypatch):
    monkeypatch.setattr(NetworkPlan, "saving", saving)
    assert sentence in printed(plan_network(network(), GOAL)).splitlines()


def test_wide_integers_take_more_bits():
    # 2**10 products of 2**30 take int16 x int16 to 41 bits with the sign, 28 % more than 32; of int24 more yet.
    text = printed(plan_length(1 << 10, Goal(a="int16", b="int16")))
    assert "more accumulator bits." in text
    assert "-" not in text.partition("Against")[2]


def test_many_warnings_are_cut():
    gemms = [Layer(f"l{n}", "Gemm", (Gemm("forward", n, 1),)) for n in range(1000, 6000, 1000)]
    text = printed(plan_network(Network("deep", 1, tuple(gemms)), Goal(rounding="rtz")))
    assert text.count("Warning: ") == 3
    assert "... and 2 warnings of the same kinds, all in --json." in text


# -- pictures --------------------------------------------------------------------------------------------------------


def words(svg):
    return {text.text for text in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}


def test_axes_units_and_legends():
    shown = words(draw_plan(plan_network(network(), GOAL), ".svg"))
    assert {
        "mantissa bits of the accumulator",
        "variance retention ratio",
        "ln v(n) = n (1 - VRR)",
        "accumulation length (products)",
        "first width with v(n) < 50: 9",
        "needed: noise, rne, chunks of 64",
        "knee of the VRR, no chunks",
        "forward, at the width chosen",
        "gradient, at the width chosen",
    } <= shown


def test_every_length_is_a_mark():
    svg = draw_plan(plan_network(network(), GOAL), ".svg").decode()
    assert 'width="576pt" height="648pt"' in svg  # 8 by 9 inches: 800 by 900 pixels at 100 a inch
    lonely = words(draw_plan(plan_length(100, Goal()), ".svg"))
    assert "forward, at the width chosen" in lonely
    assert "gradient, at the width chosen" not in lonely


def test_pictures_refused(monkeypatch):
    with pytest.raises(MacgenError, match=r"^plot has the suffix ''; accepted are \.svg, \.png, \.pdf$"):
        draw_plan(plan_length(100, Goal()), "")
    with pytest.raises(MacgenError, match=r"^plot of acc int\d+ has nothing to show"):
        draw_plan(plan_length(100, Goal(a="int8", b="int8")), ".svg")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ToolError, match=r"^matplotlib is missing: --plot needs it; install it with pip install"):
        draw_plan(plan_length(100, Goal()), ".svg")
