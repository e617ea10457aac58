import json
import os
import re
import threading

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macgen.bundle.manifest import load_manifest
from macgen.cli.main import COMMANDS
from macgen.network.gemm import Gemm, Layer, Network
from macgen.network.measurement import Measurement, OperandStatistics
from macgen.network.papers import NETWORKS
from macgen.numerics import parse_format
from macgen.width.goal import Goal
from macgen.width.network_plan import plan_network
from tests.cli.runner import invoke, refused
from tests.network.models import model, node, saved, value, weight


def cells(text, start):
    """Return the cells of the lines that begin with a word."""
    return [line.split() for line in text.splitlines() if line.startswith(start)]


# -- tables ----------------------------------------------------------------------------------------------------------


def test_one_length():
    result = invoke("plan", "--length", "4608", "--a", "e5m2", "--b", "e5m2", "--chunk", "64")
    assert result.exit_code == 0
    assert result.stderr == ""
    (row,) = cells(result.stdout, " 4,608")
    assert row == ["4,608", "9", "5", "7", "5", "fix45.32", "e5m5", "11"]
    assert "Decided by noise." in result.stdout
    assert "e5m5: mantissa: NSR 0.0030, at most 0.01; exponent: sums reach 342" in result.stdout


def test_forward_widths_of_resnet18():
    """Block by block the widths that the formulas of the VRR give for its lengths: 7, 7, 8, 9."""
    result = invoke("plan", "--network", "resnet18", "--batch", "256", "--chunk", "64")
    widths = {}
    for name, kind, _, length, vrr_normal, *_ in cells(result.stdout, "block"):
        if kind == "forward" and name.endswith("conv2"):
            widths[name.partition(".")[0]] = length, vrr_normal
    assert widths == {
        "block1": ("576", "7"),
        "block2": ("1,152", "7"),
        "block3": ("2,304", "8"),
        "block4": ("4,608", "9"),
    }
    assert "does for all 62 GEMMs" in result.stdout
    assert "of the accumulator bits saved" in result.stdout


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network(name):
    result = invoke("plan", "--network", name, "--batch", "8", "--chunk", "auto", "--rounding", "drop")
    assert result.exit_code == 0
    assert re.search("Decided by (VRR|noise|VRR and noise|noise and VRR)[.]", result.stdout)


def test_only_some_gemms():
    result = invoke("plan", "--network", "alexnet", "--only", "forward", "--only", "gradient")
    kinds = {line.split()[1] for line in result.stdout.splitlines() if line.startswith(("conv", "fc"))}
    assert kinds == {"forward", "gradient"}


def test_the_limit_of_the_vrr_s_criterion_is_an_option():
    widths = {}
    for limit in ("5.5", "11", "50"):
        result = invoke("plan", "--network", "resnet18", "--only", "forward", "--limit", limit)
        assert f"smallest width with v(n) < {limit}." in result.stdout
        widths[limit] = [row[4] for row in cells(result.stdout, "block") if row[0].endswith("1.conv2")]
    assert widths == {"5.5": [*"7889"], "11": [*"7889"], "50": [*"7789"]}


def test_sparse_products_shorten_both_sums_of_chunks():
    result = invoke("plan", "--length", "3211264", "--chunk", "64", "--nzr", "0.4")
    (row,) = cells(result.stdout, "3,211,264")
    assert row[:4] == ["3,211,264", "0.40", "15", "10"]


def test_truncation_warns_with_figures():
    result = invoke("plan", "--length", "4608", "--chunk", "64", "--rounding", "rtz")
    assert "Warning: rtz truncates every sum toward zero: with the 5 mantissa bits that VRR accepts" in result.stdout
    assert "keeps 26% of its variance" in result.stdout


@pytest.mark.parametrize(
    ("rounding", "what"),
    [
        ("rne", "every sum rounded to nearest"),
        ("rtz", "every sum truncated"),
        ("floor", "every sum rounded down"),
        ("drop", "at most, where the adder aligns and drops"),
        ("stochastic:8", "every sum rounded at random"),
    ],
)
def test_the_table_says_what_noise_its_widths_are_for(rounding, what):
    result = invoke("plan", "--length", "100", "--rounding", rounding)
    assert f"\nNoise: {what}; smallest width with" in result.stdout


def test_stochastic_rounding_makes_twice_the_noise():
    nearest, stochastic = (
        invoke("plan", "--length", "2304", "--rounding", rounding, "--json", "-").stdout
        for rounding in ("rne", "stochastic:13")
    )
    assert (json.loads(nearest)["rows"][0]["acc"], json.loads(stochastic)["rows"][0]["acc"]) == ("e5m7", "e5m7")
    assert "NSR 0.0063" in stochastic
    assert "NSR 0.0032" in nearest


def test_integers_are_exact():
    result = invoke("plan", "--length", "4608", "--a", "int8", "--b", "int8")
    assert cells(result.stdout, " 4,608") == [["4,608", "int28", "int28", "28"]]


def test_monte_carlo_decides():
    result = invoke("plan", "--length", "512", "--chunk", "32", "--monte-carlo", "500")
    assert "Decided by Monte Carlo." in result.stdout
    assert "500 trials, seed 1" in result.stdout


def test_automatic_chunk_is_justified():
    result = invoke("plan", "--length", "4608", "--chunk", "auto")
    assert "Chunk: of all powers of two, 64 makes chunk + ceil(4608 / chunk) = 136 least" in result.stdout


# -- files -----------------------------------------------------------------------------------------------------------


def test_json_is_what_build_takes(tmp_path):
    file = tmp_path / "plan.json"
    invoke("plan", "--network", "resnet18", "--batch", "256", "--chunk", "64", "--json", file)
    values = json.loads(file.read_text())
    assert len(values["rows"]) == 62
    assert values["widest"] == "e5m9"
    common = ("--rows", 1, "--cols", 1)
    for options, acc in (((), "e5m9"), (("--max",), "e5m9"), (("--layer", "block4.1.conv2:forward"), "e5m5")):
        directory = tmp_path / f"mac{len(options)}"
        result = invoke("build", "--plan", file, *options, *common, "-o", directory)
        assert result.exit_code == 0
        spec = load_manifest(directory).spec
        assert (str(spec.acc), spec.chunk, str(spec.a), spec.rounding) == (acc, 64, "e5m2", "rne")


@pytest.mark.parametrize(
    ("a", "b", "length", "acc"),
    [
        ("fix8.-4", "fix8.-4", 64, "fix22.-8"),  # 64 * 2^7 * 2^7 = 2^20, which takes 22 bits with the sign
        ("ufix8.-4", "fix-2.10", 9, "fix10.6"),  # 9 * 240 * 2^-3 = 270 > 2^8
        ("fix12.-4", "int8narrow", 8, "fix22.-4"),  # 8 * 2^11 * 127 < 2^21
    ],
)
def test_formats_with_their_point_elsewhere_and_narrow_ones(tmp_path, a, b, length, acc):
    """They are planned, go through the plan's file, are built and named."""
    file = tmp_path / "plan.json"
    assert invoke("plan", "--a", a, "--b", b, "--length", length, "--json", file).exit_code == 0
    built = invoke("build", "--plan", file, "--rows", 1, "--cols", 1, "-o", tmp_path / "mac")
    assert f"{a} x {b}, " in built.stdout
    spec = load_manifest(tmp_path / "mac").spec
    assert (str(spec.a), str(spec.b), str(spec.acc)) == (a, b, acc)


def test_a_plan_through_a_pipe(tmp_path):
    """Chunk lengths that differ by row become that of the longest sum."""
    text = invoke("plan", "--network", "alexnet", "--only", "forward", "--chunk", "auto", "--json", "-").stdout
    result = invoke("build", "--plan", "-", "--rows", 1, "--cols", 1, "-o", tmp_path / "mac", input=text)
    assert result.exit_code == 0
    assert load_manifest(tmp_path / "mac").spec.chunk == 128


def test_a_pipe_gets_the_plan(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    received = []
    reader = threading.Thread(target=lambda: received.append(fifo.read_bytes()))
    reader.start()
    invoke("plan", "--length", 100, "--json", fifo)
    reader.join(30)
    assert json.loads(received[0])["rows"][0]["length"] == 100
    assert fifo.is_fifo()


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "plan.json"
    file.write_text("old")

    def no_room(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    assert "cannot be written (No space left on device)" in refused("plan", "--length", 100, "--json", file)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_link_stays_one(tmp_path):
    (tmp_path / "link.json").symlink_to(tmp_path / "plan.json")
    invoke("plan", "--length", 100, "--json", tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "plan.json").read_text())["batch"] == 1


def test_json_on_standard_output_is_alone():
    result = invoke("plan", "--length", "100", "--json", "-")
    assert json.loads(result.stdout)["rows"][0]["length"] == 100


@pytest.mark.thinned("svg")
@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_plot(tmp_path, suffix):
    file = tmp_path / f"vrr.{suffix}"
    invoke("plan", "--length", "4608", "--chunk", "64", "--plot", file)
    first = file.read_bytes()
    assert first.startswith({"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[suffix])
    invoke("plan", "--length", "4608", "--chunk", "64", "--plot", file)
    assert file.read_bytes() == first


def test_build_with_automatic_width_and_chunk(tmp_path):
    common = ("--rows", 1, "--cols", 1, "--length", 4608)
    result = invoke("build", "--acc-bits", "auto", "--chunk", 64, *common, "-o", tmp_path / "one")
    assert "Chosen for sums of 4608 products: e5m5" in result.stdout
    assert str(load_manifest(tmp_path / "one").spec.acc) == "e5m5"
    result = invoke("build", "--acc-bits", 12, "--chunk", "auto", *common, "-o", tmp_path / "two")
    assert "Chunk: of all powers of two, 64" in result.stdout
    spec = load_manifest(tmp_path / "two").spec
    assert (str(spec.acc), spec.chunk) == ("e6m5", 64)


def test_an_outer_accumulator_leaves_the_inner_one_a_chunk(tmp_path):
    common = ("--rows", 1, "--cols", 1, "--acc-bits", "auto", "-o")
    alone = invoke("build", "--length", 64, "--chunk", "none", *common, tmp_path / "alone")
    assert "Warning" not in alone.stdout
    outer = invoke("build", "--length", 1_000_000, "--chunk", 64, "--outer", "fp32", *common, tmp_path / "promoted")
    assert "Chosen for sums of 64 products" in outer.stdout
    assert "nothing says whether outer e8m23 is wide enough" in outer.stdout
    specs = [load_manifest(tmp_path / name).spec for name in ("alone", "promoted")]
    assert specs[0].acc == specs[1].acc
    assert (specs[1].chunk, str(specs[1].outer)) == (64, "e8m23")


@pytest.mark.parametrize(
    ("outer", "sentence"),
    [
        ("int28", "Outer int28 holds every sum of 4608 products."),
        ("int27", "Warning: outer int27 does not hold every sum of 4608 products: it takes int28."),
        (
            "fp32",
            "Warning: outer e8m23 reaches every sum of 4608 products, but lacks numbers between them; it takes int28",
        ),
    ],
)
def test_of_integers_it_is_said_whether_the_outer_accumulator_is_wide_enough(outer, sentence, tmp_path):
    def said(result):
        return sentence in result.stdout.replace("\n", " ").replace("  ", " ")

    formats = ("--a", "int8", "--b", "int8", "--chunk", 64, "--outer", outer)
    small = ("--rows", 1, "--cols", 1, "--force", "-o", tmp_path / "mac")
    path = tmp_path / "plan.json"
    assert said(invoke("plan", "--length", 4608, *formats, "--json", path))
    assert said(invoke("build", "--acc-bits", "auto", "--length", 4608, *formats, *small))
    planned = load_manifest(tmp_path / "mac").spec
    assert said(invoke("build", "--plan", path, *small))
    assert load_manifest(tmp_path / "mac").spec == planned
    assert (str(planned.acc), planned.outer) == ("int22", parse_format(outer))
    assert "outer 'int32' does not go with plan" in refused("build", "--plan", path, "--outer", "int32", *small)


def test_a_plan_s_weights_say_whether_the_outer_accumulator_is_wide_enough(tmp_path):
    """Two layers: the weights of the shorter sums are larger, and it is those that int18 does not hold."""
    numbers = OperandStatistics(1.0, -100.0, 100.0, 1.0, 30.0, "int8")
    layers = tuple(
        Layer(name, "Gemm", (Gemm("forward", length, 10),), Measurement(numbers, numbers, l1, (l1, l1)))
        for name, length, l1 in (("small", 4608, 1000), ("large", 64, 1200))
    )
    planned = plan_network(Network("two", 1, layers), Goal(a="int8", b="int8", chunk=64, outer="int18"))
    (tmp_path / "plan.json").write_text(planned.to_json())
    common = ("build", "--plan", tmp_path / "plan.json", "--rows", 1, "--cols", 1, "--force", "-o", tmp_path / "mac")
    small = invoke(*common, "--layer", "small")
    assert "Outer int18 holds every sum of 4608 products with these weights." in small.stdout
    wider = "Warning: outer int18 does not hold every sum of 64 products with these weights: it takes int19."
    assert wider in invoke(*common).stdout


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--scale", "e8m0fnu", "--chunk", 64), "the width is that for sums without scales"),
        (("--product", "e5m4"), "the width is that for exact products, not for ones rounded to e5m4"),
        (("--lanes", 4, "--lane-sum", "tree"), "the width is that for one rounding a step, not for lane_sum tree"),
        (("--lane-sum", "aligned:9"), "the width is that for one rounding a step, not for lane_sum aligned:9"),
    ],
)
def test_what_the_theory_does_not_know_is_said(options, sentence, tmp_path):
    plan = invoke("plan", "--length", 512, "--chunk", 64, "--json", "-").stdout
    common = ("--rows", 1, "--cols", 1, "--force", "-o", tmp_path / "mac")
    result = invoke("build", "--acc-bits", "auto", "--length", 512, *options, *common)
    assert f"Warning: {sentence}" in result.stdout
    options = [option for option in options if option not in ("--chunk", 64)]
    result = invoke("build", "--plan", "-", *options, *common, input=plan)
    assert f"Warning: {sentence}" in result.stdout


# -- refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "nothing given to plan for; accepted is one of --length N, --network NAME and a file MODEL.onnx"),
        (("--length", 1, "--network", "resnet18"), "length and network given to plan for"),
        (("--length", 0), "length 0 is not an integer from 1"),
        (("--length", "many"), "'many' is not an integer"),
        (("--network", "vgg"), "network 'vgg' is unknown; accepted are resnet18, resnet32, alexnet"),
        (("--network", "resnet18", "--batch", 0), "batch 0 is not an integer from 1"),
        (("--network", "resnet18", "--only", "all"), "only 'all' is not one of forward, backward, gradient"),
        (("--length", 9, "--only", "forward"), "only 'forward' does not go with length"),
        (("--length", 9, "--batch", 2), "batch 2 does not go with length; accepted is it with network or model"),
        (("--network", "resnet18", "--nzr", 0.5), "nzr 0.5 does not go with network; accepted is it with length"),
        (("--length", 9, "--nzr", 0), "nzr 0.0 is not a number above 0 and at most 1"),
        (("--length", 9, "--nsr", 0.2), "nsr 0.2 is not a number above 0 and at most 0.05"),
        (("--length", 9, "--nsr", "nan"), "nsr nan is not a number"),
        (("--length", 9, "--limit", 1), "limit 1.0 is not a number above 1"),
        (("--length", 9, "--reading", "both"), "reading 'both' is not one of per-level, total"),
        (("--length", 9, "--overflow-probability", 1), "overflow_probability 1.0 is not a number above 0"),
        (("--length", 9, "--a", "e99m1"), "a: "),
        (("--length", 9, "--chunk", 0), "chunk 0 is not an integer from 1"),
        (("--length", 9, "--chunk", "some"), "'some' is not an integer or none or auto"),
        (
            ("--length", 9, "--rounding", "up"),
            "rounding 'up' is not one of rne, rtz, floor, odd, drop, stochastic:r[:nearest] with r from 1 to 32",
        ),
        (("--length", 9, "--monte-carlo", 1), "trials 1 is not an integer from 2"),
        (("--length", 9, "--a", "int8", "--b", "int8", "--monte-carlo", 10), "monte-carlo does not go with acc"),
        (("--length", 9, "--plot", "vrr.gif"), "plot has the suffix '.gif'; accepted are .svg, .png, .pdf"),
        (("--length", 9, "--a", "int8", "--b", "int8", "--plot", "a.svg"), "plot of acc int"),
        (("--length", 9, "--json", "no/such/plan.json"), "json 'no/such/plan.json' cannot be written"),
        (("--length", 9, "--plot", "no/such/vrr.svg"), "plot 'no/such/vrr.svg' cannot be written"),
        (("--length", 9, "--json", ""), "json '' cannot be written"),
        (("--length", 9, "--json", "."), "json '.' cannot be written (Is a directory)"),
        (("--length", 9, "--json", "a.svg", "--plot", "./a.svg"), "json and plot are both './a.svg'"),
        (("model.onnx", "--dim", "x=4", "--dim", "x=5"), "dim 'x' is both 4 and 5; accepted is one size"),
        (("model.onnx",), "model.onnx"),
        (("model.onnx", "--dim", "seq"), "dim 'seq' is not NAME=N; accepted are such as seq=128"),
        (("model.onnx", "--data", "x.npy", "--batch", 2), "batch does not go with data 'x.npy'"),
    ],
)
def test_refused(options, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sentence in refused("plan", *options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--acc-bits", "auto"), "acc-bits 'auto' lacks a length; accepted is it with --length N"),
        (("--chunk", "auto"), "chunk 'auto' lacks a length; accepted is it with --length N"),
        (("--length", 64), "length 64 is given without auto; accepted is it with --acc-bits auto or --chunk auto"),
        (("--length", 0, "--chunk", "auto"), "length 0 is not an integer from 1"),
        (("--acc-bits", "auto", "--length", 9, "--acc", "e6m5"), "acc-bits 'auto' contradicts acc 'e6m5'"),
        (("--layer", "conv0"), "layer 'conv0' is given without plan; accepted is it with --plan FILE"),
        (("--max",), "max is given without plan"),
        (("--plan", "plan.json", "--layer", "conv0", "--max"), "layer 'conv0' and max are both given"),
        (("--plan", "plan.json", "--preset", "fp16"), "preset 'fp16' and plan 'plan.json' are both given"),
        (("--plan", "nowhere.json"), "plan 'nowhere.json'"),
        (("--plan", "plan.json", "--layer", "conv9"), "layer 'conv9' is not in the plan; accepted are sum"),
        (("--plan", "plan.json", "--rounding", "rtz"), "rounding 'rtz' does not go with plan 'plan.json'"),
        (("--plan", "plan.json", "--chunk", "none"), "chunk 'none' does not go with plan 'plan.json'"),
        (("--plan", "plan.json", "--acc-bits", 12), "acc-bits 12 does not go with plan 'plan.json'"),
        (
            ("--acc-bits", "auto", "--length", 9, "--subnormals", "flush"),
            "acc-bits 'auto' contradicts subnormals 'flush'",
        ),
    ],
)
def test_builds_from_plans_refused(options, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    invoke("plan", "--length", 100, "--json", "plan.json")
    before = sorted(tmp_path.iterdir())
    assert sentence in refused("build", *options, "-o", "mac")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("kind", ["--length 99", "--network alexnet"])
@given(
    st.dictionaries(
        st.sampled_from(
            ["a", "b", "chunk", "rounding", "nsr", "limit", "reading", "overflow-probability", "batch", "nzr"]
        ),
        st.sampled_from(
            ["e4m3fn", "int8", "fp32", "auto", "none", "7", "0", "-1", "rtz", "floor", "0.02", "1e-9", "total", "nan"]
        )
        | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5),
        max_size=4,
    )
)
@settings(max_examples=60, deadline=None)
def test_any_options(kind, options):
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    result = invoke("plan", *kind.split(), *words)
    if result.exit_code == 0:
        assert "of the accumulator bits saved" in result.stdout
    else:
        assert result.exit_code == 2
        assert result.stdout == ""
        assert result.stderr.startswith("macgen: error: ")
        assert result.stderr.count("\n") == 1


def test_attention_of_a_model_is_planned(tmp_path):
    """Two heads of 32 features on 4096 keys: 128 * 128 * 4096 = 2^26 needs int28, 64 products need int22."""
    nodes = [node("MatMul", f"x w{name}", name) for name in "qkv"]
    nodes.append(node("Attention", "q k v", "y", name="self", q_num_heads=2, kv_num_heads=2))
    weights = [weight(f"w{name}", 64, 64) for name in "qkv"]
    path = saved(tmp_path, model(nodes, [value("x", (1, 4096, 64))], weights, opset=23))
    result = invoke("plan", path, "--a", "int8", "--b", "int8", "--only", "forward")
    assert [row[3] for name in "qkv" for row in cells(result.stdout, name)] == ["64"] * 3
    assert [row[3] for row in cells(result.stdout, "self.")] == ["32", "4,096"]
    assert "int28 (28 bits) does for all 5 GEMMs" in result.stdout


def test_a_model_with_samples(tmp_path):
    """Half of the inputs are zero: the table says so."""
    helper, tensor = onnx.helper, onnx.TensorProto
    weights = np.random.default_rng(1).normal(size=(64, 10)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="classify")],
        "digits",
        [helper.make_tensor_value_info("x", tensor.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", tensor.FLOAT, ["batch", 10])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "digits.onnx")
    x = np.random.default_rng(2).normal(size=(32, 64)).astype(np.float32)
    x[:, ::2] = 0
    np.save(tmp_path / "x.npy", x)
    result = invoke("plan", tmp_path / "digits.onnx", "--data", tmp_path / "x.npy", "--only", "forward")
    (row,) = cells(result.stdout, "classify")
    assert row[:5] == ["classify", "forward", "100.0%", "64", "0.50"]
    assert invoke("plan", tmp_path / "digits.onnx", "--batch", 5).exit_code == 0
    assert invoke("plan", tmp_path / "digits.onnx", "--dim", "batch=7").exit_code == 0


def test_plan_is_first_in_the_overview():
    assert next(iter(COMMANDS)) == "plan"


def test_a_damaged_data_file_is_refused(tmp_path):
    file = tmp_path / "x.npy"
    file.write_bytes(b"\x93NUMPY\x01\x00\x04\x00'''(")
    assert refused("plan", "model.onnx", "--data", file) == (
        f"data {str(file)!r} is damaged or none of NumPy; accepted is an .npy or .npz of NumPy with numbers"
    )
