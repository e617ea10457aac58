"""Steps, folds and conversions of tiny formats, all of them, and dot products, against the contract's words."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from macgen import MacgenError, MacSpec, golden, parse_format
from macgen.numerics import SUM_ROUNDINGS
from tests.golden.by_definition import Accumulator, Definition, decode, multiply, random_numbers

ACCUMULATORS = [
    name + subnormals
    for name in ("e3m2", "e3m2fn", "e3m2fnuz", "e3m2finite", "e3m0fnuz", "e3m0finite", "e2m3:bias=0")
    for subnormals in ("", ":flush", ":none")
    if subnormals != ":none" or name in ("e3m2", "e3m2fnuz", "e2m3:bias=0")
]
OPERANDS = [
    ("e2m1", "e2m1:bias=4:none"),
    ("e2m1fn", "e2m1fnuz:bias=4:flush"),
    ("e2m2", "e1m1finite:bias=3:flush"),
]


def specs_of(acc, a, b):
    for rounding, overflow in itertools.product(SUM_ROUNDINGS, overflows_of(acc)):
        yield MacSpec(a=a, b=b, acc=acc, rounding=rounding, overflow=overflow)


@pytest.mark.thinned(3)
@pytest.mark.parametrize("acc", ACCUMULATORS)
@pytest.mark.parametrize(("a", "b"), OPERANDS)
def test_every_step(acc, a, b):
    for spec in specs_of(acc, a, b):
        reference, model = Accumulator(spec.acc, spec.rounding, spec.overflow), golden.Model(spec)
        operands = itertools.product(range(2**spec.a.width), range(2**spec.b.width))
        products = [(x, y, multiply(decode(spec.a, x), decode(spec.b, y))) for x, y in operands]
        distinct = {product for _, _, product in products}
        for c in range(2**spec.acc.width):
            acc_decoded = decode(spec.acc, c)
            expected = {product: reference.add(acc_decoded, product) for product in distinct}
            for x, y, product in products:
                assert model.step(c, x, y) == expected[product], (spec, c, x, y)


@pytest.mark.thinned(6)
@pytest.mark.parametrize("rounding", [f"stochastic:{r}" for r in ("1", "2", "4", "1:nearest", "2:nearest")])
@pytest.mark.parametrize("acc", ACCUMULATORS)
def test_steps_and_folds_with_every_random_number(acc, rounding):
    overflow = "infinity" if parse_format(acc).has_infinity else "saturate"
    spec = MacSpec(a="e2m2", b="e1m1finite:bias=3", acc=acc, rounding=rounding, overflow=overflow)
    reference, model = Accumulator(spec.acc, spec.rounding, spec.overflow), golden.Model(spec)
    decoded = [decode(spec.acc, code) for code in range(2**spec.acc.width)]
    products = [(x, 3, multiply(decode(spec.a, x), decode(spec.b, 3))) for x in range(2**spec.a.width)]
    for random, (c, acc_decoded) in itertools.product(range(2**spec.random_bits), enumerate(decoded)):
        for x, y, product in products:
            assert model.step(c, x, y, random) == reference.add(acc_decoded, product, random), (spec, c, x, y)
        for inner in range(random % 5, 2**spec.acc.width, 5):
            assert model.fold(c, inner, random) == reference.add(acc_decoded, decoded[inner], random)


@pytest.mark.thinned(3)
@pytest.mark.parametrize("acc", ACCUMULATORS)
def test_every_fold(acc):
    for spec in specs_of(acc, "e2m1finite", "e2m1finite"):
        reference, model = Accumulator(spec.acc, spec.rounding, spec.overflow), golden.Model(spec)
        decoded = [decode(spec.acc, code) for code in range(2**spec.acc.width)]
        for outer, inner in itertools.product(range(2**spec.acc.width), repeat=2):
            expected = reference.add(decoded[outer], decoded[inner])
            assert model.fold(outer, inner) == expected, (spec, outer, inner)


# -- products, lanes, outer accumulators, scales, results --------------------------------------------------------

TINY = ["e3m2", "e3m2fn:flush", "e2m2fnuz", "e3m1finite", "e3m0finite", "fix4.2", "ufix3.1", "int6"]


def overflows_of(*names):
    """Return every overflow that the first one of these formats can have."""
    fmt = parse_format(names[0])
    if not hasattr(fmt, "man_bits"):
        return ["saturate", "wrap"]
    return ["saturate", *(["to-infinity", "infinity"] if fmt.has_infinity else ["nan"] if fmt.has_nan else [])]


@pytest.mark.thinned(3)
@pytest.mark.parametrize("product", TINY)
def test_every_product_rounded_to_a_format(product):
    """In an accumulator that holds all of them exactly, and with each rounding and overflow."""
    unsigned = product.startswith("u")
    operands = [("ufix2.2", "ufix1.2")] if unsigned else [("e2m1", "e2m2"), ("fix2.3", "e2m1finite"), ("e2m1fnuz",) * 2]
    overflows = {"wrap": "fix14.8", "infinity": "e5m9", "saturate": "e5m9", "nan": "e5m9fn"}
    known = [overflow for overflow in overflows_of(product) if overflow in overflows]
    for (a, b), rounding, overflow in itertools.product(operands, SUM_ROUNDINGS, known):
        spec = MacSpec(a=a, b=b, product=product, acc=overflows[overflow], rounding=rounding, overflow=overflow)
        definition = Definition(spec)
        for x, y in itertools.product(range(2**spec.a.width), range(2**spec.b.width)):
            assert golden.step(spec, 0, x, y) == definition.step(0, [x], [y], 0), (spec, x, y)


@pytest.mark.thinned(3)
@pytest.mark.parametrize("out", TINY)
def test_every_result_converted_to_a_format(out):
    unsigned = out.startswith("u")
    acc = ["ufix7.3"] if unsigned else ["e4m3", "e4m3fnuz:flush", "fix5.3", "e4m4finite:bias=5"]
    operand = "uint1" if unsigned else "e1m1finite"
    for name, rounding, wide in itertools.product(
        acc, (*SUM_ROUNDINGS, "stochastic:3", "stochastic:2:nearest"), (False, True)
    ):
        overflow = overflows_of(name)[-1] if wide else "saturate"
        spec = MacSpec(a=operand, b=operand, acc=name, out=out, outer_rounding=rounding, overflow=overflow)
        definition = Definition(spec)
        for code in range(2**spec.acc.width):
            for random in range(2**spec.random_bits) if spec.random_bits else [None]:
                found = golden.convert(spec, code, random)
                assert found == definition.convert(code, random or 0), (spec, code)


@pytest.mark.parametrize(
    ("acc", "outer", "scale"),
    [
        ("e2m1", "e4m2", "e2m0fnu"),
        ("fix2.1", "e4m2fnuz", "e3m0fnu"),
        ("e2m1fn", "fix4.2", "e2m1"),
        ("e2m1", "e4m2fn:flush", "e2m1fn"),
        ("fix2.1", "e4m2", "e2m1fnuz"),
        ("e2m1fnuz", "fix4.2", "e2m0finite"),
        ("e2m1", "e4m2finite", "e2m1:flush"),
    ],
)
def test_every_scaled_fold(acc, outer, scale):
    """Every chunk sum by every pair of scales, NaN, infinities and zeros among them, on a few outer codes each."""
    operand = "e1m0finite:bias=2"
    for phase, rounding in enumerate(("rne", "rtz", "drop", "stochastic:2", "floor")):
        spec = MacSpec(a=operand, b=operand, acc=acc, scale=scale, chunk=2, outer=outer, outer_rounding=rounding)
        definition = Definition(spec)
        codes = itertools.product(range(2**spec.acc.width), *[range(2**spec.scale.width)] * 2)
        for index, (inner, *scales) in enumerate(itertools.islice(codes, phase % 3, None, 3)):
            for total in range((index + 7 * phase) % 61, 2**spec.outer.width, 61):
                random = index % 4 if rounding == "stochastic:2" else None
                found = golden.fold(spec, total, inner, random, *scales)
                assert found == definition.fold(total, inner, random or 0, *scales), (spec, total, inner, scales)


@pytest.mark.thinned(5)
@pytest.mark.parametrize("outer", ["e3m3", "e3m3fn:flush", "e4m1fnuz", "e3m2finite", "fix5.2", "int5"])
@pytest.mark.parametrize("acc", ["e2m2", "e2m2fnuz:flush", "fix3.2"])
def test_every_fold_into_an_adder_of_its_own(acc, outer):
    for rounding in SUM_ROUNDINGS:
        for overflow in overflows_of(acc):
            spec = MacSpec(
                a="e2m1finite:bias=3", b="e2m1finite:bias=3", acc=acc, outer=outer, outer_rounding=rounding, chunk=1,
                overflow=overflow,
            )  # fmt: skip
            definition, model = Definition(spec), golden.Model(spec)
            for total, inner in itertools.product(range(2**spec.outer.width), range(2**spec.acc.width)):
                assert model.fold(total, inner) == definition.fold(total, inner), (spec, total, inner)


LANE_SUMS = [
    (acc, rounding, lane_sum)
    for acc in ("e3m3", "e3m2fnuz:flush", "e3m3fn", "fix4.3")
    for rounding in (*SUM_ROUNDINGS, "stochastic:3", "stochastic:3:nearest")
    for lane_sum in ("fused", "tree", *(f"aligned:{bits}" for bits in (1, 2, 3, 5, 9)))
    if not (lane_sum.startswith("aligned") and (rounding == "drop" or acc == "fix4.3"))
    and not (lane_sum == "tree" and rounding.startswith("stochastic"))
]


@pytest.mark.parametrize(("acc", "rounding", "lane_sum"), LANE_SUMS)
def test_steps_of_lanes(acc, rounding, lane_sum):
    """Random codes of all kinds, in steps of as many products as there are lanes and of fewer."""
    operand = "fix2.2" if acc == "fix4.3" else "e3m1"
    spec = MacSpec(a=operand, b=operand, acc=acc, rounding=rounding, lane_sum=lane_sum, lanes=4)
    definition, rng = Definition(spec), np.random.default_rng(1)
    for count in (1, 2, 3, 4) * 100:
        a, b = rng.integers(0, 2**spec.a.width, (2, count)).tolist()
        total, random = int(rng.integers(2**spec.acc.width)), int(rng.integers(8)) if rounding[0] == "s" else None
        found = golden.step(spec, total, a, b, random)
        assert found == definition.step(total, a, b, random or 0), (spec, total, a, b)


OPERANDS_OF_DOTS = ["e2m1", "e2m2quiet", "e3m1fn", "e2m1fnuz", "e2m2finite", "fix2.2", "ufix1.2", "int3"]
FORMATS_OF_DOTS = ["e3m2", "e4m3", "e3m3fn:flush", "e4m2fnuz", "e3m3finite", "fix6.4", "fix5.1", "int7"]
SCALES_OF_DOTS = ["e2m0fnu", "e3m0fnu", "e2m2fn", "e2m1", "e3m1fnuz", "e2m1finite"]


@st.composite
def specs_of_dots(draw):
    """Specs of tiny formats that have some of the fields of this family."""
    of_lanes = draw(st.sampled_from([False, False, True]))
    lane_sums = ["exponents:3", "exponents:9", "exponents:6/2"]
    lane_sums += [] if of_lanes else ["fused", "tree", "aligned:2", "aligned:7", "bulk:3", "bulk:9"]
    rounding = st.sampled_from([*SUM_ROUNDINGS, "stochastic:3", "stochastic:20", "stochastic:2:nearest"])
    optional = st.none() | st.sampled_from(FORMATS_OF_DOTS)
    lanes = draw(st.sampled_from([1, 1, 2, 3, 4, 8]))
    try:
        return MacSpec(
            a=draw(st.sampled_from(OPERANDS_OF_DOTS)),
            b=draw(st.sampled_from(OPERANDS_OF_DOTS)),
            acc=draw(st.sampled_from(FORMATS_OF_DOTS)),
            product=draw(optional),
            scale=draw(st.sampled_from(SCALES_OF_DOTS) if of_lanes else st.none() | st.sampled_from(SCALES_OF_DOTS)),
            scale_place="lanes" if of_lanes else "outer",
            scale_block=draw(st.sampled_from([None, 1, 2, 4])) if of_lanes else None,
            chunk=draw(st.none() | st.integers(1, 4).map(lambda steps: steps * lanes)),
            outer=draw(optional),
            out=draw(optional),
            rounding=draw(rounding),
            outer_rounding=draw(st.none() | rounding),
            overflow=draw(st.sampled_from(["saturate", "infinity", "to-infinity", "wrap", "nan"])),
            lanes=lanes,
            lane_sum=draw(st.sampled_from(lane_sums)),
            rows=2,
            cols=2,
            interleave=draw(st.integers(1, 3)),
        )
    except MacgenError:
        assume(False)


@settings(max_examples=100)
@given(st.data())
def test_dot_products(data):
    spec = data.draw(specs_of_dots())
    length = data.draw(st.integers(1, 24))
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
    a, b = (rng.integers(0, 2**fmt.width, length).tolist() for fmt in (spec.a, spec.b))
    definition = Definition(spec)
    wide = definition.random_bits > 19
    pe = (0, 0) if wide else (data.draw(st.integers(0, 1)), data.draw(st.integers(0, 1)))
    turn, start = data.draw(st.integers(0, spec.interleave - 1)), data.draw(st.integers(0, 20))
    numbers = iter(())
    if definition.random_bits:
        row = 0 if definition.out_draws else pe[0]
        numbers = random_numbers(definition.random_bits, row, pe[1], spec.interleave, turn)
        numbers = itertools.islice(numbers, start, None)
    scales = {}
    if spec.scale is not None:
        elements = (spec.scale_block or spec.lanes) if spec.scale_place == "lanes" else spec.chunk or length
        drawn = rng.integers(0, 2**spec.scale.width, (2, -(-length // elements))).tolist()
        scales = dict(zip(("a_scales", "b_scales"), drawn, strict=True))
    found = golden.dot(spec, a, b, pe, start, turn, **scales)
    assert found == definition.dot(a, b, numbers, *scales.values()), spec


@pytest.mark.parametrize("interleave", [1, 2, 3])
@pytest.mark.parametrize(
    "fields",
    [
        {"rounding": "stochastic:5"},
        {"rounding": "stochastic:5", "lanes": 2},
        {"outer_rounding": "stochastic:4"},
        {"outer_rounding": "stochastic:4", "scale": "e3m0fnu", "outer": "e4m3"},
        {"outer_rounding": "stochastic:6", "out": "e3m1", "chunk": None},
    ],
)
def test_matrix_products_take_every_register_s_numbers_in_order(fields, interleave):
    """5 x 5 results of 2 x 2 PEs: nine tiles, in turns; each register's iterator is read to the end, without a gap."""
    spec = MacSpec(**{"a": "e2m1", "b": "e2m2", "acc": "e3m3", "chunk": 4, "rows": 2, "cols": 2} | fields)
    spec, definition, rng = replace(spec, interleave=interleave), Definition(spec), np.random.default_rng(3)
    a, b = rng.integers(0, 2**spec.a.width, (5, 7)), rng.integers(0, 2**spec.b.width, (7, 5))
    a[a & 0b110 == 0b110] = b[b & 0b1100 == 0b1100] = 1  # finite, or nothing is rounded
    chunks, scales = 2, {}
    if spec.scale is not None:
        scales = {"A_scales": rng.integers(0, 7, (5, chunks)), "B_scales": rng.integers(0, 7, (chunks, 5))}
    codes, flags = golden.matmul(spec, a, b, **scales)
    registers = {
        (row, col, turn): random_numbers(definition.random_bits, row, col, interleave, turn)
        for row, col, turn in itertools.product(range(2), range(2), range(interleave))
    }
    taken = dict.fromkeys(registers, 0)
    for tile, (row, col) in enumerate(itertools.product(range(0, 6, 2), range(0, 6, 2))):
        for pe_row, pe_col in itertools.product(range(2), range(2)):
            m, n, turn = row + pe_row, col + pe_col, tile % interleave
            key = (0 if definition.out_draws else pe_row, pe_col, turn)
            inside = m < 5 and n < 5
            count = itertools.count()
            counted = (number for number, _ in zip(registers[key], count, strict=False))
            of_pe = []
            if inside and spec.scale is not None:
                of_pe = [scales["A_scales"][m].tolist(), scales["B_scales"][:, n].tolist()]
            padded = a[m].tolist() if m < 5 else [0] * 7, b[:, n].tolist() if n < 5 else [0] * 7
            pads = () if spec.scale is None else ([0] * chunks, [0] * chunks)
            result = definition.dot(*padded, counted, *(of_pe or pads))
            taken[key] += next(count)
            if inside:
                assert (codes[m, n], flags[m, n]) == result
    tiles_of_turn = [len(range(turn, 9, interleave)) for turn in range(interleave)]
    rows = 1 if definition.out_draws else 2
    for (row, _, turn), numbers in taken.items():
        if row < rows:
            assert numbers == tiles_of_turn[turn] * golden.draws(spec, 7)
