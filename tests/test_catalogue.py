import pickle
import re
from fractions import Fraction
from pathlib import Path

import pytest

import macgen
from macgen import golden
from macgen.catalogue import CATALOGUE, preset, presets
from macgen.errors import MacgenError
from macgen.spec import MacSpec
from macgen.width.bounds import exact_format


def test_the_presets_that_the_documents_name():
    expected = {
        "default": MacSpec(a="e5m2", b="e5m2", acc="e6m5", chunk=64, rounding="rne", overflow="saturate"),
        "wang2018": MacSpec(a="e5m2", b="e5m2", acc="e6m9", chunk=64),
        "fp16": MacSpec(a="e5m10", b="e5m10", acc="e5m10", overflow="infinity"),
        "bf16-fp32": MacSpec(a="e8m7", b="e8m7", acc="e8m23", overflow="infinity"),
        "int8-int32": MacSpec(a="int8", b="int8", acc="int32", overflow="wrap"),
        "sr-e6m5": MacSpec(a="e5m2", b="e5m2", acc="e6m5", rounding="stochastic:13"),
    }
    assert {name: presets[name] for name in expected} == expected


@pytest.mark.parametrize("name", ["int8", "int4", "kulisch-e4m3"])
def test_exact_presets_are_as_narrow_as_their_source_says(name):
    spec = presets[name]
    assert exact_format(spec.a, spec.b, 4608) == spec.acc
    assert exact_format(spec.a, spec.b, 2 * 4608).width > spec.acc.width


@pytest.mark.parametrize("name", ["mxfp6", "mxfp4", "mxint8", "nvfp4"])
def test_block_sums_are_exact_as_their_source_says(name):
    """The largest sums of a block do not overflow, nothing lies between the grid's points, and no bit is idle."""
    spec = presets[name]
    ends = [fmt.number(fmt.largest_code(sign)).to_fraction() for fmt in (spec.a, spec.b) for sign in (0, 1)]
    products = [x * y for x in ends[:2] for y in ends[2:]]
    step = Fraction(2) ** spec.acc.lsb_exponent
    low, high = spec.acc.min_integer * step, spec.acc.max_integer * step
    assert low <= spec.chunk * min(products) < spec.chunk * max(products) <= high
    assert spec.acc.lsb_exponent == spec.a.lsb_exponent + spec.b.lsb_exponent
    assert exact_format(spec.a, spec.b, spec.chunk) == spec.acc
    extremes = [[fmt.largest_code(sign)] * spec.chunk for fmt in (spec.a, spec.b) for sign in (0, 1)]
    one = spec.scale.encode(1.0).item()
    for a in extremes[:2]:
        for b in extremes[2:]:
            code, flags = golden.dot(spec, a, b, a_scales=[one], b_scales=[one])
            exact = spec.chunk * (spec.a.number(a[0]).to_fraction() * spec.b.number(b[0]).to_fraction())
            assert (spec.outer.number(code).to_fraction(), flags) == (exact, golden.Flags(0))


def test_the_48_bits_of_gupta_2015_and_the_40_of_flexpoint():
    """32 bits before the point: sums of up to 2**17 of the largest products; 40 bits: of up to 511."""
    for name, width, products in (("gupta2015", 48, 2**17 - 1), ("flexpoint", 40, 511)):
        spec = presets[name]
        assert spec.acc.width == width
        assert spec.acc.lsb_exponent == spec.a.lsb_exponent + spec.b.lsb_exponent
        largest = spec.a.number(spec.a.largest_code(1)).to_fraction() ** 2
        in_units = largest / Fraction(2) ** spec.acc.lsb_exponent
        assert products * in_units <= spec.acc.max_integer < (products + 1) * in_units


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_page_of_the_presets_shows_every_one(name):
    page = (Path(__file__).parents[1] / "docs" / "presets.md").read_text()
    spec = presets[name]
    chunk = "none" if spec.chunk is None else spec.chunk
    formats = f"| `{name}` | {spec.a} x {spec.b} | {spec.acc} | {chunk} | {spec.rounding}, {spec.overflow} |"
    more = f" {'; '.join(spec.extras)}".rstrip()
    assert f"{formats}{more} | {CATALOGUE[name].source} |" in page
    assert f"- **`{name}`**: " in page


def test_presets_are_the_catalogue():
    assert macgen.presets is presets
    assert dict(presets) == {name: entry.spec for name, entry in CATALOGUE.items()}


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_preset(name):
    entry = CATALOGUE[name]
    assert preset(name) is entry.spec
    assert MacSpec.from_json(entry.spec.to_json()) == entry.spec
    assert pickle.loads(pickle.dumps(entry)) == entry
    assert re.fullmatch(r"[a-z0-9-]+", name)
    assert re.fullmatch(r"[^\n]{20,}\.", entry.source)


def test_no_two_presets_are_the_same():
    """But Blackwell's units of FP16, BF16 and TF32, which compute as Hopper's."""
    same = {f"blackwell-{formats}": f"hopper-{formats}" for formats in ("fp16", "fp16-fp16", "bf16", "tf32")}
    assert all(presets[one] == presets[other] for one, other in same.items())
    assert len(set(presets.values())) == len(presets) - len(same)


def test_presets_cannot_be_changed():
    with pytest.raises(TypeError):
        presets["default"] = presets["fp16"]
    with pytest.raises(AttributeError):
        CATALOGUE["default"].spec = presets["fp16"]


def test_a_preset_that_is_gone_names_those_that_took_its_place():
    with pytest.raises(MacgenError) as caught:
        preset("hopper-like")
    assert str(caught.value) == (
        "preset 'hopper-like' is gone, for it aligned otherwise than a Hopper does; accepted is hopper-e4m3, or "
        "deepseek-v3 with its promotion to FP32 every 128 products"
    )


UNITS = {  # operands, accumulator, group, F
    "volta-fp16": ("e5m10", "e8m23", 4, 23),
    "ampere-fp16": ("e5m10", "e8m23", 8, 24),
    "ampere-bf16": ("e8m7", "e8m23", 8, 24),
    "ampere-tf32": ("e8m10", "e8m23", 4, 24),
    "ada-e4m3": ("e4m3fn", "e8m13", 16, 13),
    "ada-e5m2": ("e5m2", "e8m13", 16, 13),
    "hopper-fp16": ("e5m10", "e8m23", 16, 25),
    "hopper-bf16": ("e8m7", "e8m23", 16, 25),
    "hopper-tf32": ("e8m10", "e8m23", 8, 25),
    "hopper-e4m3": ("e4m3fn", "e8m13", 32, 13),
    "hopper-e5m2": ("e5m2", "e8m13", 32, 13),
    "blackwell-fp16": ("e5m10", "e8m23", 16, 25),
    "blackwell-bf16": ("e8m7", "e8m23", 16, 25),
    "blackwell-tf32": ("e8m10", "e8m23", 8, 25),
    "blackwell-e4m3": ("e4m3fn", "e8m23", 32, 25),
    "blackwell-e5m2": ("e5m2", "e8m23", 32, 25),
}


@pytest.mark.parametrize("name", UNITS)
def test_the_matrix_units_of_nvidia(name):
    spec, (operand, acc, lanes, bits) = presets[name], UNITS[name]
    expected = MacSpec(a=operand, b=operand, acc=acc, lanes=lanes, lane_sum=f"exponents:{bits}", rounding="rtz",
                       overflow="to-infinity", rows=spec.rows, cols=spec.cols)  # fmt: skip
    assert spec == expected
    half = f"{name}-fp16"
    assert (half in presets) == (name.endswith("-fp16") or name.startswith("ada"))
    if half in presets:
        assert presets[half] == expected.replace(acc="fp16", rounding="rne", overflow="infinity")


def test_other_matrix_units():
    deepseek = presets["hopper-e4m3"].replace(chunk=128, outer="fp32", outer_rounding="rne")
    assert presets["deepseek-v3"] == deepseek
    for name, scale, block, lanes in (("mxfp8", "e8m0fnu", 32, 32), ("mxfp4", "e8m0fnu", 32, 64),
                                      ("nvfp4", "e4m3fn", 16, 64)):  # fmt: skip
        spec = presets[f"blackwell-{name}"]
        assert (str(spec.scale), spec.scale_place, spec.block, spec.lanes) == (scale, "lanes", block, lanes)
        assert (spec.exponent_bits, spec.lane_sum.group) == ((25, 1) if lanes == 32 else (35, 16))
    for name in ("cdna1-fp16", "cdna2-bf16"):
        spec = presets[name]
        assert (spec.lanes, spec.lane_sum, spec.rounding) == (4, "tree", "rne")


@pytest.mark.parametrize(("name", "operand"), [("e4m3", "e4m3fn"), ("e5m2", "e5m2quiet"), ("bf16", "e8m7")])
@pytest.mark.parametrize(("n", "bits"), [(4, 25), (8, 26), (16, 27), (32, 28)])
def test_the_dot_products_of_riscv(name, operand, n, bits):
    """23 bits and log2 n guard bits, as the manual says."""
    assert presets[f"rvbna-{name}-n{n}"] == MacSpec(
        a=operand, b=operand, acc="fp32", lanes=n, lane_sum=f"bulk:{bits}", rounding="odd", overflow="to-infinity",
        rows=2, cols=2,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["", "Default", "fp16 ", "nothing"])
def test_unknown_preset(name):
    with pytest.raises(MacgenError) as caught:
        preset(name)
    names = list(presets)
    others = ", ".join(names[: names.index("volta-fp16")])
    assert str(caught.value) == (
        f"preset {name!r} is unknown; accepted are {others}, and what macgen presets lists of GPUs and RISC-V"
    )
