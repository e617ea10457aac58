"""Single additions of the array model: every accumulator state with every product, where the space is small."""

from dataclasses import replace

import numpy as np
import pytest

from macgen import MacSpec, golden
from macgen.emulate.carrier import FLOAT32, FLOAT64
from macgen.emulate.float_adder import FloatAdder, FloatPlan
from macgen.numerics import Rounding, all_codes

HAZARD = MacSpec(a="e4m3fn", b="e4m3fn", acc="e6m5")
PARTS = 8
MAX_STATES = 8192


def distinct_products(spec):
    """Return codes a, b and values of the products, one pair of operands for each distinct finite product."""
    a, b = (x.ravel() for x in np.meshgrid(all_codes(spec.a), all_codes(spec.b)))
    with np.errstate(invalid="ignore"):
        products = spec.a.decode(a) * spec.b.decode(b) + 0.0
    values, first = np.unique(products, return_index=True)
    finite = np.isfinite(values)
    return a[first[finite]], b[first[finite]], values[finite]


def finite_states(fmt):
    codes = all_codes(fmt)
    return codes[np.isfinite(fmt.decode(codes))]


def added(plan, acc, products):
    """Return all sums of accumulators (column) and products (row), rounded by a plan."""
    shape = acc.size, products.size
    sums = np.broadcast_to(acc[:, np.newaxis], shape).astype(plan.carrier.dtype)
    adder = FloatAdder(plan, shape)
    with np.errstate(all="ignore"):
        adder.step(sums, np.broadcast_to(products, shape).astype(plan.carrier.dtype))
    return adder.values(sums)


def always_right(plan):
    """Return the plan that assumes nothing: sums rounded to odd in binary64, subnormals looked after."""
    return replace(plan, carrier=FLOAT64, to_odd=True, subnormal_grid=plan.acc.subnormals == "gradual", specials=True)


@pytest.mark.thinned(5)
@pytest.mark.parametrize("part", range(PARTS))
def test_hazard_of_double_rounding_against_golden(part):
    """E4M3 products have more bits than E6M5 keeps: 2016 positive states and 2011 distinct products."""
    states = finite_states(HAZARD.acc)
    states = states[states < 1 << HAZARD.acc.width - 1]
    a, b, products = distinct_products(HAZARD)
    assert states.size * products.size == 4_054_176
    states = states[part::PARTS]
    plan = FloatPlan.choose(HAZARD, length=1, bound=np.inf)
    assert (plan.carrier, plan.to_odd) == (FLOAT32, True)
    codes = HAZARD.acc.encode(added(plan, HAZARD.acc.decode(states), products))
    model = golden.Model(HAZARD)
    operands = list(zip(a.tolist(), b.tolist(), strict=True))
    expected = [[model.step(acc, x, y)[0] for x, y in operands] for acc in states.tolist()]
    np.testing.assert_array_equal(codes, expected)


def test_rounding_to_nearest_first_would_be_wrong_there():
    """The count that docs and design state, so that nobody takes the short cut again."""
    states = finite_states(HAZARD.acc)
    states = HAZARD.acc.decode(states[states < 1 << HAZARD.acc.width - 1])
    products = distinct_products(HAZARD)[2]
    plan = FloatPlan.choose(HAZARD, length=1, bound=np.inf)
    naive = added(replace(plan, to_odd=False), states, products)
    assert np.count_nonzero(naive != added(plan, states, products)) == 82_071


@pytest.mark.thinned(5)
@pytest.mark.parametrize("rounding", ["rne", "rtz", "floor"])
@pytest.mark.parametrize(
    ("operand", "acc"),
    [
        ("e5m2", "e6m5"),
        ("e5m2", "e6m9"),
        ("e5m2", "e6m6:flush"),
        ("e5m2", "e5m7"),
        ("e5m2", "e8m6finite"),
        ("e4m3fn", "e5m5fnuz"),
        ("e4m3fn", "e6m4:flush"),
        ("e2m3finite", "e5m10"),
        ("e3m2finite", "e4m5fn"),
        ("int4", "e5m2"),
        ("int4", "e4m9"),
        ("int4", "e4m4:bias=-10"),  # sums of up to 26 bits
    ],
)
def test_the_chosen_way_is_the_way_that_assumes_nothing(operand, acc, rounding):
    spec = MacSpec(a=operand, b=operand, acc=acc, rounding=rounding)
    plan = FloatPlan.choose(spec, length=1, bound=np.inf)
    a, b, products = distinct_products(spec)
    rng = np.random.default_rng(4)
    states = rng.permutation(finite_states(spec.acc))[:MAX_STATES]
    for some in np.array_split(states, -(-states.size // 2048)):
        values = spec.acc.decode(some)
        sums = added(plan, values, products)
        np.testing.assert_array_equal(sums.view(np.int64), added(always_right(plan), values, products).view(np.int64))
        for _ in range(500):
            i, k = rng.integers(some.size), rng.integers(products.size)
            code, _ = golden.step(spec, some[i], a[k], b[k])
            assert spec.acc.encode(sums[i, k]) == code, (spec, some[i], a[k], b[k])


def test_presets_take_the_quick_way():
    """Not a matter of results: a change here multiplies the time of whole networks."""
    for operand, acc in (("e5m2", "e6m5"), ("e5m2", "e6m9"), ("e4m3", "e6m9"), ("e2m1finite", "e6m5")):
        plan = FloatPlan.choose(MacSpec(a=operand, b=operand, acc=acc, chunk=64), length=1024, bound=1e4)
        flags = {"specials": False, "to_odd": False, "subnormal_grid": False}
        assert plan == FloatPlan(plan.acc, FLOAT32, Rounding("rne"), None, **flags)
    plan = FloatPlan.choose(MacSpec(a="bf16", b="bf16", acc="fp32"), length=1024, bound=1e4)
    assert (plan.carrier, plan.to_odd) == (FLOAT64, False)


@pytest.mark.parametrize(
    ("a", "b", "acc"),
    [
        ("fp32", "fp32", "fp64"),  # 53 significand bits leave no sticky bit in binary64
        ("e8m23", "e8m23", "e8m51"),
        ("e11m4", "e11m4", "e11m10"),  # products beyond the range of binary64
        ("int32", "int32", "e8m23"),  # products of 62 bits
    ],
)
def test_nothing_is_chosen_where_nothing_is_proved(a, b, acc):
    assert FloatPlan.choose(MacSpec(a=a, b=b, acc=acc), length=1, bound=np.inf) is None
