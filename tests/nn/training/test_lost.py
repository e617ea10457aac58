"""Gradients without lost products: against golden's additions, one at a time, in Python's integers."""

import numpy as np
import pytest

from macgen import golden, presets
from macgen.nn.training.lost import kept_gradients
from macgen.numerics import Flags
from macgen.spec import MacSpec

RANDOM = np.random.default_rng(2)


def prefix(spec, a, b, count):
    """Return the value and flags of the accumulator of one chunk after some of its products."""
    if count == 0:
        return 0.0, Flags(0)
    one = spec.replace(chunk=None, outer=None, out=None, outer_rounding=None)
    codes, flags = golden.matmul(one, spec.a.encode(a[np.newaxis, :count]), spec.b.encode(b[:count, np.newaxis]))
    return float(one.out_format.decode(codes)[0, 0]), Flags(int(np.asarray(flags)[0, 0]))


def rounded_sum(spec, total, addend):
    """Return R(total + addend) in the accumulator's format, both its values, and whether it overflows."""
    exact = total + addend  # exact in binary64 for these formats
    rounded = float(spec.acc.quantize(np.array([exact]), "rtz" if spec.rounding == "rtz" else "rne")[0])
    return rounded, abs(exact) > spec.acc.max


def alphas(spec, a, b, approximation):
    length, chunk = len(a), spec.chunk or len(a)
    own, folds, sums = np.ones(length), [], []
    kind = approximation.removeprefix("recursive-")
    for start in range(0, length, chunk):
        ended = min(start + chunk, length)
        for k in range(start, ended):
            before, _ = prefix(spec, a[start:], b[start:], k - start)
            after, _ = prefix(spec, a[start:], b[start:], k - start + 1)
            product = a[k] * b[k]
            if kind == "difference":
                own[k] = product == 0 or (after - before) / product > 0
            else:
                rounded = (
                    product if spec.product is None else float(spec.product.quantize(np.array([product]), "rtz")[0])
                )
                wide = spec.product is not None and abs(product) > spec.product.max
                own[k] = not (wide or rounded_sum(spec, before, rounded)[1])
        sums.append(prefix(spec, a[start:], b[start:], ended - start)[0])
    total = sums[0]
    folds.append(1.0)
    for addend in sums[1:]:
        after, overflowed = rounded_sum(spec, total, addend)
        folds.append(float(not overflowed if kind == "overflow" else addend == 0 or (after - total) / addend > 0))
        total = after
    kept = np.empty(length)
    for k in range(length):
        c = k // chunk
        end = min((c + 1) * chunk, length)
        if approximation.startswith("recursive"):
            kept[k] = np.prod(own[k:end]) * np.prod(folds[c:])
        else:
            kept[k] = own[k] * folds[c]
    return kept


SPECS = {
    "narrow": MacSpec(a="e4m3fn", b="e4m3fn", acc="e5m3", chunk=4),
    "no chunks": MacSpec(a="e5m2", b="e5m2", acc="e5m2"),
    "lba": presets["lba-m7e4"].replace(chunk=5),
    "saturating": MacSpec(a="fix4.2", b="fix4.2", acc="fix8.2", rounding="rtz", chunk=6),
}


@pytest.mark.parametrize("approximation", ["overflow", "difference", "recursive-overflow", "recursive-difference"])
@pytest.mark.parametrize("name", SPECS)
def test_products_that_additions_lost_get_no_gradient(name, approximation):
    spec, length = SPECS[name], 14
    random = np.random.default_rng(2)
    size = {"lba": 3.0, "saturating": 4.5}.get(name, 1.0)
    a = spec.a.quantize(random.normal(size=(4, length)) * size)
    b = spec.b.quantize(random.normal(size=(3, length)) * size)
    a, b = (np.minimum(np.abs(x), 7.75) for x in (a, b)) if name == "saturating" else (a, b)
    a[0, 3] = 0.0
    g = random.normal(size=(4, 3))
    of_a, of_b = kept_gradients(spec, a, b, g, approximation, threads=2)
    expected_a, expected_b = np.zeros_like(a), np.zeros_like(b)
    lost = 0
    for m in range(4):
        for n in range(3):
            kept = alphas(spec, a[m], b[n], approximation)
            lost += int(np.sum(kept == 0))
            expected_a[m] += g[m, n] * kept * b[n]
            expected_b[n] += g[m, n] * kept * a[m]
    np.testing.assert_allclose(of_a, expected_a, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(of_b, expected_b, rtol=1e-12, atol=1e-12)
    if name in ("lba", "saturating") or "difference" in approximation:
        assert 0 < lost < 4 * 3 * length


def test_sums_do_not_depend_on_threads():
    spec = presets["lba-m7e4"]
    a, b = (spec.a.quantize(RANDOM.normal(size=(count, 60))) for count in (70, 9))
    g = RANDOM.normal(size=(70, 9))
    one, two = (kept_gradients(spec, a, b, g, "recursive-difference", threads=count) for count in (1, 2))
    for of_one, of_two in zip(one, two, strict=True):
        np.testing.assert_array_equal(of_one, of_two)
