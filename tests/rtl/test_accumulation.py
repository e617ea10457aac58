"""A PE's loop by itself: sums of products that come with gaps, folds that go beside products."""

import numpy as np
import pytest
from amaranth.hdl import Shape

from macgen.golden import Model
from macgen.rtl import Design
from macgen.rtl.parts.hierarchy import Modules
from macgen.rtl.pe import Pe
from macgen.spec import MacSpec
from tests.rtl.gates import from_rtlil
from tests.rtl.streams import operands

LANES = 128


def gates_of(spec):
    return from_rtlil(Modules("pe").convert(Pe(Design(spec))), "pe")


def result_of(spec, register):
    """Codes and flags of the sums in result registers."""
    left, inputs = register.astype(np.int64), {}
    for name, item in Design(spec).steps.value.members.items():
        width = Shape.cast(item.shape).width
        inputs[f"value__{name}"] = left & ((1 << width) - 1)
        left = left >> width
    output = from_rtlil(Modules("output").convert(Design(spec).steps.output()), "output").evaluate(LANES, inputs)
    return output["code"], output["flags"].astype(np.int64) | left


@pytest.mark.parametrize("pipeline", [1, 2, 3])
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
    assert Design(spec).steps.loads_exactly
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


@pytest.mark.thinned(5)
@pytest.mark.parametrize("chunk", [1, 2, 3])
@pytest.mark.parametrize(
    ("operand", "acc"),
    [("e3m2", "e5m5"), ("e2m1", "e3m5"), ("e3m2", "e4m2"), ("e3m2", "e5m5:flush"), ("int4", "int8")],
)
@pytest.mark.parametrize("rounding", ["rne", "drop"])
def test_chunks_fold_beside_products_after_any_gap(operand, acc, rounding, chunk):
    """`fold = overlap`: the next chunk begins with the fold, later, or anew after a sum that stays unfinished;
    a chunk of one product may be folded in the cycle after the fold that it came with."""
    b = "e2m1" if "e" in operand else "int4"
    folds_beside_products(MacSpec(a=operand, b=b, acc=acc, rounding=rounding, chunk=chunk, fold="overlap"))


@pytest.mark.thinned(5)
@pytest.mark.parametrize("chunk", [1, 2])
@pytest.mark.parametrize(
    ("arithmetic", "loads_exactly"),
    [
        pytest.param({"a": "e2m1", "b": "e2m1", "acc": "e4m5", "overflow": "infinity"}, True, id="float"),
        pytest.param({"a": "int4", "b": "int4", "acc": "int8", "overflow": "wrap"}, True, id="fixed"),
        pytest.param({"a": "e3m2", "b": "e3m2", "product": "e4m2:flush", "acc": "e5m2:flush"}, True, id="rounded"),
        pytest.param({"a": "e3m2", "b": "e3m2", "product": "e4m3", "acc": "e4m2"}, False, id="rounded twice"),
        pytest.param(
            {"a": "e2m1", "b": "e2m1", "acc": "e4m2", "lanes": 2, "lane_sum": "tree", "overflow": "infinity"},
            True,
            id="tree",
        ),
    ],
)
def test_turns_fold_beside_products_that_raise_flags(arithmetic, loads_exactly, chunk):
    """The same of two turns and two pipeline stages, each turn with gaps of its own; products bring flags with them."""
    chunk *= arithmetic.get("lanes", 1)
    spec = MacSpec(**arithmetic, chunk=chunk, fold="overlap", interleave=2, pipeline=2)
    assert Design(spec).steps.loads_exactly is loads_exactly
    flags = folds_beside_products(spec)
    assert len(set(flags)) > 1 or spec.overflow == "wrap"


def folds_beside_products(spec, beats=7):
    """Let a PE fold while it multiplies, after any gaps; compare the sums of all turns with golden, return their flags.

    Parameters:
        beats: of each dot product; before some of them come products that are then dropped, after some the next one's
            begin, which stay unfinished.
    """
    gates, model = gates_of(spec), Model(spec)
    rng = np.random.default_rng(4)
    turns, in_chunk, lanes = spec.interleave, spec.chunk // spec.lanes, np.arange(LANES)
    shape = (LANES, turns, beats, spec.lanes)
    a, b = (codes[:, 0].reshape(shape) for codes in operands(spec, rng, LANES, turns * beats * spec.lanes))
    _, state = gates.clock(LANES, {"rst": 1}, gates.random_state(LANES, rng))
    unfinished = rng.integers(0, beats, (turns, LANES))  # products of a sum before, which is then dropped
    restarts = unfinished > 0
    end = beats + rng.integers(0, beats, (turns, LANES))
    fold, fold_first, done = np.zeros((3, turns, LANES), bool)
    pace = rng.choice([0.3, 0.9, 1.0], (turns, LANES))
    next_beat, finished = np.zeros((2, turns, LANES), int)
    for cycle in range(120 * turns):
        turn = cycle % turns
        at = next_beat[turn]
        dropped = restarts[turn] & (at == unfinished[turn])
        at[dropped], restarts[turn, dropped] = 0, False
        step = (rng.random(LANES) < pace[turn]) & (at < end[turn])
        place = at % beats
        inputs = {
            "control_in__step": step,
            "control_in__first": step & (place % in_chunk == 0),
            "control_in__fold": fold[turn],
            "control_in__fold_first": fold_first[turn],
            "control_in__done": done[turn],
        }
        for port, codes, fmt in (("a_in", a, spec.a), ("b_in", b, spec.b)):
            beat = codes[lanes, turn, place]
            packed = sum(beat[:, lane] << lane * fmt.width for lane in range(spec.lanes))
            inputs[port] = np.where(step & (at < beats), packed, rng.integers(0, 1 << spec.lanes * fmt.width, LANES))
        out, state = gates.clock(LANES, inputs, state)
        finished[turn, done[turn]] = cycle
        last = at == beats - 1
        fold[turn] = step & ((place % in_chunk == in_chunk - 1) | last)
        fold_first[turn], done[turn] = place < in_chunk, fold[turn] & last
        at += step
    assert (next_beat == end).all()
    raised = []
    for turn in np.argsort(finished, axis=0):  # the first one done leaves first
        code, flags = result_of(spec, out["result_out"])
        wanted = [model.dot(a[n, turn[n]].ravel().tolist(), b[n, turn[n]].ravel().tolist()) for n in range(LANES)]
        assert code.tolist() == [code for code, _ in wanted]
        assert flags.tolist() == [flags for _, flags in wanted]
        raised += flags.tolist()
        _, state = gates.clock(LANES, {"shift": 1}, state)
        out, _ = gates.clock(LANES, {}, state)
    return raised
