"""The sequencer's control, carried out by a PE of words, must cut dot products into chunks as the contract says."""

import numpy as np
import pytest

from macgen.rtl import Design
from macgen.rtl.parts.hierarchy import Modules
from macgen.rtl.sequencer import Sequencer
from macgen.spec import MacSpec
from tests.rtl.gates import from_rtlil

LANES = 64
CYCLES = 1500


def simulate(chunk, fold, seed, resets=True, outer=None):
    """Run random beats; return per lane the list of (inputs, outputs) by cycle as integers."""
    spec = MacSpec(a="int4", b="int4", acc="int8", chunk=chunk, fold=fold, outer=outer)
    gates = from_rtlil(Modules("sequencer").convert(Sequencer(Design(spec))), "sequencer")
    rng = np.random.default_rng(seed)
    state = gates.random_state(LANES, rng)
    rates = {name: rng.choice([0.02, 0.1, 0.5, 0.9, 1], LANES) for name in ("valid", "first", "last", "busy")}
    # Ends as rare as chunks are long, or more frequent.
    rates["last"] = rng.choice([0.02, 0.1, 0.3, 1 / (chunk or 7), 0.5 / (chunk or 7)], LANES)
    rates["first"] = rng.choice([0, 0.02, 0.2], LANES)
    log = []
    waiting = np.zeros(LANES, bool)  # a beat once offered stays until it is taken
    beat = {}
    for cycle in range(CYCLES):
        inputs = {name: rng.random(LANES) < rate for name, rate in rates.items()}
        inputs |= {name: np.where(waiting, value, inputs[name]) for name, value in beat.items()}
        inputs["rst"] = rng.random(LANES) < 0.005 if resets and cycle else np.full(LANES, cycle == 0)
        out, state = gates.clock(LANES, inputs, state)
        log.append({**inputs, **out})
        waiting = inputs["valid"] & (out["accept"] == 0)
        beat = {name: inputs[name] for name in ("valid", "first", "last")}
    log = [{name: value.astype(int).tolist() for name, value in entry.items()} for entry in log]
    return [[{name: values[lane] for name, values in entry.items()} for entry in log] for lane in range(LANES)]


class PeOfWords:
    """Carries control out on lists of beat numbers instead of sums: a chunk is a list, a result a list of chunks."""

    def __init__(self, bubble, chunked):
        self.bubble, self.chunked = bubble, chunked
        self.chunk, self.total = [], []

    def cycle(self, control, beat):
        """Return the result that is done in this cycle, or None."""
        result = None
        if not self.chunked:
            if control["control__step"]:
                self.chunk = [] if control["control__first"] else self.chunk
                self.chunk.append(beat)
            return [list(self.chunk)] if control["control__done"] else None
        if control["control__fold"]:
            self.total = ([] if control["control__fold_first"] else self.total) + [self.chunk]
            self.chunk = []
        if control["control__done"]:
            assert control["control__fold"], "a sum of chunks is complete after a fold only"
            result = self.total
        if control["control__step"]:
            assert not (self.bubble and control["control__fold"]), "no product is taken in the bubble"
            if not self.bubble and control["control__first"]:
                self.chunk = []
            self.chunk.append(beat)
        return result


def chunks(beats, chunk):
    """docs/arithmetic.md section 2."""
    size = chunk or len(beats)
    return [beats[start : start + size] for start in range(0, len(beats), size)]


@pytest.mark.thinned(5)
@pytest.mark.parametrize("fold", ["bubble", "overlap"])
@pytest.mark.parametrize("chunk", [None, 1, 2, 3, 4, 5, 8, 13])
def test_chunks_are_cut_as_the_contract_says(chunk, fold):
    finished = 0
    for lane in simulate(chunk, fold, seed=chunk or 0):
        pe, open_beats, due, fresh = PeOfWords(fold == "bubble", chunk is not None), [], [], True
        for beat, entry in enumerate(lane):
            assert entry["control__step"] == entry["accept"]
            result = pe.cycle(entry, beat)
            if entry["rst"]:  # in the cycle of a reset nothing counts
                open_beats, due, fresh = [], [], True
                continue
            assert not entry["accept"] or entry["valid"]
            assert not (entry["accept"] and entry["last"] and entry["busy"]), "a last beat waits for results to leave"
            if result is not None and chunk is not None:
                assert due, "a result without an end"
                assert result == due.pop(0)
                finished += 1
            if entry["accept"]:
                if entry["first"] or fresh:
                    open_beats = []
                open_beats.append(beat)
                fresh = bool(entry["last"])
                if entry["last"]:
                    due.append(chunks(open_beats, chunk))
            if result is not None and chunk is None:
                assert result == due.pop(0)
                finished += 1
            assert len(due) <= 1
    assert finished > 1000


@pytest.mark.thinned(3)
@pytest.mark.parametrize("fold", ["bubble", "overlap"])
@pytest.mark.parametrize("chunk", [None, 1, 3, 8])
def test_beats_wait_for_folds_only(chunk, fold):
    """Nothing else keeps a beat waiting: one cycle after each chunk, one for each restart and each reset (bubble)."""
    for lane in simulate(chunk, fold, seed=99):
        owed = 0
        for index, entry in enumerate(lane[1:], 1):
            before = lane[index - 1]
            refused = entry["valid"] and not entry["accept"] and not (entry["last"] and entry["busy"])
            if fold == "overlap" or chunk is None:
                assert not refused
                continue
            owed += before["rst"]
            assert not refused or entry["control__fold"]
            if refused and not before["rst"] and not (entry["control__fold"] and not entry["control__fold_first"]):
                owed += 1
        # Two bubbles in a row only where a restart follows the end of a chunk, or a reset.
        runs = 0
        for entry in lane:
            waits = (
                entry["valid"] and not entry["accept"] and not (entry["last"] and entry["busy"]) and not entry["rst"]
            )
            runs = runs + 1 if waits else 0
            assert runs <= 2


def test_a_million_long_chunk_counts_to_its_end():
    """The counter holds the largest chunk length: its width follows from it."""
    spec = MacSpec(a="int4", b="int4", acc="int8", chunk=1 << 20, fold="overlap")
    gates = from_rtlil(Modules("sequencer").convert(Sequencer(Design(spec))), "sequencer")
    assert gates.register_count >= 20


@pytest.mark.thinned(3)
@pytest.mark.parametrize("chunk", [None, 1, 2, 3, 8])
def test_chunks_for_an_outer_adder_end_with_their_last_product(chunk):
    """Every beat is taken at once; what is folded includes the product of the cycle."""
    finished = 0
    for lane in simulate(chunk, "bubble", seed=chunk or 0, outer="int9"):
        inner, total, open_beats, fresh = [], [], [], True
        for beat, entry in enumerate(lane):
            if entry["rst"]:
                inner, total, open_beats, fresh = [], [], [], True
                continue
            assert entry["accept"] == (entry["valid"] and not (entry["last"] and entry["busy"]))
            assert entry["control__step"] == entry["accept"]
            if not entry["accept"]:
                assert not any(entry[f"control__{mark}"] for mark in ("first", "fold", "done"))
                continue
            inner = [beat] if entry["control__first"] else [*inner, beat]
            if entry["control__fold"]:
                total = ([] if entry["control__fold_first"] else total) + [inner]
            open_beats = [beat] if entry["first"] or fresh else [*open_beats, beat]
            fresh = bool(entry["last"])
            assert entry["control__done"] == entry["last"]
            if entry["last"]:
                assert entry["control__fold"]
                assert total == chunks(open_beats, chunk)
                finished += 1
    assert finished > 1000
