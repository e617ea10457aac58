"""What makes the Verilog readable: sections from the sources' landmarks, ports as the docstrings tell, the header."""

import ast
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

import macgen
from macgen.bundle.verilog.landmarks import functions, places_of
from macgen.bundle.verilog.ports import first_sentence, members_of, port_groups
from macgen.catalogue import CATALOGUE
from macgen.rtl import ArrayCore, Design, Modules
from macgen.rtl.parts.hierarchy import Source, ports_of
from macgen.spec import MacSpec
from tests.bundle.fixtures import verilog_of
from tests.few_presets import FEW

SOURCE = """\
def elaborate():
    # -- Align: the smaller one moves right
    a = Signal()
    if True:
        # -- Inside: of one case only
        b = Signal()
    c = Signal()
    # a comment that is none: of ours

    def inner():
        d = Signal()

        # -- Deep: in a function of its own
        e = Signal()

    # -- Add: exactly
    f = Signal()


def helper():
    g = Signal()
"""


def test_each_signal_belongs_to_the_last_landmark_above_it_in_its_function(tmp_path):
    file = tmp_path / "source.py"
    file.write_text(SOURCE)
    lines = {
        name: SOURCE.splitlines().index(next(x for x in SOURCE.splitlines() if f" {name} = " in x)) + 1
        for name in "abcdefg"
    }
    sources = {name: Source(str(file), line) for name, line in lines.items()}
    places = places_of(sources)
    assert [places[name].section.partition(":")[0] for name in "abcdefg"] == [
        "Align",
        "Inside",
        "Align",
        "Align",  # has none of its own, and follows what does
        "Deep",
        "Add",
        "Add",
    ]
    assert places["a"].section == "Align: the smaller one moves right"
    assert [places[name].order for name in "abcdefg"] == list(range(7))


@pytest.mark.parametrize(
    "path", sorted((Path(macgen.__file__).parent / "rtl").rglob("*.py")), ids=lambda path: path.stem
)
def test_functions_are_found_as_the_parser_finds_them(path):
    text = path.read_text(encoding="utf-8")
    found = functions(text.splitlines())
    inner = [0] * len(found)
    for node in sorted(ast.walk(ast.parse(text)), key=lambda node: getattr(node, "lineno", 0)):
        if isinstance(node, ast.FunctionDef):
            inner[node.lineno - 1 : node.end_lineno] = [node.lineno] * (node.end_lineno - node.lineno + 1)
    code = [
        number for number, line in enumerate(text.splitlines()) if line.strip() and not line.strip().startswith("#")
    ]
    assert [found[number] for number in code] == [inner[number] for number in code]
    assert any(inner) or "def " not in text


def test_what_comes_before_all_landmarks_has_no_section(tmp_path):
    file = tmp_path / "source.py"
    file.write_text("def elaborate():\n    a = Signal()\n    # -- Later: on\n    b = Signal()\n")
    places = places_of({"a": Source(str(file), 2), "b": Source(str(file), 4)})
    assert (places["a"].section, places["b"].section) == ("", "Later: on")


class Pair(wiring.Signature):
    """Two numbers.

    Members:
        high: the upper one. With a second sentence.
        low: see Other; the lower one, which takes
            two lines.
    """

    def __init__(self):
        super().__init__({"low": Out(2), "high": Out(3)})


class Documented(wiring.Component):
    """Do something.

    More about it: nothing.

    Parameters:
        x: none.

    Members:
        y: the result; see Pair.
        c, a: two of a kind.
        several: pairs.
        enable: it counts.
    """

    def __init__(self):
        super().__init__(
            {
                "a": In(1),
                "enable": In(1),
                "c": In(1),
                "several": In(Pair()).array(2),
                "y": Out(Pair()),
                "untold": Out(4),
            }
        )

    def elaborate(self, platform):
        m = Module()
        kept = Signal(4)
        m.d.sync += kept.eq(kept + self.a)
        m.d.comb += [self.untold.eq(kept), self.y.low.eq(self.several[1].low)]
        return m


def test_members_of_a_docstring():
    assert first_sentence(Documented) == "Do something."
    assert members_of(Documented) == [
        (("y",), "the result; see Pair."),
        (("c", "a"), "two of a kind."),
        (("several",), "pairs."),
        (("enable",), "it counts."),
    ]
    assert members_of(Pair)[1] == (("low",), "see Other; the lower one, which takes two lines.")
    assert members_of(int) == []


def test_ports_stand_in_the_order_of_the_signature_with_what_is_told_of_them():
    component = Documented()
    Modules("top").convert(component)
    groups = port_groups(component, {})
    assert [(group.text, group.ports) for group in groups] == [
        ("a, c: two of a kind", {"a": "", "c": ""}),
        ("", {"enable": "it counts"}),
        (
            "several: pairs",
            {
                "several__0__low": "the lower one, which takes two lines",
                "several__0__high": "the upper one",
                "several__1__low": "",
                "several__1__high": "",
            },
        ),
        ("y: the result", {"y__low": "", "y__high": ""}),
        ("", {"untold": ""}),
    ]


def test_signals_have_the_place_where_they_are_made():
    modules = Modules("top")
    text = modules.convert(Documented())
    source = modules.sources["top"]["kept"]
    assert Path(source.file) == Path(__file__)
    assert "kept = Signal(4)" in Path(__file__).read_text().splitlines()[source.line - 1]
    assert __file__ not in text
    assert "src" not in text


PRESETS = [pytest.param(preset.spec, id=name) for name, preset in FEW.items()]


def modules_of(text):
    """Return the text of each module by its name."""
    return {found[1]: found[0] for found in re.finditer(r"^module (\w+) \(.*?^endmodule$", text, re.M | re.S)}


@pytest.mark.parametrize("spec", [preset for preset in PRESETS if preset.values[0].lanes < 32])
def test_all_ports_in_order_and_most_told_of(spec):
    modules, texts = Modules("dut"), modules_of(verilog_of(spec, "dut"))
    modules.convert(ArrayCore(Design(spec)))
    assert texts.keys() == modules.components.keys()
    for name, component in modules.components.items():
        groups = port_groups(component, {})
        wanted = [port for group in groups for port in group.ports]
        assert sorted(wanted) == sorted(port for port, _, _ in ports_of(component))
        head = texts[name].partition(");")[0]
        printed = re.findall(r"^  (?:input|output) +(?:wire|reg) +(?:\[\d+:0\] )?(\w+)", head, re.M)
        assert [port for port in printed if port not in ("clk", "rst")] == [port for port in wanted if port in printed]
        assert printed[: len({"clk", "rst"} & set(printed))] == [port for port in ("clk", "rst") if port in printed]
        assert set(component.signature.members) <= {
            member for members, _ in members_of(type(component)) for member in members
        }, f"{type(component).__name__} does not tell of all its members"


# A wire of it is only another one's bits once what nobody reads is left out.
FLOOR = MacSpec(a="e3m2", b="e3m2", acc="e4m2", chunk=5, rounding="floor", overflow="infinity", rows=1, cols=1)


@pytest.mark.parametrize("spec", [*PRESETS, pytest.param(FLOOR, id="floor")])
def test_sections_are_whole_and_names_are_declared_before_they_are_read(spec):
    for name, text in modules_of(verilog_of(spec, "dut")).items():
        titles = Counter(re.findall(r"^  // ([A-Z][^:]*: .*)", text.partition(");")[2], re.M))
        titles = {title: count for title, count in titles.items() if not title.startswith("Registers")}
        assert set(titles.values()) <= {1}, name
        declared = set()
        for line in re.sub(r"//.*|\(\* maybe_unused \*\) ", "", text).splitlines()[1:]:
            found = re.match(
                r" +(?:input|output|reg|wire|localparam)\b(?: +(?:wire|reg))?(?: *\[\d+:\d+\])? +(\w+(?:, \w+)*)", line
            )
            code = re.sub(r"\.\w+\(", "(", re.sub(r"\d+'[bdh]\w+", "", line))
            if found:
                declared |= set(found[1].split(", "))
            elif re.match(r"  dut_\w+ \w+ \($", line):
                continue
            read = set(re.findall(r"\b[A-Za-z_]\w*", code)) - KEYWORDS
            assert read <= declared, (name, line)


KEYWORDS = {"input", "output", "reg", "wire", "localparam", "assign", "always", "posedge", "begin", "end", "if", "else"}
KEYWORDS |= {"endmodule", "initial", "signed"}


def test_an_engineer_finds_the_stages():
    texts = modules_of(verilog_of(CATALOGUE["default"].spec, "dut"))
    for module, stages in (
        ("dut_adder", {"Compare exponents": "difference", "Align": "align_4", "Add": "exact_sum"}),
        (
            "dut_rounder",
            {"Count leading bits": "leading_any_0_1", "Normalise": "normalise_4", "Round": "result__round_up"},
        ),
        ("dut_sequencer", {"Take beats": "free", "Count beats": "chunk_end", "Mark sums": "accept"}),
        ("dut_pe", {"Multiply": "multiplier", "Add": "adder", "Total": "total_flags"}),
        ("dut", {"Take beats": "sequencer", "Count rows": "c_last", "Convert": "output_3"}),
    ):
        for stage, name in stages.items():
            section = re.search(rf"^  // {stage}: .*?(?=^$)", texts[module], re.M | re.S)
            assert section, (module, stage)
            assert re.search(rf"^  (?:wire (?:\[.*?\] )?|assign |\w+ ){name} [=(]", section[0], re.M), (module, stage)


def header_of(spec):
    """Return the lines of a header, without what marks them as comments."""
    lines = []
    for line in verilog_of(spec, "dut").splitlines():
        if not line.startswith("//"):
            return lines
        lines.append(line.removeprefix("//").strip())
    raise AssertionError("nothing but comments")


def facts(spec):
    """Return the text beside each heading of a header."""
    found = {}
    for line in header_of(spec):
        heading = re.fullmatch(r"([A-Z]\w+(?: [abcABs]\w*)?)  +(.*)", line)
        if heading:
            found[heading[1]] = heading[2]
        elif line and found and not line.startswith(("Modules", "=", "dut")):
            found[list(found)[-1]] += f" {line}"
        elif line.startswith("Modules"):
            break
    return found


def test_header_of_the_default():
    spec = CATALOGUE["default"].spec
    assert header_of(spec)[1:3] == [
        "dut: 4 x 4 output-stationary multiply-accumulate array",
        "Generated by macgen; the manifest beside it says with what.",
    ]
    found = facts(spec)
    assert (
        found["Operands"] == "e5m2, 8 bits: sign [7], exponent [6:2] with bias 15, mantissa [1:0]; infinities and NaN"
    )
    assert found["Accumulator"].startswith("e6m5, 12 bits: sign [11], exponent [10:5] with bias 31, mantissa [4:0]")
    assert found["Rounding"] == "to nearest, ties to even; too large: the largest number of its sign"
    assert found["Chunks"] == "of 64 products; the sum of each is folded into a total, in a cycle that takes no beat"
    assert "10 cycles after the beat with a_last" in found["Stream c"]
    assert found["Results"] == "e6m5"
    assert not {"Scales", "Lanes", "Turns", "Outer sums", "Products"} & found.keys()


def test_header_of_scales_lanes_and_others():
    found = facts(CATALOGUE["mxfp8"].spec)
    assert found["Scales"].startswith("e8m0fnu, 8 bits: 2**(code - 127), all ones are NaN;")
    assert found["Outer sums"].startswith("e8m23, 32 bits:")
    assert "adder of its own" in found["Chunks"]
    found = facts(CATALOGUE["sr-e6m5"].spec)
    assert found["Rounding"].startswith("at random, by 13 random bits;")
    assert "Chunks" not in found
    found = facts(CATALOGUE["lba-m7e4"].spec)
    assert found["Products"].startswith(
        "rounded to e4m7finite:bias=12:none, 12 bits: sign [11], exponent [10:7] with bias 12"
    )
    assert "no subnormal numbers" in found["Products"]
    spec = MacSpec(a="uint4", b="fix4.4", acc="fix20.3", lanes=2, interleave=2, overflow="wrap", rows=1, cols=2)
    found = facts(spec)
    assert found["Operands A"] == "uint4, 4 bits, unsigned"
    assert found["Operands B"] == "fix4.4, 8 bits, 4 of them after the binary point, two's complement"
    assert found["Lanes"] == "2 products in a step; they are added exactly, rounded once"
    assert found["Rounding"].endswith("too large: taken modulo its range")
    assert "Turns" in found
    assert f"{Design(spec).latency} cycles" in found["Stream c"]
    found = facts(MacSpec(a="fix12.-4", b="ufix-2.10", acc="fix12.8", rows=1, cols=1))
    assert found["Operands A"] == "fix12.-4, 8 bits, the last one counts 2**4, two's complement"
    assert found["Operands B"] == "ufix-2.10, 8 bits, the last one counts 2**-10, unsigned"
    found = facts(MacSpec(a="int8", b="int8narrow", acc="int15", rows=1, cols=1))
    assert found["Operands B"] == "int8narrow, 8 bits, two's complement without the lowest code"


@pytest.mark.parametrize("spec", PRESETS)
def test_the_headers_tree_is_that_of_the_instances(spec):
    lines = verilog_of(spec, "dut").splitlines()
    tree = [re.match(r"//( {3,})(dut\w*)(?: x (\d+))?", line) for line in lines[: lines.index("")]]
    found = Counter()
    above = {}
    for row in filter(None, tree):
        depth = len(row[1])
        above[depth] = row[2]
        if depth > 3:
            found[above[depth - 2], row[2]] += int(row[3] or 1)
    wanted = Counter()
    for name, text in modules_of("\n".join(lines)).items():
        for kind in re.findall(r"^  (dut_\w+) \w+ \($", text, re.M):
            wanted[name, kind] += 1
    assert found == wanted


def test_rows_and_columns_of_ports():
    text = modules_of(verilog_of(MacSpec(a="int8", b="int4", acc="int20", rows=2, cols=3), "dut"))["dut"]
    joined = re.sub(r"\n +// ", " ", text)
    assert re.search(r" a_data, +// operand codes \(row 0 in \[7:0\], row 1 in \[15:8\]\)", joined)
    assert re.search(r" b_data, +// operand codes \(column 0 in \[3:0\] \.\.\. column 2 in \[11:8\]\)", joined)
    assert re.search(r" c_data, +// result codes \(column 0 in \[19:0\] \.\.\. column 2 in \[59:40\]\)", joined)
    assert re.search(r" c_flags, +// three flags \(column 0 in \[2:0\] \.\.\. column 2 in \[8:6\]\): overflow", joined)


def test_constants_have_names():
    texts = modules_of(verilog_of(CATALOGUE["default"].spec, "dut"))
    assert "localparam [5:0] LAST_BEAT = 6'h3f;" in texts["dut_sequencer"]
    assert "== LAST_BEAT" in texts["dut_sequencer"]
    assert "> MAX_EXPONENT" in texts["dut_adder"]
    declared = re.findall(r"^  localparam +\[.*?\] (\w+) =", texts["dut_output"], re.M)
    assert declared
    assert all(len(re.findall(rf"\b{name}\b", texts["dut_output"])) > 1 for name in declared)


def test_the_default_is_short():
    assert len(verilog_of(CATALOGUE["default"].spec, "dut").splitlines()) < 1100


_PRINT = """\
import sys
from macgen.bundle.verilog import to_verilog
from macgen.catalogue import CATALOGUE
for name in ("default", "mxfp6"):
    sys.stdout.write(to_verilog(CATALOGUE[name].spec, "dut"))
"""


def test_two_processes_print_the_same_and_no_path(tmp_path):
    texts = []
    root = Path(macgen.__file__).parent.parent
    for seed, directory in (("1", tmp_path), ("77", root)):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
        command = [sys.executable, "-c", _PRINT]
        texts.append(subprocess.run(command, cwd=directory, env=environment, capture_output=True, check=True).stdout)
    assert texts[0] == texts[1]
    text = texts[0].decode("ascii")
    for part in (str(root), str(tmp_path), ".py", "macgen/", "amaranth"):
        assert part not in text
