"""Tables that stand for an array's arithmetic in the proofs of its control.

They say what one bit and another become, and the solver chooses them.
"""

from __future__ import annotations

from dataclasses import dataclass

from macgen.numerics.flags import FLAG_BITS
from macgen.prove.verilog_text import joined
from macgen.rtl import Design
from macgen.spec import MacSpec

LOOK_UP = """\
`define LOOK_UP(t, i, j) ((i) ? ((j) ? t[3] : t[2]) : ((j) ? t[1] : t[0]))
`define LOOK_UP_PAIR(t, i, j) ((i) & (j) ? t[3] : (i) | (j) ? t[2] : t[0])
"""


@dataclass(frozen=True)
class Tables:
    """Names of the tables that an adder's one-bit version looks things up in.

    Attributes:
        sums: the sum of a state and an addend.
        flags: what the addition raises: `<flags>_0` and so on, a flag each.
        deferred: flags that a state holds of the addition that made it.
        flag_bits: how many flags there are.
        symmetric: whether state and addend may change places.
    """

    sums: str
    flags: str
    deferred: str
    flag_bits: int
    symmetric: bool = False

    @property
    def _look_up(self) -> str:
        return "LOOK_UP_PAIR" if self.symmetric else "LOOK_UP"

    @property
    def widths(self) -> dict[str, int]:
        """The tables and their bits."""
        return {
            self.sums: 4,
            **{f"{self.flags}_{bit}": 4 for bit in range(self.flag_bits)},
            self.deferred: self.flag_bits,
        }

    def sum(self, state: str, addend: str) -> str:
        """Return the sum of a state and an addend."""
        return f"`{self._look_up}({self.sums}, {state}, {addend})"

    def raised(self, state: str, addend: str) -> str:
        """Return the flags that their addition raises."""
        return joined(
            f"`{self._look_up}({self.flags}_{bit}, {state}, {addend})" for bit in reversed(range(self.flag_bits))
        )

    def deferred_by(self, state: str) -> str:
        """Return the flags that a state holds."""
        return f"({state} ? {self.deferred} : {self.flag_bits}'b0)"


@dataclass(frozen=True)
class Arithmetic:
    """What one-bit arithmetic a spec has.

    Attributes:
        design: the array.
        flag_bits: how many flags there are: none bears on another, so that one, any, may do.
        symmetric: whether the tables are symmetric where a PE loads products as they are.
    """

    design: Design
    flag_bits: int = FLAG_BITS
    symmetric: bool = True

    @property
    def spec(self) -> MacSpec:
        """The array's spec."""
        return self.design.spec

    @property
    def steps(self) -> Tables:
        """The tables of what a step adds."""
        symmetric = self.symmetric and self.design.loads_products
        return Tables("sum_table", "flag_table", "deferred_table", self.flag_bits, symmetric)

    @property
    def folds(self) -> Tables:
        """The tables of the additions of chunk sums."""
        if self.spec.has_outer_adder:
            return Tables("fold_table", "fold_flag_table", "fold_deferred_table", self.flag_bits)
        # Totals and chunk sums are states of one kind, but an aligned step has an adder of its own.
        if self.design.window is not None:
            return Tables("fold_table", "fold_flag_table", self.steps.deferred, self.flag_bits)
        return self.steps

    @property
    def results(self) -> Tables:
        """The tables of the adder whose states leave the PEs."""
        return self.folds if self.spec.has_outer_adder else self.steps

    def any(self) -> str:
        """Return Verilog for tables that the solver chooses once and for all."""
        spec, widths = self.spec, {"product_table": 4}
        if spec.product is not None:
            widths |= {"rounding_table": 2, "rounding_flags": self.flag_bits}
        if combines_lanes(spec):
            widths["lane_mask"] = added_numbers(self.design)
        if spec.scales_lanes:
            widths["group_mask"] = spec.lanes
        if lane_flags(spec):
            widths["lane_flags"] = self.flag_bits
        widths |= self.steps.widths | self.folds.widths
        if spec.scale is not None:
            widths["scale_table"] = 8
        return "".join(f"  (* anyconst *) wire [{width - 1}:0] {name};\n" for name, width in widths.items())


def combines_lanes(spec: MacSpec) -> bool:
    """Whether what a step adds is made of several products."""
    return spec.lanes > 1 or spec.aligns


def added_numbers(design: Design) -> int:
    """Return how many numbers a step adds to the accumulator."""
    return design.spec.lanes if design.terms is None else design.terms.count


def lane_flags(spec: MacSpec) -> bool:
    """Whether the sum of the lanes raises flags."""
    return spec.rounds_lanes


def raises_with_product(spec: MacSpec) -> bool:
    """Whether what a step adds comes with flags."""
    return spec.product is not None or lane_flags(spec)


def rounded(bit: str) -> str:
    """Return a product rounded to its format."""
    return f"({bit} ? rounding_table[1] : rounding_table[0])"


def scaled(bit: str, a_scale: str, b_scale: str) -> str:
    """Return a chunk sum, or what lanes' products become, times its scales."""
    return f"scale_table[{{{bit}, {a_scale}, {b_scale}}}]"
