from dataclasses import replace

import pytest

from macgen import tools
from macgen.bundle import build
from macgen.catalogue import presets
from macgen.cost import kept
from macgen.cost.fpga import report
from macgen.cost.fpga.report import fpga_report, hints
from macgen.cost.kept import Kept
from macgen.errors import MacgenError, ToolError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "_folder", lambda: tmp_path / "cache")


@pytest.fixture(scope="module")
def int8(tmp_path_factory):
    spec = replace(presets["int8"], rows=1, cols=1, pipeline=3)
    return build(spec, tmp_path_factory.mktemp("fpga") / "int8", name="int8")


def test_int8_is_placed_and_routed(int8, monkeypatch):
    found = fpga_report(int8, family="ecp5", seeds=1)
    assert (found.dsps, found.memories, found.device, found.package, found.speed) == (1, 0, "25k", "CABGA381", 6)
    assert 30 < found.luts < 100  # the adder's 28 bits, and what saturates
    assert 60 < found.flip_flops < 136  # of which 8 + 8 + 17 and more are the block's own
    assert 165 <= found.fmax_mhz < 250
    assert list(found.placements_mhz) == [1]
    assert found.worst_path.module.startswith("int8_")
    assert found.worst_path.logic_ns + found.worst_path.routing_ns == pytest.approx(1e3 / found.fmax_mhz, abs=0.05)
    assert found.filled["MULT18X18D"] == (1, 28)

    def no_more(*_, **__):
        raise AssertionError("placed a second time")

    monkeypatch.setattr(report, "place", no_more)
    assert fpga_report(int8, family="ecp5", seeds=1) == found


@pytest.mark.prove
@pytest.mark.parametrize(("family", "dsps"), [("xilinx", 1), ("gowin", 1), ("nexus", 1)])
def test_cells_are_counted_where_nothing_is_placed(int8, family, dsps):
    found = fpga_report(int8, family=family)
    assert (found.dsps, found.fmax_mhz, found.worst_path) == (dsps, None, None)
    assert 0 < found.luts < 150


@pytest.mark.prove
def test_short_significands_take_no_multiplier_block_and_turns_reach_120_mhz(tmp_path):
    spec = replace(presets["default"], rows=1, cols=1, pipeline=2, interleave=4)
    found = fpga_report(build(spec, tmp_path / "turns"), family="ecp5")
    assert found.dsps == 0
    assert found.fmax_mhz >= 120


@pytest.mark.prove
@pytest.mark.parametrize(("device", "dsps"), [(None, 0), ("up5k", 1)])
def test_ice40(int8, device, dsps):
    found = fpga_report(int8, family="ice40", device=device, seeds=1)
    assert found.dsps == dsps
    assert found.speed is None
    assert 20 < found.fmax_mhz < 200


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"family": "virtex"}, "fpga 'virtex' is not one of"),
        ({"family": "xilinx", "device": "7a35t"}, "device '7a35t' does not go with fpga xilinx, which is not placed"),
        ({"device": "26k"}, "device '26k' is no ecp5 part that macgen knows"),
        ({"seeds": 0}, "seeds 0 is not an integer from 1 to 99"),
        ({"target_mhz": 0.0}, "clock-mhz 0.0 is not from 1 to 1000"),
        ({"timeout": -1}, "timeout -1 is not a positive number of seconds"),
    ],
)
def test_wrong_arguments_are_refused(int8, fields, sentence):
    with pytest.raises(MacgenError) as caught:
        fpga_report(int8, **{"family": "ecp5", **fields})
    assert str(caught.value).startswith(sentence)


def test_without_nextpnr_one_sentence_says_how_to_get_it(int8, monkeypatch):
    def require(name, needed_by=None):
        if name == "nextpnr-ecp5":
            raise ToolError("nextpnr-ecp5 is missing: install it")
        return found(name, needed_by)

    found = tools.require
    monkeypatch.setattr(tools, "require", require)
    with pytest.raises(ToolError, match="nextpnr-ecp5 is missing"):
        fpga_report(int8, family="ecp5")


@pytest.mark.parametrize(
    ("fields", "module", "sentences"),
    [
        ({"pipeline": 1}, "multiplier", ["more turns (interleave) gain nothing; pipeline 2 may shorten it"]),
        ({"pipeline": 3}, "product", ["more turns (interleave) gain nothing; pipeline has all its stages"]),
        ({"interleave": 2}, "adder", ["more stages (pipeline) gain nothing; interleave 3 may shorten it"]),
        ({"interleave": 4}, "adder", ["more stages (pipeline) gain nothing; interleave is at its most"]),
        (
            {"outer": "fp32", "outer_cycles": 2},
            "adder",
            ["more stages (pipeline) gain nothing; interleave may shorten it, with outer_cycles 1 in place of 2"],
        ),
        (
            {"outer": "fp32", "outer_cycles": 2},
            "outer_adder",
            ["more stages (pipeline) gain nothing; outer_cycles 3 may shorten it"],
        ),
        (
            {"outer": "fp32", "outer_cycles": 4},
            "outer_adder",
            ["more stages (pipeline) gain nothing; outer_cycles is at its most"],
        ),
        ({}, "sequencer", []),
    ],
)
def test_what_would_gain_nothing(fields, module, sentences):
    found = hints(replace(presets["fp16"], **fields), module)
    assert [hint.split(", so that ")[1] for hint in found] == sentences


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_what_was_kept_is_found_by_its_key_alone(tmp_path):
    Kept(("a", 1)).save({"x": 1})
    assert Kept(("a", 1)).load(dict) == {"x": 1}
    assert Kept(("a", 2)).load(dict) is None
    assert [file.suffix for file in (tmp_path / "cache").iterdir()] == [".json"]


def test_what_was_cut_short_is_measured_again(tmp_path):
    Kept(("a", 1)).save({"x": 1})
    (file,) = (tmp_path / "cache").iterdir()
    file.write_text('{"x"')
    assert Kept(("a", 1)).load(dict) is None


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "cache").write_text("")
    Kept(("a", 1)).save({"x": 1})
    assert Kept(("a", 1)).load(dict) is None
