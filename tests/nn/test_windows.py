"""Rows of convolutions, gathered and added back: against a plain loop, compiled and in NumPy alike."""

import itertools

import numpy as np
import pytest

from macgen.nn import windows
from macgen.nn.arithmetic import Float32
from macgen.nn.convolutions import convolve_gradient, forward_places

RANDOM = np.random.default_rng(5)

CASES = [
    ((2, 3, 7), (3,), {"pads": [1, 1]}),
    ((3, 4, 6, 5), (3, 2), {"strides": [2, 1], "pads": [1, 0, 2, 1], "group": 2}),
    ((2, 2, 8, 8), (3, 3), {"dilations": [2, 3], "pads": [2, 2, 2, 2]}),
    ((2, 6, 5, 5), (1, 1), {"strides": [2, 2], "group": 3}),
    ((1, 2, 4, 5, 3), (2, 2, 2), {"pads": [0, 1, 0, 1, 0, 1]}),
]


def by_hand(x, places, groups):
    """Return the rows as the definition reads, one element after the other."""
    channels = x.shape[1] // groups
    outputs = list(itertools.product(*(range(len(each.inputs)) for each in places)))
    taps = list(itertools.product(*(range(each.inputs.shape[1]) for each in places)))
    rows = np.zeros((groups, len(x) * len(outputs), channels * len(taps)), x.dtype)
    for group, n, (o, output), c, (t, tap) in itertools.product(
        range(groups), range(len(x)), enumerate(outputs), range(channels), enumerate(taps)
    ):
        place = [each.inputs[i, j] for each, i, j in zip(places, output, tap, strict=True)]
        if min(place) >= 0:
            rows[group, n * len(outputs) + o, c * len(taps) + t] = x[(n, group * channels + c, *place)]
    return rows


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(("shape", "kernel", "given"), CASES)
def test_gather_and_scatter_as_a_loop_does(monkeypatch, shape, kernel, given, compiled):
    if not compiled:
        monkeypatch.setattr(windows, "load", lambda source: None)
    groups = given.get("group", 1)
    places, _ = forward_places(given, kernel, shape[2:], "Conv")
    for dtype in ("f4", "f8", "i1", "i2"):
        x = (100 * RANDOM.normal(size=shape)).astype(dtype)
        np.testing.assert_array_equal(windows.gather(x, places, groups, threads=2), by_hand(x, places, groups))
    rows = RANDOM.integers(-9, 9, by_hand(x, places, groups).shape).astype("f4")  # sums of integers are exact
    back = windows.scatter(rows, places, shape, groups)
    y = RANDOM.integers(-9, 9, shape).astype("f4")
    assert (by_hand(y, places, groups) * rows).sum() == (y * back).sum()  # scatter is gather's transpose
    assert back.shape == shape


@pytest.mark.parametrize(("shape", "kernel", "given"), CASES)
def test_gradient_of_weights_is_what_a_weight_changes(shape, kernel, given):
    groups = given.get("group", 1)
    x = RANDOM.normal(size=shape)
    places, out_size = forward_places(given, kernel, shape[2:], "Conv")
    g = RANDOM.normal(size=(shape[0], 2 * groups, *out_size))
    gradient = convolve_gradient(Float32(), x, g, kernel, given, "Conv")
    rows = by_hand(x, places, groups)
    for group in range(groups):
        for channel in range(2):
            own = g[:, group * 2 + channel].reshape(-1)
            expected = (own[:, np.newaxis] * rows[group]).sum(axis=0)
            np.testing.assert_allclose(gradient[group * 2 + channel].reshape(-1), expected, rtol=1e-12, atol=1e-12)
