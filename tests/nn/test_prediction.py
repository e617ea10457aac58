"""Predicted noise: the closed forms' figures, put together for what a spec rounds."""

import pytest

from macgen.nn.prediction import predicted_nsr
from macgen.spec import MacSpec
from macgen.width import truncation

UNIT = 0.541 / 24


def spec(**fields):
    return MacSpec(**{"a": "e4m3fn", "b": "e4m3fn", "acc": "e6m5", **fields})


@pytest.mark.parametrize(("fields", "length", "nzr", "expected"), [
    ({}, 1280, 1.0, UNIT * 1281 / 4**5),
    ({}, 1280, 0.5, UNIT * 641 / 4**5),
    ({"chunk": 64}, 1280, 1.0, UNIT * (65 + 21) / 4**5),
    ({"chunk": 64}, 40, 1.0, UNIT * 41 / 4**5),
    ({"rounding": "stochastic:8"}, 99, 1.0, 2 * UNIT * 100 / 4**5),
    ({"rounding": "drop"}, 99, 1.0, 6 * UNIT * 100 / 4**5),
    ({"lanes": 4}, 100, 1.0, UNIT * 26 / 4**5),
    ({"chunk": 64, "outer": "e8m9"}, 1280, 1.0, UNIT * 65 / 4**5 + UNIT * 21 / 4**9),
    ({"product": "e6m4"}, 99, 1.0, UNIT * 100 / 4**5 + UNIT * 2 / 4**4),
    ({"out": "e5m3"}, 99, 1.0, UNIT * 100 / 4**5 + UNIT * 2 / 4**3),
    ({"acc": "fix31.18"}, 4608, 1.0, 0.0),
    ({"a": "int8", "b": "int8", "acc": "int24"}, 200, 1.0, 0.0),
    ({}, 5, 0.0, 0.0),
])  # fmt: skip
def test_figures(fields, length, nzr, expected):
    prediction = predicted_nsr(spec(**fields), length, nzr)
    assert prediction.nsr == pytest.approx(expected, rel=1e-12)
    assert prediction.valid == (expected <= 0.05)


def test_truncation():
    assert predicted_nsr(spec(rounding="rtz", chunk=16), 200, 1.0).nsr == truncation.nsr(200, 5, 16)


@pytest.mark.parametrize("fields", [
    {"lanes": 4, "lane_sum": "tree"},
    {"lane_sum": "aligned:8"},
    {"acc": "fix20.10"},
    {"a": "int8", "b": "int8", "acc": "int17"},
])  # fmt: skip
def test_what_no_formula_describes(fields):
    assert predicted_nsr(spec(**fields), 100, 1.0) is None


def test_beyond_the_range():
    assert not predicted_nsr(spec(acc="e6m2"), 100, 1.0).valid
