"""Steps and folds of tiny formats, all of them, against a search in enumerated values."""

import itertools

import pytest

from macgen import MacSpec, golden, parse_format
from macgen.numerics import SUM_ROUNDINGS
from tests.golden.by_definition import Accumulator, decode, multiply

ACCUMULATORS = [
    name + flush
    for name in ("e3m2", "e3m2fn", "e3m2fnuz", "e3m2finite", "e3m0fnuz", "e3m0finite", "e2m3:bias=0")
    for flush in ("", ":flush")
]
OPERANDS = [
    ("e2m1", "e2m1:bias=4"),
    ("e2m1fn", "e2m1fnuz:bias=4:flush"),
    ("e2m2", "e1m1finite:bias=3:flush"),
]


def specs_of(acc, a, b):
    for rounding, overflow in itertools.product(SUM_ROUNDINGS, ("saturate", "infinity")):
        if overflow == "saturate" or parse_format(acc).has_infinity:
            yield MacSpec(a=a, b=b, acc=acc, rounding=rounding, overflow=overflow)


@pytest.mark.parametrize("acc", ACCUMULATORS)
@pytest.mark.parametrize(("a", "b"), OPERANDS)
def test_every_step(acc, a, b):
    for spec in specs_of(acc, a, b):
        reference = Accumulator(spec.acc, spec.rounding, spec.overflow)
        operands = itertools.product(range(2**spec.a.width), range(2**spec.b.width))
        products = [(x, y, multiply(decode(spec.a, x), decode(spec.b, y))) for x, y in operands]
        distinct = {product for _, _, product in products}
        for c in range(2**spec.acc.width):
            acc_decoded = decode(spec.acc, c)
            expected = {product: reference.add(acc_decoded, product) for product in distinct}
            for x, y, product in products:
                assert golden.step(spec, c, x, y) == expected[product], (spec, c, x, y)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("acc", ACCUMULATORS)
def test_steps_and_folds_with_every_random_number(acc, bits):
    overflow = "infinity" if parse_format(acc).has_infinity else "saturate"
    spec = MacSpec(a="e2m2", b="e1m1finite:bias=3", acc=acc, rounding=f"stochastic:{bits}", overflow=overflow)
    reference = Accumulator(spec.acc, spec.rounding, spec.overflow)
    decoded = [decode(spec.acc, code) for code in range(2**spec.acc.width)]
    products = [(x, 3, multiply(decode(spec.a, x), decode(spec.b, 3))) for x in range(2**spec.a.width)]
    for random, (c, acc_decoded) in itertools.product(range(2**bits), enumerate(decoded)):
        for x, y, product in products:
            assert golden.step(spec, c, x, y, random) == reference.add(acc_decoded, product, random), (spec, c, x, y)
        for inner in range(random % 5, 2**spec.acc.width, 5):
            assert golden.fold(spec, c, inner, random) == reference.add(acc_decoded, decoded[inner], random)


@pytest.mark.parametrize("acc", ACCUMULATORS)
def test_every_fold(acc):
    for spec in specs_of(acc, "e2m1finite", "e2m1finite"):
        reference = Accumulator(spec.acc, spec.rounding, spec.overflow)
        decoded = [decode(spec.acc, code) for code in range(2**spec.acc.width)]
        for outer, inner in itertools.product(range(2**spec.acc.width), repeat=2):
            expected = reference.add(decoded[outer], decoded[inner])
            assert golden.fold(spec, outer, inner) == expected, (spec, outer, inner)
