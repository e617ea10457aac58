"""What the sequencer tells the PEs."""

from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from macgen.rtl.parts.modes import mode_bits
from macgen.spec import MacSpec


class Control(wiring.Signature):
    """What a PE does in a cycle; travels along the rows with the operands.

    With `interleave` = I each I-th cycle is a turn's; what follows is said of one turn and its cycles.

    Members:
        step: a product is accumulated.
        first: it starts a new sum: a chunk's with `fold = overlap`, the dot product's without chunks. Not with `fold =
            bubble`, where the fold leaves the accumulator at 0.
        fold: the chunk sum is folded into the outer accumulator. It is the sum so far, without this cycle's product. If
            the outer accumulator has an adder of its own, which takes the sum later: the chunk ends with this product.
        fold_first: it is the first chunk's: the outer accumulator counts as empty. With start values and
            without an outer adder it never is; the mark then tells sums that are discarded.
        done: the sum is complete: it becomes the result.
        begins: the step is its dot product's first. With counters and start values where `first` does not tell it.
        mode: the mode of what happens, where the accumulators' formats differ in the modes or one packs elements. It
            stays as it was in cycles in which nothing does.
    """

    def __init__(self, spec: MacSpec) -> None:
        names = ["step", "done"]
        if spec.chunk is not None or spec.has_outer_adder:
            names += ["fold", "fold_first"]
        if spec.chunk is None or spec.fold == "overlap" or spec.has_outer_adder:
            names += ["first"]
        if (spec.counters is not None or spec.preload) and "first" not in names:
            names += ["begins"]
        self.widths = dict.fromkeys(names, 1)
        if spec.rounds_by_mode or spec.packs:
            self.widths["mode"] = mode_bits(len(spec.mode_names))
        super().__init__({name: Out(width) for name, width in self.widths.items()})
