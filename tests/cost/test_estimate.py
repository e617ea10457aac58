import hashlib
import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from macgen.bundle import build
from macgen.cost import synthesize
from macgen.cost.baseline import baseline_spec
from macgen.cost.estimate import Report, figures, report
from macgen.cost.pricing import Pricer
from macgen.errors import MacgenError
from macgen.presentation.cost_table import print_report
from macgen.spec import MacSpec
from tests.optional import TINY_LIBERTY

SMALL = MacSpec(a="int4", b="int4", acc="int14", chunk=64, rows=1, cols=2)
FLOAT = MacSpec(a="e5m2", b="e5m2", acc="e6m5", chunk=64, rows=1, cols=2)


@pytest.fixture(scope="module")
def one_family():
    """Have LUTs counted for one family, as the command line's tests have them for all: it takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthesize, "REPORTED", ("ecp5",))
        yield


@pytest.fixture(scope="module", params=[SMALL, pytest.param(FLOAT, marks=pytest.mark.prove)], ids=["int", "float"])
def small(request, one_family, tmp_path_factory) -> Report:
    bundle = tmp_path_factory.mktemp("report") / "narrow"
    build(request.param, bundle)
    return report(bundle, liberty=TINY_LIBERTY, clock_mhz=100.0, by_block=True)


@pytest.mark.parametrize(
    ("fields", "acc", "overflow"),
    [
        ({"a": "e5m2", "b": "e5m2", "acc": "e6m5"}, "e8m23", "saturate"),
        ({"a": "fp16", "b": "fp16", "acc": "fp16", "overflow": "infinity"}, "e8m23", "infinity"),
        ({"a": "int8", "b": "int8", "acc": "int20", "overflow": "wrap"}, "int32", "wrap"),
        ({"a": "uint8", "b": "uint8", "acc": "uint20"}, "uint32", "saturate"),
        ({"a": "fix4.4", "b": "int4", "acc": "fix12.4"}, "fix28.4", "saturate"),
        ({"a": "int8", "b": "int8", "acc": "e6m9"}, "e8m23", "saturate"),
        ({"a": "e4m3", "b": "e4m3", "acc": "fix20.6", "overflow": "wrap"}, "e8m23", "saturate"),
    ],
)
def test_the_baseline_is_the_same_array_with_32_bits(fields, acc, overflow):
    spec = MacSpec(**fields, rows=3, pipeline=2)
    baseline = baseline_spec(spec)
    assert (str(baseline.acc), baseline.overflow) == (acc, overflow)
    assert replace(baseline, acc=spec.acc, overflow=spec.overflow) == spec


@pytest.mark.parametrize(
    ("fields", "baseline"),
    [
        ({"acc": "e6m9", "scale": "e8m0fnu", "outer": "fp32"}, {"acc": "fp32", "scale": "e8m0fnu"}),
        ({"acc": "e6m9", "product": "e6m5", "rounding": "rtz"}, {"acc": "fp32", "rounding": "rtz"}),
        ({"acc": "fix20.8", "outer": "e8m9", "outer_rounding": "stochastic:4"}, {"acc": "fp32"}),
        ({"acc": "e6m9", "out": "e4m3fn"}, {"acc": "fp32", "out": "e4m3fn"}),
        ({"acc": "e8m13", "lane_sum": "exponents:13"}, {"acc": "fp32", "lane_sum": "exponents:24"}),
        ({"acc": "e8m13", "lane_sum": "bulk:30"}, {"acc": "fp32", "lane_sum": "bulk:30"}),
        (
            {"a": "int4", "b": "int4", "acc": "int12", "scale": "e4m3fn", "outer": "e6m9"},
            {"a": "int4", "b": "int4", "acc": "int32", "scale": "e4m3fn", "outer": "fp32"},
        ),
    ],
)
def test_the_baseline_sums_exact_products_in_32_bits_only(fields, baseline):
    base = {"a": "e4m3fn", "b": "e4m3fn", "chunk": 16}
    assert baseline_spec(MacSpec(**(base | fields))) == MacSpec(**(base | baseline))


def test_operands_beyond_32_bits_have_no_baseline():
    with pytest.raises(MacgenError):
        baseline_spec(MacSpec(a="e9m4", b="e9m4", acc="e9m10"))


def test_figures_and_ratios(small):
    own, other = small.cost, small.baseline
    assert (own.acc, other.acc) in (("int14", "int32"), ("e6m5", "e8m23"))
    assert own.total_cells == sum(own.cells.values())
    # The registers that the source declares: the operands' hops and skew, control, operand, accumulator, total, result.
    assert 100 < own.flip_flops < other.flip_flops
    assert own.power_mw["total"] == pytest.approx(sum(own.power_mw.values()) - own.power_mw["total"])
    there = {name for name, figure in figures(other).items() if figure}  # neither has a multiplier block
    assert set(small.ratios) == set(figures(own)) & there
    assert set(figures(other)) - there == {"dsps_ecp5"}
    for name, ratio in small.ratios.items():
        assert ratio == figures(own)[name] / figures(other)[name]
        assert 0.2 < ratio < 1.0
    # One tile of 128 products takes 130 cycles, in each of which two PEs work.
    energy = own.power_mw["total"] / 100.0 * 1e3 * 130 / 128 / 2
    assert own.energy_per_mac_pj == pytest.approx(energy)


def test_modules_cost_what_the_array_does(small):
    cost, blocks = small.cost, {block.name: block for block in small.cost.blocks}
    assert {"", "pe", "multiplier", "sequencer"} <= set(blocks)
    assert {name: blocks[name].instances for name in ("", "pe", "multiplier")} == {"": 1, "pe": 2, "multiplier": 2}
    assert [block.area_um2 for block in cost.blocks] == sorted((b.area_um2 for b in cost.blocks), reverse=True)
    # The same logic, but for what is optimised across modules.
    assert 0.95 < sum(block.area_um2 for block in cost.blocks) / cost.area_um2 < 1.3
    assert 0.95 < sum(block.gate_equivalents for block in cost.blocks) / cost.gate_equivalents < 1.3
    assert 0.9 < sum(block.power_mw for block in cost.blocks) / cost.power_mw["total"] < 1.3
    assert small.baseline.blocks == ()


def test_a_report_names_the_files_it_rests_on(small):
    verilog, library = small.files
    assert (verilog.name, library.name) == ("rtl/narrow.v", "tiny.lib")
    assert library.sha256 == hashlib.sha256(TINY_LIBERTY.read_bytes()).hexdigest()
    assert set(small.tools) >= {"macgen", "amaranth"}


def test_json_and_table_agree(small):
    values = json.loads(json.dumps(small.to_dict()))
    assert values["cost"]["total_cells"] == small.cost.total_cells
    assert values["spec"] == small.spec
    page = io.StringIO()
    print_report(small, Console(width=160, file=page))
    text = page.getvalue()
    assert f"{small.cost.total_cells:,}" in text
    assert f"{small.ratios['area_um2']:.2f}" in text
    for stated in ("tiny", "seed 1", "zero delay: no glitches", "100 MHz", "Yosys 0."):
        assert stated in text


def test_an_array_with_32_bits_is_its_own_baseline_and_a_changed_file_is_noted(one_family, tmp_path):
    bundle = tmp_path / "wide"
    build(MacSpec(a="int4", b="int4", acc="int32", overflow="wrap", rows=1, cols=1), bundle)
    verilog = bundle / "rtl" / "wide.v"
    verilog.write_text(verilog.read_text() + "// touched\n")
    result = report(bundle, trust=True)
    assert result.baseline == result.cost
    assert set(result.ratios.values()) == {1.0}
    assert result.notes == (
        "rtl/wide.v was not compared with what macgen writes of its spec: it is trusted",
        "rtl/wide.v was changed after it was built: its checksum is not the manifest's",
    )
    assert result.cost.area_um2 is None
    assert "Liberty" in result.cost.period_unavailable


def test_an_array_may_be_called_baseline(tmp_path, monkeypatch):
    files = {}

    def cost(self, label, spec, verilog, top):
        files[label] = verilog
        raise MacgenError("that is enough")

    monkeypatch.setattr(Pricer, "cost", cost)
    with pytest.raises(MacgenError, match="that is enough"):
        report(build(SMALL, tmp_path / "baseline"))
    assert files["array"] != files["baseline"]


def test_a_clock_out_of_range_is_refused(tmp_path):
    build(SMALL, tmp_path / "narrow")
    for clock in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(MacgenError, match="clock-mhz"):
            report(tmp_path / "narrow", clock_mhz=clock)
