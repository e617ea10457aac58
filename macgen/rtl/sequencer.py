"""The array's input side: takes beats, counts chunks, tells the PEs what to do."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.rtl.design import Design
from macgen.rtl.parts.bits import is_zero
from macgen.rtl.parts.hierarchy import NamedConstant
from macgen.rtl.parts.modes import by_mode


class Sequencer(wiring.Component):
    """Turn the marks of the input streams into PE control.

    With `interleave` = I the turns' slots follow each other without end, and a beat is taken in its turn's slot. All
    turns' beats of a round do the same: what happens is decided with turn 0's, and counted with the last one's.

    Members:
        valid: both operand streams offer a beat.
        first, last: the marks of the offered beat.
        busy: results wait to be taken; a round with `last` is held until they are.
        accept: the beat is taken.
        ending: it is of a round that ends dot products.
        control: what the PEs do, in the same cycle.
        mode: with modes that of the offered beat, as it stands at the port.
        loaded: with preloaded accumulators, the start values of the next dot products are there.
        starts: with those, the beat is taken and is the first one of its round: dot products start.
        beat_mode: with modes the one that it has: that of the beat that started its dot product.
    """

    def __init__(self, design: Design) -> None:
        self._spec = spec = design.spec
        self.constants: dict[str, NamedConstant] = {}
        self._beats = tuple(0 if spec.chunk is None else spec.chunk // mode.lanes for mode in design.modes)
        self._count_bits = max((max(self._beats) - 1).bit_length(), 1)
        if spec.chunk is not None:
            for beats, packed in dict(zip(self._beats, design.spec.packed, strict=True)).items():
                name, text = "LAST_BEAT", "of a chunk, counted from 0"
                if packed > 1:
                    name, text = f"LAST_BEAT_PACKED_{packed}", f"the same where {packed} elements are packed"
                self.constants[name] = NamedConstant(self._count_bits, beats - 1, text)
        super().__init__(
            {
                "valid": In(1),
                "first": In(1),
                "last": In(1),
                "busy": In(1),
                "accept": Out(1),
                "ending": Out(1),
                "control": Out(design.control),
                **({"mode": In(design.mode_bits), "beat_mode": Out(design.mode_bits)} if spec.modes else {}),
                **({"loaded": In(1), "starts": Out(1)} if spec.preload else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._slot_0: Value
        self._slot_last: Value

        # -- Rounds: complete with the last turn's beat; the round after one marked last starts afresh, marked or not
        fresh = Signal(init=1)
        counted = Signal()
        ready, opens, closes, first, last = self._turns(m)
        m.d.comb += [self.control.step.eq(self.accept), self.ending.eq(self.accept & last)]
        m.d.comb += counted.eq(self.accept & closes)
        with m.If(counted):
            m.d.sync += fresh.eq(last)
        if self._spec.modes:
            self._sample_mode(m, opens & (first | fresh))

        # -- Take beats: an offered beat in its turn's slot, a last one only once no results wait
        offered = Signal()
        free = Signal()
        m.d.comb += offered.eq(self.valid & ready)
        held: Value = opens & last & self.busy
        if self._spec.preload:
            # -- Start values: the beat that starts dot products waits for them
            starting = Signal()
            m.d.comb += [starting.eq(opens & (first | fresh)), self.starts.eq(self.accept & starting)]
            held = held | (starting & ~self.loaded)
        m.d.comb += free.eq(offered & ~held)
        if self._spec.chunk is None:
            # -- Mark sums: a dot product is one sum
            m.d.comb += [
                self.accept.eq(free),
                self.control.first.eq(self.accept & (first | fresh)),
                self.control.done.eq(self.accept & last),
            ]
            if self._spec.has_outer_adder:  # which then has one sum to add
                m.d.comb += [self.control.fold.eq(self.control.done), self.control.fold_first.eq(1)]
            return m

        # -- Count beats: where in its chunk a round stands, and whether the chunk is the dot product's first
        count = Signal(self._count_bits)  # beats of this chunk taken so far
        beat_mode = self.beat_mode if self._spec.modes else None
        restart = Signal()
        position = Signal.like(count)
        chunk_end = Signal()
        first_chunk = Signal(init=1)
        m.d.comb += [
            restart.eq(first & ~fresh),
            chunk_end.eq(last | by_mode(beat_mode, self._beats, lambda beats: position == beats - 1)),
        ]
        if self._spec.has_outer_adder:
            # -- Mark sums: a chunk's fold is marked with its last beat, as the outer adder takes it later
            m.d.comb += [
                position.eq(Mux(restart, 0, count)),
                self.accept.eq(self._folds_apart(m, free, chunk_end)),
                self.control.first.eq(self.accept & is_zero(position)),
                self.control.fold.eq(self.accept & chunk_end),
                self.control.fold_first.eq(first_chunk | restart),
                self.control.done.eq(self.accept & last),
            ]
            with m.If(counted):
                m.d.sync += [
                    count.eq(Mux(chunk_end, 0, position + 1)),
                    first_chunk.eq(Mux(chunk_end, last, first_chunk | restart)),
                ]
            return m

        # -- Folds due: those of all turns follow the round that ends their chunks
        fold_due = Signal()
        # With a start value the total is never empty.
        fold_first: Value = Const(0, 1) if self._spec.preload else Signal(init=1)
        done_due = Signal()
        m.d.sync += fold_due.eq((counted & chunk_end) | (fold_due & ~self._slot_last))
        with m.If(counted):
            m.d.sync += count.eq(Mux(chunk_end, 0, position + 1))
            with m.If(chunk_end):
                m.d.sync += [first_chunk.eq(last), done_due.eq(last)]
                if not self._spec.preload:
                    m.d.sync += fold_first.eq(first_chunk | restart)
            with m.Elif(restart):
                m.d.sync += first_chunk.eq(1)
        m.d.comb += [self.control.fold_first.eq(fold_first), self.control.done.eq(fold_due & done_due)]
        if self._spec.fold == "overlap":
            # -- Mark sums: a fold goes along with the beat that starts the next chunk
            # Random numbers go to all turns' folds before any turn's next step.
            draws = self._spec.random_place == "steps" and self._spec.interleave > 1
            waits = fold_due if draws else Const(0, 1)
            m.d.comb += [
                position.eq(Mux(restart, 0, count)),
                self.accept.eq(free & ~waits),
                self.control.fold.eq(fold_due),
                self.control.first.eq(self.accept & (position == 0)),
            ]
            return m

        # -- Mark sums: a fold takes a turn's slot for itself
        # So does the discarding of unfinished sums, also after reset: the chunk sums are folded into a total that
        # nobody reads, which empties the accumulators.
        discard = Signal()
        empty = Signal()
        m.d.comb += [
            position.eq(count),
            self.accept.eq(free & ~fold_due & ~discard),
            self.control.fold.eq(fold_due | discard),
        ]

        # -- Discard: unfinished sums, over all turns' slots, from turn 0's on
        discarding = Signal()
        m.d.comb += discard.eq(discarding | (self._slot_0 & ~fold_due & (~empty | (offered & opens & restart))))
        m.d.sync += discarding.eq(discard & ~self._slot_last)
        with m.If(discard):
            m.d.comb += self.control.fold_first.eq(1)
        if "begins" in self.control.signature.members:
            m.d.comb += self.control.begins.eq(self.accept & fresh)
        with m.If(discard & self._slot_last):
            m.d.sync += [empty.eq(1), fresh.eq(1), first_chunk.eq(1), count.eq(0)]
        return m

    def _folds_apart(self, m: Module, free: Value, chunk_end: Value) -> Value:
        """Return whether a beat is taken: not one that ends a chunk while the outer adder adds the sum of another.

        Chunks have enough beats for that but for a dot product's last one, which may be short, and one after the sums
        that a beat marked first drops.

        Parameters:
            m: of the sequencer.
            free: whether nothing else holds the offered beat.
            chunk_end: whether it ends a chunk.
        """
        waits = self._spec.outer_cycles - 1
        if not waits:
            return free

        # -- Keep apart: a chunk ends so many cycles after the one before that its addition ends first
        adding = Signal(waits)
        m.d.sync += adding.eq(Cat(self.control.fold, adding[:-1]))
        return free & ~(chunk_end & adding.any())

    def _sample_mode(self, m: Module, starts: Value) -> None:
        """Give a beat the mode of the beat that started its dot product.

        Parameters:
            m: of the sequencer.
            starts: whether the offered beat starts dot products.
        """
        # -- Mode: sampled with the beat that starts a round, kept until the next one is taken
        last = len(self._spec.modes)
        held = Signal.like(self.mode)
        offered = Mux(self.mode > last, 0, self.mode) if last + 1 < 1 << len(self.mode) else self.mode
        m.d.comb += self.beat_mode.eq(Mux(starts, offered, held))
        with m.If(self.accept):
            m.d.sync += held.eq(self.beat_mode)
        if "mode" in self.control.signature.members:
            m.d.comb += self.control.mode.eq(Mux(self.accept, self.beat_mode, held))

    def _turns(self, m: Module) -> tuple[Value, Value, Value, Value, Value]:
        """Return whether the slot is the next beat's, whether it is a round's first, last, and the round's marks."""
        turns = self._spec.interleave
        if turns == 1:
            self._slot_0 = self._slot_last = Const(1, 1)
            return Const(1, 1), Const(1, 1), Const(1, 1), self.first, self.last

        # -- Turns: slots follow each other without end; a beat is taken in its turn's slot
        slot = Signal(range(turns))
        turn = Signal(range(turns))
        first = Signal(name="round_first")
        last = Signal(name="round_last")
        opens = Signal()
        self._slot_0, self._slot_last = slot == 0, slot == turns - 1
        m.d.comb += opens.eq(turn == 0)
        m.d.sync += slot.eq(Mux(self._slot_last, 0, slot + 1))
        with m.If(self.accept):
            m.d.sync += turn.eq(Mux(turn == turns - 1, 0, turn + 1))
            with m.If(opens):
                m.d.sync += [first.eq(self.first), last.eq(self.last)]

        # -- Marks: those of turn 0's beat hold for the round
        marks = (Mux(opens, self.first, first), Mux(opens, self.last, last))
        return slot == turn, opens, turn == turns - 1, *marks
