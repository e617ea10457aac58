"""How many cycles a matrix product takes, from the rules of the array's control (docs/system.md derives them)."""

from dataclasses import dataclass

from macgen.errors import check_integer, check_type
from macgen.rtl import Design
from macgen.system.tiling import Tiling


@dataclass(frozen=True)
class Cycles:
    """Cycles from the one that takes the first beat to the one in which the last result leaves, both included.

    They hold where operands are on offer in every cycle and results are taken in every cycle. The parts add up.

    Attributes:
        beats: that take a beat.
        folds: without a beat, for the folds of chunks that take bubbles, or for outer additions of several cycles.
        held: in which the last beat of a round waits until the results before it have left.
        drain: after the last beat, until its results have left.
        turns: in which `stalls` have to be counted: a beat is taken in its turn's slot, one of so many cycles.
    """

    beats: int
    folds: int
    held: int
    drain: int
    turns: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.beats + self.folds + self.held + self.drain

    def most(self, stalls: int) -> int:
        """Return the most cycles that it takes with a number of stalls; the least is `total`.

        Parameters:
            stalls: cycles in which the operands of a beat were not on offer, though there were more, and cycles in
                which results waited.

        Raises:
            MacgenError: it is no integer from 0.
        """
        return self.total + self.turns * check_integer("stalls", stalls, 0)


def cycles(tiling: Tiling) -> Cycles:
    """Return the cycles that a matrix product takes.

    - Each beat takes a cycle. A round's beats alternate between the turns' slots, so that none is lost.
    - Where folds take bubbles, a chunk's end takes the cycle after it of each turn.
    - Where an outer addition takes several cycles, a dot product's last beat waits until that of the last full chunk
      ends.
    - The last beat of turn 0 waits until the results of the round before have left, and for its slot then.
    - Results come `latency` cycles after the last beat, and leave row by row and turn by turn.

    Raises:
        MacgenError: this is no Tiling.
    """
    check_type("tiling", tiling, Tiling, "a Tiling")
    design = Design(tiling.spec)
    turns, rounds = tiling.spec.interleave, tiling.rounds
    bubbles = tiling.chunks if fold_takes_slots(design) else 0
    waits = _waits_for_outer_adder(tiling)
    streaming = turns * (tiling.steps + bubbles) + waits
    # From turn 0's last beat, which is held, to the cycle after the last result: the other turns' beats, then these.
    leaving = turns - 1 + design.latency + turns * tiling.spec.rows
    period = max(streaming, -(-leaving // turns) * turns)
    beats = rounds * turns * tiling.steps
    folds = turns * (rounds * bubbles - (1 if bubbles else 0))  # those after the last beat are hidden in the drain
    folds += rounds * waits
    held = (rounds - 1) * (period - streaming)
    return Cycles(beats, folds, held, design.latency + turns * tiling.spec.rows - 1, turns)


def _waits_for_outer_adder(tiling: Tiling) -> int:
    """Return the cycles that a tile's last beat waits, where its chunk is so short that the one before is being added.

    A tile of one chunk ends only when the results before it have left, and with them the additions.
    """
    spec = tiling.spec
    if spec.chunk is None or tiling.chunks == 1:
        return 0
    last_steps = tiling.steps - (tiling.chunks - 1) * (spec.chunk // spec.lanes)
    return max(spec.outer_cycles - last_steps, 0)


def fold_takes_slots(design: Design) -> bool:
    """Return whether no beats are taken while chunks are folded.

    With `overlap` that is so of sums that are rounded at random in turns: their folds take numbers first.
    """
    spec = design.spec
    return design.folds_in_loop and (spec.fold == "bubble" or (spec.random_place == "steps" and spec.interleave > 1))


def cycles_before(design: Design) -> int:
    """Return the cycles from the end of a reset to the one that takes the first beat.

    Folds with bubbles empty the accumulators first, each turn's in its slot.
    """
    return design.spec.interleave if design.folds_in_loop and design.spec.fold == "bubble" else 0
