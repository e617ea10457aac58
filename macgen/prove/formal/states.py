"""Which products, addends and accumulator states a float datapath is made for: the invariants of `bounds`.

The smallest sum that is not 0 has its one bit on top of the significand, so that a number whose exponent is larger by e
has no bits below the e + 1 top ones, wherever normalisation does not stop at the smallest normal number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from macgen.numerics import FloatFormat, Format, Overflow
from macgen.prove.verilog_text import conjunction
from macgen.rtl.units.exact_number import Addend, Window
from macgen.rtl.units.exponents import ReferenceWindow
from macgen.rtl.units.geometry import FloatGeometry
from macgen.rtl.units.specials import SPECIALS


def special(bundle: str, members: Mapping[str, int]) -> str:
    """Return the condition that a product, an addend or a state is NaN or infinite."""
    found = [f"{bundle}__{key}" for key in (*SPECIALS, "infinite") if key in members]
    return f"({' | '.join(found)})" if found else "1'b0"


def _nan(bundle: str, members: Mapping[str, int]) -> str:
    """Return the condition that it is NaN."""
    if "nan" in members:
        return f"{bundle}__nan"
    return conjunction([f"{bundle}__{key}" for key in SPECIALS if key in members] or ["1'b0"])


@dataclass(frozen=True)
class FloatStates:
    """Conditions on the members of a product, an addend or a state, named `<bundle>__<member>`.

    Attributes:
        geometry: of the datapath.
    """

    geometry: FloatGeometry

    @property
    def least_exponent(self) -> int:
        """Exponent of the smallest sum that is not 0: a power of two, all are multiples of it."""
        g, acc = self.geometry, self.geometry.acc
        return g.min_exponent + g.rounded_sum.lsb_exponent - (acc.lsb_exponent + acc.man_bits)

    @property
    def largest_exponent(self) -> int:
        """Largest exponent of an addend or of a settled state; a sum's may be one more."""
        g = self.geometry
        return max(g.max_exponent, g.rounded_sum.addend.largest_exponent + g.addend_offset)

    def addend(self, bundle: str, members: Mapping[str, int], *, folded: bool) -> str:
        """Return Verilog for `<bundle>_valid` of an aligned addend.

        Parameters:
            bundle, members: see FloatStates.
            folded: whether it may be an accumulator state.
        """
        g, least = self.geometry, self.least_exponent
        significand, exponent = f"{bundle}__significand", f"{bundle}__exponent"
        top = g.window_bits
        lowest = _lowest(significand, top)
        normal = f"({significand}[{top}] ^ {significand}[{top - 1}])"
        power = f"({significand} == {top + 1}'d{3 << (top - 1)})"  # -1.0: a product's magnitude has no other complement
        shapes = [normal, power]
        if folded and g.capped:
            shapes.append(f"{exponent} == {g.min_exponent}")
        number = [
            f"({' | '.join(shapes)})",
            _from(exponent, least, lowest),
            f"{exponent} <= {self.largest_exponent}",
            *_on_grid(significand, exponent, top, least),
        ]
        if not folded or g.rounded_sum.drops:
            number.append(f"~{lowest}")
        found = conjunction(number)
        if g.rounded_sum.addend.has_tiny_pairs:  # which are not normalised: only their sign matters
            found = f"({exponent} == 0 ? ~{normal} : {found})"
        zero = f"{exponent} == 0"
        if folded:
            zero += f" | {exponent} == {g.zero_exponent}"
        finite = f"({significand} == 0 ? ({zero}) : {found})"
        if folded:  # anything may stand beside a state's NaN and infinity
            conditions = [f"({special(bundle, members)} | {finite})", *_special_conditions(bundle, members)]
        else:
            conditions = [finite, *_special_conditions(bundle, members), _alone(bundle, members, significand)]
        if "present" in members:
            conditions.append(f"({bundle}__present | ({significand} == 0 & ~{special(bundle, members)}))")
        return _valid(bundle, conditions)

    def state(self, bundle: str, members: Mapping[str, int]) -> str:
        """Return Verilog for `<bundle>_valid` of an accumulator state.

        In a mode that does without its last bits these are zeros.
        Of a number the significand is normalised, and once `round_up` has been added it has no bits below the grid; the
        exponent is at most one more than an addend's. Anything not normalised has the exponent of zero. Beside NaN and
        infinity anything may stand.
        """
        g, least = self.geometry, self.least_exponent
        significand, exponent = f"{bundle}__significand", f"{bundle}__exponent"
        up = f"{bundle}__round_up" if "round_up" in members else "1'b0"
        top = g.precision
        rounded = f"{bundle}_rounded"
        kept = self._kept(significand, up)
        text = f"  wire [{top + 1}:0] {rounded} = {{{significand}[{top}], {kept}}} + {up};\n"
        normal = f"({significand}[{top}] ^ {significand}[{top - 1}])"
        lowest = _lowest(significand, top)
        highest = f"{exponent} <= {self.largest_exponent + 1}"
        if g.capped:
            number = f"({normal} ? {exponent} >= {g.min_exponent} & {highest} : {exponent} == {g.zero_exponent})"
        else:
            shape = normal
            if g.rounded_sum.folds and g.loads_exactly:  # a product is a state, and its -1.0 as a product has it
                shape = f"({normal} | {significand} == {top + 1}'d{3 << (top - 1)} & ~{up})"
            in_range = [_from(exponent, least, f"{lowest} & ~{up}"), highest, *_on_grid(rounded, exponent, top, least)]
            zero = f"({significand} == 0 & ~{up} & {exponent} == {g.zero_exponent})"
            number = f"({zero} | {conjunction([shape, *in_range])})"
        conditions = [number]
        if g.rounded_sum.rounding in ("rtz", "drop"):
            conditions.append(f"({significand}[{top}] | ~{up})")
        if g.rounded_sum.drops:
            conditions.append(f"~({lowest} & ~{up})")
        for low in sorted({*g.dropped} - {0}):
            there = " | ".join(f"mode == {number}" for number, count in enumerate(g.dropped) if count == low)
            conditions.append(f"(~({there}) | {significand}[{low - 1}:0] == 0)")
        if "negative" in members:
            conditions.append(
                f"(~{bundle}__negative | ({_not_positive(significand, top)} & ~{up}) | {significand}[{top}])"
            )
        return text + _valid(
            bundle, [f"({special(bundle, members)} | {conjunction(conditions)})", *_special_conditions(bundle, members)]
        )

    def _kept(self, significand: str, up: str) -> str:
        """Return a state's significand with what carries `round_up` to the last place that the mode has."""
        g = self.geometry
        places: list[str] = []
        for place in range(max(g.dropped)):
            there = [f"mode == {number}" for number, low in enumerate(g.dropped) if low > place]
            places.insert(0, f"({' | '.join(there)}) & {up}")
        return f"({significand} | {{{', '.join(places)}}})" if places else significand

    def code(self, bundle: str, members: Mapping[str, int]) -> str:
        """Return the condition that a state's code, `<bundle>_code`, is one of the format, and of the kind it tells."""
        acc = self.geometry.acc
        code, magnitude = f"{bundle}_code", f"{bundle}_code[{acc.width - 2}:0]"
        found = _finite(code, acc, self.geometry.rounded_sum.overflow, infinite=self.geometry.overflow_infinite)
        if "positive_infinity" in members:
            found = f"({special(bundle, members)} ? {magnitude} == {acc.infinity_code(0)} : {found})"
        return f"({_nan(bundle, members)} ? {code} == {acc.nan_code} : {found})" if acc.has_nan else found


def _finite(code: str, fmt: FloatFormat, overflow: Overflow, *, infinite: bool) -> str:
    """Return the condition that a code is a finite number's, or what overflow makes of one: NaN, or an infinity."""
    numbers = f"{code}[{fmt.width - 2}:0] <= {fmt.infinity_code(0) if infinite else fmt.max_code}"
    if fmt.encoding == "fnuz":
        numbers += f" & {code} != {fmt.nan_code}"
    if overflow == "nan":
        numbers = f"{numbers} | {code} == {fmt.nan_code}"
    return f"({numbers})"


def code_valid(code: str, fmt: Format, finite: str, overflow: Overflow) -> str:
    """Return the condition that the code of a rounded number is one of the format.

    Parameters:
        code: the net.
        fmt: the format.
        finite: the condition that the number is finite.
        overflow: what becomes of numbers that are too large.
    """
    if not isinstance(fmt, FloatFormat):
        return f"({code} != {fmt.missing_code})" if fmt.narrow else "1'b1"
    found = _finite(code, fmt, overflow, infinite=overflow in ("infinity", "to-infinity"))
    others = ["1'b0"]
    if fmt.has_infinity:
        others.append(f"{code}[{fmt.width - 2}:0] == {fmt.infinity_code(0)}")
    if fmt.has_nan:
        others.append(f"{code} == {fmt.nan_code}")
    return f"({found} | ~{finite} & ({' | '.join(others)}))"


def number_valid(bundle: str, members: Mapping[str, int], addend: Addend) -> str:
    """Return Verilog for `<bundle>_valid` of an exact number, see ExactNumber; a signed integer may be any."""
    if addend.integer_bits:
        return _valid(bundle, ["1'b1"])
    magnitude, exponent = f"{bundle}__magnitude", f"{bundle}__exponent"
    bits, least, smallest = addend.significand_bits, addend.least_exponent, addend.smallest_exponent
    if smallest < 0:
        exponent = f"$signed({exponent})"
    number = [f"{exponent} >= {smallest}", f"{exponent} <= {addend.largest_exponent}"]
    if addend.leading_zeros < bits - 1:
        normalised = f"{magnitude}[{bits - 1}:{bits - 1 - addend.leading_zeros}] != 0"
        # Of two subnormal operands the exponent is the least or, as one of them may be normalised, below.
        number.append(f"({normalised} | {exponent} <= {least})" if addend.has_tiny_pairs else normalised)
    if addend.has_zero_exponents:
        finite = f"({conjunction(number)} & ({magnitude} == 0 | {exponent} >= {least}))"
        return _valid(
            bundle,
            [
                f"({special(bundle, members)} | {finite})",
                *_special_conditions(bundle, members),
                _alone(bundle, members, magnitude),
            ],
        )
    # A normalised number has no bits below the grid.
    number += [f"(~{magnitude}[{bit}] | {exponent} >= {least - bit})" for bit in range(least - smallest)]
    conditions = [
        f"({magnitude} == 0 | {conjunction(number)})",
        *_special_conditions(bundle, members),
        _alone(bundle, members, magnitude),
    ]
    return _valid(bundle, conditions)


def aligned_valid(bundle: str, members: Mapping[str, int], window: Window) -> str:
    """Return Verilog for `<bundle>_valid` of a window's lanes, see AlignedLanes and ReferredLanes."""
    if isinstance(window, ReferenceWindow):
        term, exponent = window.addends[0], f"{bundle}__largest"
        largest = max(term.largest_exponent - term.smallest_exponent, window.lowest_term)
        in_range = f"({exponent} >= {window.lowest_term} & {exponent} <= {largest})"
        return _valid(bundle, [f"({special(bundle, members)} | {in_range})", *_special_conditions(bundle, members)])
    exponent = f"{bundle}__exponent"
    largest = max(window.addends[0].highest - window.base, window.lowest_top)
    in_range = f"({exponent} >= {window.lowest_top} & {exponent} <= {largest})"
    return _valid(bundle, [in_range, *_special_conditions(bundle, members)])


def _alone(bundle: str, members: Mapping[str, int], number: str) -> str:
    """Return the condition that no number stands beside NaN and infinity."""
    return f"(~{special(bundle, members)} | {number} == 0)"


def _special_conditions(bundle: str, members: Mapping[str, int]) -> list[str]:
    """Return the conditions on what is beside a number."""
    conditions = []
    if "nan" in members and "infinite" in members:
        conditions.append(f"~({bundle}__nan & {bundle}__infinite)")
    if "invalid" in members:
        conditions.append(f"(~{bundle}__invalid | {_nan(bundle, members)})")
    if "opposite" in members:
        conditions.append(f"(~{bundle}__opposite | {_nan(bundle, members)})")
    return conditions


def _from(exponent: str, least: int, lowest: str) -> str:
    """Return the condition that an exponent is no less than the least one, or that of -1.0 of the least binade."""
    return f"({exponent} >= {least} | ({exponent} >= {least - 1} & {lowest}))"


def _on_grid(significand: str, exponent: str, top: int, least: int) -> list[str]:
    """Return the conditions that the bits below the grid are 0."""
    return [f"(~{significand}[{bit}] | {exponent} >= {least - 1 + top - bit})" for bit in range(top - 1)]


def _lowest(significand: str, top: int) -> str:
    """Return the condition of two's complement -1.0 of the next binade, whose exponent is one less."""
    return f"({significand} == {top + 1}'d{1 << top})"


def _not_positive(significand: str, top: int) -> str:
    return f"({significand}[{top}] | {significand} == 0)"


def _valid(bundle: str, conditions: list[str]) -> str:
    return f"  wire {bundle}_valid = {conjunction(conditions)};\n"
