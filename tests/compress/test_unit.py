"""The unit on emitted Verilog: what is written, that it is verified, and that wrong ones are found."""

import dataclasses
import json

import pytest

import macgen
from macgen import tools
from macgen.bundle import build, load_manifest, open_bundle
from macgen.bundle.contents import verilog_of
from macgen.compress import CompressSpec
from macgen.compress.rtl.compressor import LATENCY
from macgen.errors import MacgenError
from macgen.simulate.matmul import run_matmul
from macgen.simulate.verify import verify
from tests.bundle.test_verilog import lint, slang
from tests.mutants import connect, drive, load

SPECS = {
    "lanes": CompressSpec("int5", 6, lanes=2, learners=3, most_bins=15),
    "paper": CompressSpec("fix4.12", 50),
    "one": CompressSpec("int2", 1, learners=1, most_bins=5),
    "sender": CompressSpec("fix2.30", 64, lanes=16, learners=0),
    "wide": CompressSpec("int32", 500, lanes=4, learners=2),
}
everything = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


@pytest.mark.thinned("lanes", "one")
@everything
def test_lint_has_nothing_to_say(spec, tmp_path):
    text = verilog_of(spec, "dut")
    assert lint(text, tmp_path) == (0, "")
    assert slang(text, tmp_path)


def test_the_verilog_is_as_people_write_it():
    text = verilog_of(SPECS["paper"], "dut")
    assert "// dut: AdaComp compressor of gradients" in text
    assert "reg [33:0] words [0:99];" in text
    assert "$" not in text
    assert max(map(len, text.splitlines())) <= 120
    assert verilog_of(SPECS["paper"], "dut") == text


def test_the_bundle_says_what_it_holds(tmp_path):
    spec = SPECS["lanes"]
    bundle = build(spec, tmp_path / "ada", clock_mhz=200)
    manifest = load_manifest(bundle)
    assert manifest.subject == spec
    assert manifest.latency == LATENCY
    assert json.loads((bundle.directory / "manifest.json").read_text())["spec"] == spec.to_dict()
    assert {"in_ready", "kept_data", "out_scale", "peer_index", "sum_data", "fault"} <= {
        port.name for port in manifest.ports
    }
    ports = {port.name: port.width for port in manifest.ports}
    assert ports["in_kept"] == 2 * 5
    assert ports["peer_index"] == 3 * 2
    assert ports["sum_data"] == 2 * 7  # 3 * 16 = 48 has 6 bits, and a sign
    assert "AdaComp compressor of gradients in int5, bins of 6, 2 lanes" in (bundle.directory / "ada.core").read_text()
    assert open_bundle(bundle).notes == ()
    again = build(spec, tmp_path / "ada", clock_mhz=200, force=True)
    assert again.manifest == manifest


def test_a_manifest_that_contradicts_its_spec_is_refused(tmp_path):
    bundle = build(SPECS["one"], tmp_path / "ada")
    path = bundle.directory / "manifest.json"
    values = json.loads(path.read_text())
    values["spec"]["bin"] = 2
    path.write_text(json.dumps(values))
    with pytest.raises(MacgenError, match="contradicts its spec"):
        load_manifest(bundle)
    values["spec"]["unit"] = "topk"
    path.write_text(json.dumps(values))
    with pytest.raises(MacgenError, match="unit 'topk' is unknown; accepted is adacomp"):
        load_manifest(bundle)


@pytest.mark.thinned("lanes-icarus")
@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
@everything
def test_the_unit_is_verified(spec, simulator, tmp_path):
    if not tools.find({"icarus": "iverilog"}.get(simulator, simulator)).available:
        simulator = "auto"
    result = verify(build(spec, tmp_path / "ada"), simulator=simulator)
    assert result.passed, [test.message for run in result.runs for test in run.failed]
    assert all(run.tiles >= 60 for run in result.runs)
    assert result.notes == ()


MUTANTS = {
    "ties are not sent": lambda text: drive(
        text, "chosen", "{} & {aheads[11:6] != {1'b0, largest}, aheads[5:0] != {1'b0, largest}}"
    ),
    "zeros are sent": lambda text: connect(text, "selector", "codes", "~10'd0", module="ada_compressor"),
    "the mean is cut": lambda text: drive(text, "up", "1'b0"),
    "a layer's end waits for nothing": lambda text: connect(text, "buffer", "held", "1'b0"),
    "the buffer never is full": lambda text: drive(text, "occupied", "1'b0"),
    "a scale twice too large is taken": lambda text: drive(text, "addend", "{} << 1"),
    "no end of the range": lambda text: drive(text, "outside", "1'b0"),
    "out of order is told never": lambda text: drive(text, "fault", "1'b0", module="ada_expander"),
    "beats are lost": lambda text: drive(text, "kept_free", "1'b1"),
    "a waiting beat is overwritten": lambda text: drive(text, "out_free", "1'b1"),
    "the largest of before stays": lambda text: load(text, "so_far", "larger_1"),
}


@pytest.mark.thinned("beats are lost")
@pytest.mark.parametrize("name", MUTANTS)
def test_wrong_units_are_found(name, tmp_path):
    spec = SPECS["lanes"]
    mutant = MUTANTS[name](verilog_of(spec, "ada"))
    bundle = build(spec, tmp_path / "ada")
    bundle.verilog.write_text(mutant.verilog)
    result = verify(bundle, simulator="auto", trust=True, stop_at_first_failure=True)
    assert not result.passed, mutant.description


def test_what_works_on_arrays_only_says_so(tmp_path):
    bundle = build(SPECS["one"], tmp_path / "ada")
    sentence = "bundle ada holds no array .int2, bins of 1, learners 1, most_bins 5.; accepted is what macgen build"
    with pytest.raises(MacgenError, match=sentence):
        macgen.verify(bundle, exhaustive=True)
    with pytest.raises(MacgenError, match=sentence):
        run_matmul(bundle, [[0]], [[0]])
    with pytest.raises(MacgenError, match="accepted is a MacSpec"):
        build(dataclasses.asdict(SPECS["one"]), tmp_path / "other")
