"""A PE's loop by itself: sums of products that come with gaps, folds that go beside products."""

import numpy as np
import pytest
from amaranth.hdl import Shape

from macgen.golden import Model
from macgen.rtl.datapath import datapath
from macgen.rtl.hierarchy import Modules
from macgen.rtl.pe import Pe
from macgen.spec import MacSpec
from tests.rtl.gates import from_rtlil
from tests.rtl.streams import operands

LANES = 128


def gates_of(spec):
    return from_rtlil(Modules("pe").convert(Pe(spec)), "pe")


def result_of(spec, register):
    """Codes and flags of the sums in result registers."""
    left, inputs = register.astype(np.int64), {}
    for name, item in datapath(spec).value.members.items():
        width = Shape.cast(item.shape).width
        inputs[f"value__{name}"] = left & ((1 << width) - 1)
        left = left >> width
    output = from_rtlil(Modules("output").convert(datapath(spec).output()), "output").evaluate(LANES, inputs)
    return output["code"], output["flags"].astype(np.int64) | left


@pytest.mark.parametrize("pipeline", [1, 2])
def test_idle_cycles_change_nothing(pipeline):
    """Gaps of any length between products: the sum is that of the products, the register keeps it."""
    spec = MacSpec(a="e3m2", b="e3m2", acc="e3m3", pipeline=pipeline)
    gates, model = gates_of(spec), Model(spec)
    rng = np.random.default_rng(3)
    a, b = (codes[:, 0] for codes in operands(spec, rng, LANES, 12))
    state = gates.random_state(LANES, rng)
    _, state = gates.clock(LANES, {"rst": 1}, state)
    next_beat = np.zeros(LANES, int)
    lanes = np.arange(LANES)
    for _ in range(100):
        step = (rng.random(LANES) < 0.4) & (next_beat < 12)
        at = np.minimum(next_beat, 11)
        inputs = {
            "a_in": np.where(step, a[lanes, at], rng.integers(0, 64, LANES)),
            "b_in": np.where(step, b[lanes, at], rng.integers(0, 64, LANES)),
            "control_in__step": step,
            "control_in__first": step & (next_beat == 0),
            "control_in__done": step & (next_beat == 11),
        }
        out, state = gates.clock(LANES, inputs, state)
        next_beat += step
    assert (next_beat == 12).all()
    code, flags = result_of(spec, out["result_out"])
    wanted = [model.dot(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert code.tolist() == [code for code, _ in wanted]
    assert flags.tolist() == [flags for _, flags in wanted]
    assert len({flags for _, flags in wanted}) > 2


def test_infinities_of_both_signs_are_invalid_in_a_chunks_first_product():
    spec = MacSpec(
        a="e2m1", b="e2m1", acc="e6m9", lanes=2, chunk=2, fold="overlap", overflow="infinity", rows=1, cols=1
    )
    assert datapath(spec).loads_exactly
    gates, model = gates_of(spec), Model(spec)
    rng = np.random.default_rng(5)
    a, b = rng.integers(0, 16, (2, LANES, 4))  # two chunks of a beat
    _, state = gates.clock(LANES, {"rst": 1}, gates.random_state(LANES, rng))
    for cycle in range(6):
        beat = min(cycle, 1)
        inputs = {
            "a_in": a[:, 2 * beat] | a[:, 2 * beat + 1] << 4,
            "b_in": b[:, 2 * beat] | b[:, 2 * beat + 1] << 4,
            "control_in__step": np.full(LANES, cycle < 2),
            "control_in__first": np.full(LANES, cycle < 2),
            "control_in__fold": np.full(LANES, cycle in (1, 2)),
            "control_in__fold_first": np.full(LANES, cycle == 1),
            "control_in__done": np.full(LANES, cycle == 2),
        }
        out, state = gates.clock(LANES, inputs, state)
    code, flags = result_of(spec, out["result_out"])
    wanted = [model.dot(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert code.tolist() == [code for code, _ in wanted]
    assert flags.tolist() == [flags for _, flags in wanted]
    assert 4 in flags


@pytest.mark.parametrize("chunk", [1, 2, 3])
@pytest.mark.parametrize(
    ("operand", "acc"),
    [("e3m2", "e5m5"), ("e2m1", "e3m5"), ("e3m2", "e4m2"), ("e3m2", "e5m5:flush"), ("int4", "int8")],
)
@pytest.mark.parametrize("rounding", ["rne", "drop"])
def test_chunks_fold_beside_products_after_any_gap(operand, acc, rounding, chunk):
    """`fold = overlap`: the next chunk begins with the fold, later, or anew after a sum that stays unfinished;
    a chunk of one product may be folded in the cycle after the fold that it came with."""
    length = 7
    spec = MacSpec(
        a=operand, b="e2m1" if "e" in operand else "int4", acc=acc, rounding=rounding, chunk=chunk, fold="overlap"
    )
    gates, model = gates_of(spec), Model(spec)
    rng = np.random.default_rng(4)
    a, b = (codes[:, 0] for codes in operands(spec, rng, LANES, length))
    lanes = np.arange(LANES)
    _, state = gates.clock(LANES, {"rst": 1}, gates.random_state(LANES, rng))
    unfinished = rng.integers(0, length, LANES)  # products of a sum before, which is then dropped
    restarts = unfinished > 0
    fold = done = fold_first = np.zeros(LANES, bool)
    pace = rng.choice([0.3, 0.9, 1.0], LANES)
    next_beat = np.zeros(LANES, int)
    for _ in range(120):
        dropped = restarts & (next_beat == unfinished)
        next_beat[dropped], restarts[dropped] = 0, False
        step = (rng.random(LANES) < pace) & (next_beat < length)
        at = np.minimum(next_beat, length - 1)
        inputs = {
            "a_in": np.where(step, a[lanes, at], rng.integers(0, 8, LANES)),
            "b_in": np.where(step, b[lanes, at], rng.integers(0, 8, LANES)),
            "control_in__step": step,
            "control_in__first": step & (next_beat % chunk == 0),
            "control_in__fold": fold,
            "control_in__fold_first": fold_first,
            "control_in__done": done,
        }
        out, state = gates.clock(LANES, inputs, state)
        last = next_beat == length - 1
        fold = step & ((next_beat % chunk == chunk - 1) | last)
        fold_first, done = next_beat < chunk, fold & last
        next_beat = next_beat + step
    assert (next_beat == length).all()
    code, flags = result_of(spec, out["result_out"])
    wanted = [model.dot(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert code.tolist() == [code for code, _ in wanted]
    assert flags.tolist() == [flags for _, flags in wanted]
