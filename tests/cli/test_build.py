import json
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from macgen.bundle.manifest import load_manifest
from macgen.catalogue import presets
from macgen.cost import meeting
from macgen.numerics import MAX_ALIGNED_BITS, MAX_RANDOM_BITS, SUM_ROUNDINGS, Overflow, Subnormals
from macgen.spec import MacSpec
from macgen.spec_fields import (
    MAX_CHUNK,
    MAX_INTERLEAVE,
    MAX_LANES,
    MAX_OPERAND_WIDTH,
    MAX_PIPELINE,
    MAX_SIDE,
    Fold,
    ScalePlace,
)
from tests.cli.runner import command, invoke, refused, run, tree

SMALL = ("--rows", 1, "--cols", 1)


@pytest.fixture(autouse=True)
def _work_in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def built(directory) -> MacSpec:
    return load_manifest(Path(directory)).spec


# -- good paths --------------------------------------------------------------------------------------------------


def test_the_main_job(tmp_path):
    result = run("build", "--acc-bits", 12, "--chunk", 64, "-o", "build/mac12", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    manifest = load_manifest(tmp_path / "build/mac12")
    assert manifest.name == manifest.top == "mac12"
    assert manifest.spec == MacSpec(a="e5m2", b="e5m2", acc="e6m5", chunk=64)
    assert "module mac12 (" in (tmp_path / "build/mac12/rtl/mac12.v").read_text()
    for text in ("Built mac12 in build/mac12", "4 x 4", "e5m2 x e5m2", "e6m5, 12 bits, rne, saturate, chunks of 64"):
        assert text in result.stdout
    for path in (*manifest.files, "manifest.json", "macgen verify build/mac12", "macgen report build/mac12"):
        assert path in result.stdout
    assert [path.name for path in (tmp_path / "build").iterdir()] == ["mac12"]


def test_without_options_the_default_preset_is_built():
    assert invoke("build").exit_code == 0
    assert built("build/mac_e5m2_e6m5_c64") == presets["default"]


def test_every_option():
    options = {
        "a": "e4m3fn",
        "b": "e5m2",
        "acc": "e6m7",
        "acc-bits": 14,
        "subnormals": "flush",
        "chunk": 5,
        "rounding": "rtz",
        "overflow": "infinity",
        "rows": 1,
        "cols": 2,
        "fold": "overlap",
        "pipeline": 2,
        "output": "here",
        "name": "narrow",
    }
    args = [part for name, value in options.items() for part in (f"--{name}", value)]
    assert invoke("build", *args).exit_code == 0
    assert load_manifest(Path("here")).name == "narrow"
    assert built("here") == MacSpec(
        a="e4m3fn",
        b="e5m2",
        acc="e6m7:flush",
        chunk=5,
        rounding="rtz",
        overflow="infinity",
        rows=1,
        cols=2,
        fold="overlap",
        pipeline=2,
    )


def test_every_option_of_products_scales_and_lanes():
    args = ("--product", "e5m4", "--scale", "e8m0fnu", "--outer", "fp32", "--out", "bf16", "--outer-rounding", "rtz")
    args += ("--lanes", 2, "--lane-sum", "tree", "--chunk", 4, "--outer-cycles", 2)
    result = invoke("build", *args, *SMALL, "-o", "x")
    assert built("x") == MacSpec(
        a="e5m2", b="e5m2", acc="e6m5", product="e5m4", scale="e8m0fnu", outer="fp32", out="bf16",
        outer_rounding="rtz", lanes=2, lane_sum="tree", chunk=4, rows=1, cols=1, outer_cycles=2,
    )  # fmt: skip
    more = "products rounded to e5m4; 2 lanes, tree; scales e8m0fnu; chunk sums into e8m23, rtz; results e8m7, rtz; "
    more += "outer additions of 2 cycles"
    assert more in " ".join(result.stdout.split())
    head = Path("x/rtl/x.v").read_text().partition("// Modules")[0]
    assert all(text in head for text in ("e5m4", "e8m0fnu", "e8m23", "e8m7", "an addition takes 2 cycles"))


def test_what_a_preset_has_more_can_be_taken_away():
    args = ("--product", "exact", "--scale", "none", "--outer", "none", "--out", "none", "--outer-rounding", "none")
    for name in ("mxfp8", "lba-m7e4", "gupta2015"):
        result = invoke("build", "--preset", name, *args, *SMALL, "-o", name)
        assert built(name).extras == ()
        assert "More" not in result.stdout


def test_interleaved_units():
    assert "3 turns" in invoke("build", "--interleave", 3, *SMALL, "-o", "x").stdout
    assert built("x").interleave == 3


def test_chunk_none():
    assert invoke("build", "--chunk", "none", *SMALL, "-o", "x").exit_code == 0
    assert built("x").chunk is None


def test_a_preset_with_an_option():
    result = invoke("build", "--preset", "int8-int32", *SMALL, "-o", "x")
    assert "int32, 32 bits, rne, wrap, no chunks" in result.stdout
    assert built("x") == MacSpec(a="int8", b="int8", acc="int32", overflow="wrap", rows=1, cols=1)


def test_a_spec_file_is_what_presets_prints():
    Path("wide.json").write_text(invoke("presets", "wang2018").stdout)
    assert invoke("build", "--spec", "wide.json", *SMALL, "-o", "x").exit_code == 0
    assert built("x").acc == presets["wang2018"].acc


def test_a_spec_from_standard_input():
    text = MacSpec(a="int4", b="int4", acc="int16", rows=1, cols=1).to_json()
    assert invoke("build", "--spec", "-", "-o", "x", input=text).exit_code == 0
    assert built("x").acc.width == 16


def test_the_same_bytes_twice():
    for directory in ("one/mac", "two/mac"):
        assert invoke("build", *SMALL, "-o", directory).exit_code == 0
    assert tree(Path("one")) == tree(Path("two"))


def test_an_empty_directory_is_used():
    Path("x").mkdir()
    assert invoke("build", *SMALL, "-o", "x").exit_code == 0
    assert built("x").rows == 1


def test_force_replaces_a_bundle():
    assert invoke("build", *SMALL, "-o", "x").exit_code == 0
    assert invoke("build", *SMALL, "-o", "x", "--chunk", 3, "--force").exit_code == 0
    assert built("x").chunk == 3
    assert [path.name for path in Path().iterdir()] == ["x"]


def test_a_path_that_looks_like_markup_is_printed_as_it_is():
    result = invoke("build", *SMALL, "-o", "[red]out[/red]/mac")
    assert "[red]out[/red]/mac" in result.stdout


def test_a_path_that_is_no_text(tmp_path):
    result = subprocess.run(
        [*map(os.fsencode, command("build", *SMALL, "-o")), b"mac\xff"], cwd=tmp_path, capture_output=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, b"")
    assert (tmp_path / os.fsdecode(b"mac\xff") / "manifest.json").is_file()


# -- help --------------------------------------------------------------------------------------------------------


def test_help_states_the_ranges_and_choices_that_specs_accept():
    text = " ".join(invoke("build", "--help").stdout.split())
    assert text.count(f"1 to {MAX_SIDE}.") == 2
    assert f"1 to {MAX_CHUNK}." in text
    assert f"up to {MAX_OPERAND_WIDTH} bits" in text
    assert f"1 to {MAX_PIPELINE}." in text
    assert f"{MAX_RANDOM_BITS}." in text
    assert f"1 to {MAX_LANES}; chunks are multiples of it." in text
    assert f"1 to {MAX_INTERLEAVE}: " in text
    assert f"1 to {MAX_ALIGNED_BITS}, below" in text
    for option, choices in (
        ("rounding", [*SUM_ROUNDINGS, "stochastic:R[:nearest]"]),
        ("overflow", Overflow),
        ("fold", Fold),
        ("subnormals", Subnormals),
        ("lane-sum", ["fused", "tree", "aligned:W", "exponents:F", "exponents:F/G", "bulk:F"]),
        ("scale-place", ScalePlace),
    ):
        assert f"--{option} {'|'.join(choices)} " in text


def test_help_is_in_sections():
    text = invoke("build", "--help").stdout
    titles = ["Where to start:", "Number formats:", "Arithmetic:", "Hardware:", "Output:", "Other options:"]
    positions = [text.index(f"\n{title}\n") for title in titles]
    assert positions == sorted(positions)


# -- bad input ---------------------------------------------------------------------------------------------------

INTEGER = "Invalid value for '--{}': {!r} is not an integer"

BAD_OPTIONS = {
    "unknown format": (("--a", "fp8"), "a: format 'fp8' is unknown; accepted are "),
    "unknown accumulator": (("--acc", "fp8"), "acc: format 'fp8' is unknown; accepted are "),
    "float format out of range": (("--a", "e12m3"), "a: exp_bits 12 is not an integer from 2 to 11"),
    "integer format out of range": (("--b", "int999"), "b: int_bits 999 is not an integer from -256 to 256"),
    "wide operand": (("--a", "fp64", "--acc", "fp64"), "a e11m52 has 64 bits; accepted are operands of up to 32"),
    "acc too narrow for the operands": (("--acc", "e4m3"), "acc e4m3 is too narrow: its largest exponent is 7"),
    "integer acc too narrow": (
        ("--a", "int8", "--b", "int8", "--acc", "int15"),
        "acc int15 is too narrow: it ends at 16383, but products of a int8 and b int8 reach beyond; accepted are at "
        "least 16 bits before the point",
    ),
    "acc-bits 0": (("--acc-bits", 0), "acc-bits 0 is not from 8 to 59"),
    "acc-bits 7": (("--acc-bits", 7), "acc-bits 7 is not from 8 to 59"),
    "acc-bits 60": (("--acc-bits", 60), "acc-bits 60 is not from 8 to 59"),
    "acc-bits huge": (("--acc-bits", "9" * 18), f"acc-bits {'9' * 18} is not from 8 to 59"),
    "acc-bits enormous": (("--acc-bits", "9" * 5000), "Invalid value for '--acc-bits': '999"),
    "acc-bits no integer": (("--acc-bits", "12.0"), INTEGER.format("acc-bits", "12.0")),
    "acc-bits for integers": (("--a", "int8", "--b", "int8", "--acc-bits", 8), "acc-bits 8 is not from 16 to 256"),
    "acc-bits against acc": (("--acc-bits", 12, "--acc", "e6m9"), "acc-bits 12 contradicts acc e6m9"),
    "chunk 0": (("--chunk", 0), "chunk 0 is not an integer from 1 to 1048576 or none"),
    "chunk negative": (("--chunk", -64), "chunk -64 is not an integer from 1 to 1048576 or none"),
    "chunk huge": (("--chunk", 1 << 40), f"chunk {1 << 40} is not an integer from 1 to 1048576 or none"),
    "chunk no integer": (("--chunk", "many"), INTEGER.format("chunk", "many") + " or none"),
    "rows 0": (("--rows", 0), "rows 0 is not an integer from 1 to 256"),
    "cols 257": (("--cols", 257), "cols 257 is not an integer from 1 to 256"),
    "rows no integer": (("--rows", "four"), INTEGER.format("rows", "four")),
    "pipeline 4": (("--pipeline", 4), "pipeline 4 is not an integer from 1 to 3"),
    "lanes 0": (("--lanes", 0), "lanes 0 is not an integer from 1 to 64"),
    "lanes no integer": (("--lanes", "two"), INTEGER.format("lanes", "two")),
    "interleave 5": (("--interleave", 5), "interleave 5 is not an integer from 1 to 4"),
    "counters": (
        ("--counters", "many"),
        "counters 'many' is no text P or P/E; accepted are the bits of a PE's counters",
    ),
    "preload against ports": (
        ("--preload", "--interface", "axi-stream"),
        "preload does not go with interface 'axi-stream'; accepted is native",
    ),
    "lane sum": (("--lane-sum", "cut"), "lane_sum 'cut' is not one of fused, tree, aligned:W with W from 1 to 64"),
    "product": (("--product", "fp8"), "product: format 'fp8' is unknown; accepted are "),
    "scale": (("--scale", "e9m0fnu"), "scale: exp_bits 9 is not an integer from 2 to 8 (scales)"),
    "scale too wide": (("--scale", "fp64"), "scale e11m52 is not accepted; accepted are powers of two such as e8m0fnu"),
    "outer": (("--outer", "same"), "outer: format 'same' is unknown; accepted are "),
    "out": (("--out", "fp8"), "out: format 'fp8' is unknown; accepted are "),
    "outer rounding": (
        ("--outer-rounding", "up"),
        "outer_rounding 'up' is not one of rne, rtz, floor, odd, drop, stochastic:r",
    ),
    "chunk against lanes": (
        ("--preset", "hopper-e4m3", "--chunk", 100),
        "chunk 100 is not a multiple of lanes 32, as it has to be",
    ),
    "two random places": (
        ("--preset", "gupta2015", "--rounding", "stochastic:4"),
        "rounding 'stochastic:4' with outer_rounding 'stochastic:8' would round at random in more than one place",
    ),
    "rounding": (
        ("--rounding", "up"),
        "rounding 'up' is not one of rne, rtz, floor, odd, drop, stochastic:r[:nearest] with r from 1 to 32",
    ),
    "overflow": (("--overflow", "clamp"), "overflow 'clamp' is not one of saturate, infinity, to-infinity, nan, wrap"),
    "overflow of the wrong kind": (("--overflow", "wrap"), "overflow 'wrap' does not go with acc e6m5"),
    "subnormals": (("--subnormals", "off"), "subnormals 'off' is not one of gradual, flush, none"),
    "fold": (("--fold", "stall"), "fold 'stall' is not one of bubble, overlap"),
    "preset": (("--preset", "fp8"), "preset 'fp8' is unknown; accepted are default, wang2018"),
    "preset and spec": (("--preset", "fp16", "--spec", "x"), "preset 'fp16' and spec 'x' are both given"),
    "name with a dash": (("--name", "mac-12"), "name 'mac-12' is not a plain Verilog identifier"),
    "name with a digit first": (("--name", "12mac"), "name '12mac' is not a plain Verilog identifier"),
    "name empty": (("--name", ""), "name '' is not a plain Verilog identifier"),
    "name not ASCII": (("--name", "mäc"), "name 'mäc' is not a plain Verilog identifier"),
    "name escaped": (("--name", "\\mac "), "name '\\\\mac ' is not a plain Verilog identifier"),
    "name a path": (("--name", "../mac"), "name '../mac' is not a plain Verilog identifier"),
    "name a keyword": (("--name", "module"), "name 'module' is a Verilog keyword"),
    "name a SystemVerilog keyword": (("--name", "logic"), "name 'logic' is a Verilog keyword"),
    "name too long": (("--name", "m" * 65), f"name '{'m' * 65}' is not a plain Verilog identifier"),
    "format of any length": (("--a", "e5m2" * 10_000), "a: format 'e5m2e5m2"),
    "unknown option": (("--banks", 4), "No such option '--banks'"),
    "argument": (("mac12",), "Got unexpected extra argument (mac12)"),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_wrong_option(case, tmp_path):
    args, start = BAD_OPTIONS[case]
    sentence = refused("build", *args)
    assert sentence.startswith(start)
    assert len(sentence) < 500
    assert tree(tmp_path) == {}


GOOD = {"a": "e5m2", "b": "e5m2", "acc": "e6m5"}

BAD_SPECS = {
    "empty": (b"", "spec 'spec.json': spec is not valid JSON ("),
    "truncated": (json.dumps(GOOD).encode()[:-5], "spec 'spec.json': spec is not valid JSON ("),
    "no text": (b"\xff\xfe\x00", "spec 'spec.json' is not UTF-8 text; accepted is "),
    "too large": (b" " * (1 << 20) + b"{}", "spec 'spec.json' is larger than 1048576 bytes; accepted is "),
    "list": (b"[]", "spec 'spec.json': spec is a list; accepted is an object with the fields of MacSpec"),
    "unknown key": (json.dumps(GOOD | {"banks": 1}).encode(), "spec 'spec.json': spec has the unknown key 'banks'; "),
    "missing key": (b'{"a": "e5m2"}', "spec 'spec.json': spec lacks the key 'b'; "),
    "wrong type": (json.dumps(GOOD | {"rows": "4"}).encode(), "spec 'spec.json': rows '4' is not an integer from 1 to"),
    "fraction": (json.dumps(GOOD | {"rows": 4.0}).encode(), "spec 'spec.json': rows 4.0 is not an integer from 1 to"),
    "huge value": (
        json.dumps(GOOD | {"chunk": 10**300}).encode(),
        "spec 'spec.json': chunk 1000",
    ),
    "enormous value": (
        b'{"a": "e5m2", "b": "e5m2", "acc": "e6m5", "chunk": ' + b"9" * 10_000 + b"}",
        "spec 'spec.json': spec is not valid JSON (",
    ),
    "deep": (b"[" * 100_000, "spec 'spec.json': spec is not valid JSON ("),
    "long key": (json.dumps(GOOD | {"k" * 100_000: 1}).encode(), "spec 'spec.json': spec has the unknown key 'kkk"),
}


@pytest.mark.parametrize("case", BAD_SPECS)
def test_wrong_spec_file(case, tmp_path):
    data, start = BAD_SPECS[case]
    Path("spec.json").write_bytes(data)
    sentence = refused("build", "--spec", "spec.json")
    assert sentence.startswith(start)
    assert len(sentence) < 500
    assert tree(tmp_path) == {"spec.json": data}


def test_spec_file_that_cannot_be_read(tmp_path):
    assert refused("build", "--spec", "missing.json").startswith(
        "spec 'missing.json' cannot be read (No such file or directory); accepted is "
    )
    assert refused("build", "--spec", ".").startswith("spec '.' cannot be read (Is a directory); accepted is ")
    assert refused("build", "--spec", "/dev/zero").startswith("spec '/dev/zero' is larger than ")
    assert tree(tmp_path) == {}


def test_output_that_is_a_file(tmp_path):
    Path("x").write_text("mine")
    for extra in ((), ("--force",)):
        assert refused("build", "-o", "x", *extra).startswith("output 'x' exists and is no bundle; accepted is ")
    assert tree(tmp_path) == {"x": b"mine"}


def test_output_below_a_file(tmp_path):
    Path("x").write_text("mine")
    assert refused("build", "-o", "x/y").startswith("output 'x/y' cannot be written (")
    assert tree(tmp_path) == {"x": b"mine"}


def test_output_that_is_someone_elses_directory(tmp_path):
    Path("x").mkdir()
    Path("x/thesis.tex").write_text("mine")
    for extra in ((), ("--force",)):
        sentence = refused("build", "-o", "x", *extra)
        assert sentence.startswith("output 'x' exists and is no bundle (it holds 'thesis.tex'); accepted is ")
    assert tree(tmp_path) == {"x": None, "x/thesis.tex": b"mine"}


def test_output_that_is_a_bundle(tmp_path):
    assert invoke("build", *SMALL, "-o", "x").exit_code == 0
    before = tree(tmp_path)
    sentence = refused("build", *SMALL, "-o", "x", "--chunk", 3)
    assert sentence == "output 'x' exists; accepted is a new directory, or --force to replace a bundle"
    assert tree(tmp_path) == before


def test_output_whose_name_is_too_long(tmp_path):
    sentence = refused("build", "-o", "m" * 300)
    assert sentence.endswith("cannot be written (File name too long); accepted is a writable directory")
    assert tree(tmp_path) == {}


def test_output_in_a_loop_of_links(tmp_path):
    Path("loop").symlink_to("loop")
    assert refused("build", "-o", "loop/mac").startswith("output 'loop/mac' cannot be written (")
    assert refused("build", "-o", "loop").startswith("output 'loop' exists and is no bundle; accepted is ")
    assert [path.name for path in Path().iterdir()] == ["loop"]


def test_output_where_nothing_can_be_written(tmp_path):
    result = run("build", "-o", "/proc/mac12", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("macgen: error: output '/proc/mac12' cannot be written (")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_bad_input_in_a_process_of_its_own(tmp_path):
    result = run("build", "--chunk", 0, cwd=tmp_path)
    expected = "macgen: error: chunk 0 is not an integer from 1 to 1048576 or none\n"
    assert (result.returncode, result.stdout, result.stderr) == (2, "", expected)
    assert tree(tmp_path) == {}


# -- interruption ------------------------------------------------------------------------------------------------

LARGE = ("--rows", 40, "--cols", 40, "--acc-bits", 16)  # takes longer than the longest delay


def start_build(directory, *args):
    """Start a build in a process group of its own and return when it has begun to write."""
    process = subprocess.Popen(
        command("build", *LARGE, "-o", "x", *args),
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not list(directory.glob(".x.*.partial")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return process


@pytest.mark.thinned(2)
@pytest.mark.parametrize("delay", [0.0, 0.2, 0.5])
def test_sigint_leaves_nothing(tmp_path, delay):
    process = start_build(tmp_path)
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout, stderr.strip()) == (130, "", "macgen: interrupted")
    assert tree(tmp_path) == {}


@pytest.mark.thinned(2)
@pytest.mark.parametrize("delay", [0.0, 0.2, 0.5])
def test_sigkill_leaves_nothing_under_the_final_name(tmp_path, delay):
    process = start_build(tmp_path)
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "x").exists()
    assert all(path.name.startswith(".x.") for path in tmp_path.iterdir())
    assert invoke("build", *SMALL, "-o", "x").exit_code == 0
    assert os.listdir(tmp_path) == ["x"]
    assert built("x").rows == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_replacement_leaves_the_old_bundle(tmp_path, number):
    assert invoke("build", *SMALL, "-o", "x").exit_code == 0
    before = tree(tmp_path / "x")
    process = start_build(tmp_path, "--force")
    os.killpg(process.pid, number)
    process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGKILL)
    assert tree(tmp_path / "x") == before


@pytest.mark.parametrize("option", ["spec", "plan"])
def test_standard_input_that_is_no_text(option):
    sentence = refused("build", f"--{option}", "-", input=b"\xff")
    assert sentence.startswith(f"{option} '-' ")
    assert "text" in sentence


@pytest.mark.thinned("plan")
@pytest.mark.parametrize("option", ["spec", "plan"])
def test_standard_input_that_is_closed(option):
    shell = f"{shlex.join(command('build', f'--{option}', '-'))} <&-"
    result = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"macgen: error: {option} '-' cannot be read (standard input is closed); accepted is a file, or one there\n"
    )


def test_the_next_commands_can_be_copied(tmp_path):
    out = invoke("build", "--preset", "int4", *SMALL, "--name", "mac", "-o", "a b").stdout
    assert out.endswith("Next:  macgen verify 'a b'\n       macgen report 'a b'\n")


# -- a clock that picks stages and turns -------------------------------------------------------------------------------


@pytest.fixture
def measured(monkeypatch):
    """Clocks of choices as if they had been measured: 40 MHz a stage, 30 MHz a turn."""
    choices = [(1, 1), (2, 1), (1, 2), (2, 2)]
    trials = tuple(meeting.Trial(p, i, min(40.0 * p, 30.0 * i)) for p, i in choices)

    def meet(spec, clock_mhz, **where):
        assert where.pop("progress")
        assert where == {"liberty": None, "fpga": "ecp5", "device": "45k"}
        best = next((t for t in trials if t.mhz >= clock_mhz), trials[-1])
        chosen = spec.replace(pipeline=best.pipeline, interleave=best.interleave)
        return meeting.Choice(chosen, best.mhz >= clock_mhz, trials)

    monkeypatch.setattr(meeting, "meet", meet)


MEET = ["build", "--rows", "1", "--cols", "1", "--meet", "--fpga", "ecp5", "--device", "45k"]


def test_a_clock_picks_stages_and_turns(measured):
    result = invoke(*MEET, "--clock-mhz", "50", "-o", "met")
    assert result.exit_code == 0, result.output
    assert [line.split() for line in result.stdout.splitlines()[1:5]] == [
        ["1", "1", "30.0"],
        ["2", "1", "30.0"],
        ["1", "2", "40.0"],
        ["2", "2", "60.0", "chosen"],
    ]
    assert (built("met").pipeline, built("met").interleave) == (2, 2)


def test_a_clock_out_of_reach_builds_nothing(measured):
    result = invoke(*MEET, "--clock-mhz", "70", "-o", "met")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == "No choice reaches 70 MHz; nothing was built."
    assert not Path("met").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--meet", "--fpga", "ecp5"], "meet is given without clock-mhz; accepted is it with --clock-mhz F"),
        (["--meet", "--clock-mhz", "9"], "liberty and fpga are both given or both left out; accepted is one of them"),
        (["--fpga", "ecp5"], "fpga is given without meet; accepted is it with --clock-mhz F --meet"),
        (
            ["--meet", "--clock-mhz", "9", "--fpga", "ecp5", "--pipeline", "2"],
            "pipeline 2 does not go with meet, which chooses it; accepted is one of the two",
        ),
    ],
)
def test_wrong_options_of_a_clock_are_refused(options, sentence):
    assert refused("build", *options, "-o", "out") == sentence
    assert not Path("out").exists()
