"""Combinational building blocks on vectors of any width: shifters, leading-zero counters, an adder with carry.

Signals made here have the caller's line as their source, so that they belong to its stage in the Verilog.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned


def extend(value: Value, width: int) -> Value:
    """Return a value with its own sign or zeros put before it, so that every operator's widths agree in the Verilog."""
    missing = width - len(value)
    if missing <= 0:
        return value
    if value.shape().signed:
        return Cat(value, value[-1].replicate(missing)).as_signed()
    return Cat(value, Const(0, missing))


def is_zero(value: Value) -> Value:
    """Return whether no bit is set."""
    return ~value.any()


def add_with_carry(x: Value, y: Value, carry: Value) -> Value:
    """Return x + y + carry, unsigned, as wide as x, by one adder: the carry comes from a place below."""
    wide = Cat(Const(1, 1), x) + Cat(carry, y)
    return wide[1 : len(x) + 1]


def shift_right_sticky(m: Module, value: Value, distance: Value, name: str, unit: int = 0) -> tuple[Signal, Signal]:
    """Shift a signed value right arithmetically and tell whether a one was shifted out.

    Parameters:
        m: module that gets the logic.
        value: signed value of n bits.
        distance: unsigned; distances of n and more shift everything out.
        name: prefix of the signals made.
        unit: the distance counts 2**unit positions; see `preshift_stages`.

    Returns:
        The shifted value, signed of n bits, and the sticky bit, the OR of all bits shifted out.
    """
    width = len(value)
    stages = min(width.bit_length() - unit, len(distance))
    amount = Signal(stages, name=f"{name}_amount", src_loc_at=1)
    lost: list[Value] = []
    if len(distance) > stages:
        far = Signal(name=f"{name}_far", src_loc_at=1)
        m.d.comb += [far.eq(distance[stages:].any()), amount.eq(distance[:stages] | far.replicate(stages))]
        if unit:
            lost.append(far & value[-1])  # no other bit is left
    else:
        m.d.comb += amount.eq(distance)
    for stage in range(stages):
        step = min(1 << (stage + unit), width)
        shifted = Signal(signed(width), name=f"{name}_{1 << (stage + unit)}", src_loc_at=1)
        m.d.comb += shifted.eq(Mux(amount[stage], Cat(value[step:], value[-1].replicate(step)).as_signed(), value))
        lost.append(amount[stage] & value[:step].any())
        value = shifted
    sticky = Signal(name=f"{name}_sticky", src_loc_at=1)
    m.d.comb += sticky.eq(Cat(*lost).any())
    return value, sticky


def preshift_stages(width: int) -> int:
    """Return how many of the lowest bits of a distance may shift a signed value of so many bits beforehand: at most 2.

    The others then shift out all but the sign together.
    """
    return 2 if (1 << width.bit_length()) - 4 >= width - 1 else 1


def shift_left(m: Module, value: Value, distance: Value, name: str) -> Signal:
    """Shift a vector left by a variable distance, zeros in, the width kept; the largest stages come first."""
    width = len(value)
    for stage in reversed(range(len(distance))):
        step = min(1 << stage, width)
        shifted = Signal(unsigned(width), name=f"{name}_{1 << stage}", src_loc_at=1)
        m.d.comb += shifted.eq(Mux(distance[stage], Cat(Const(0, step), value[: width - step]), value))
        value = shifted
    return value


def rounds_away(cut: Value, random: Value, negative: Value, *, to_nearest: bool) -> Value:
    """Return whether rounding at random moves a two's complement number up to the next integer.

    Positive numbers move up, away from zero, when the first r bits below and the random number carry. Of a negative
    number everything is mirrored, so that it moves up, toward zero, when they do not carry: its magnitude's bits are
    those below complemented, plus one where nothing lies beneath them.

    What lies beneath the first r bits takes part as a carry into them. To nearest, it is that of rounding them there,
    of whichever sign. Where it is cut from a magnitude, it counts with a negative number, since that is cut downward.

    Parameters:
        cut: bits below the integer's last; fewer than r or more.
        random: r random bits.
        negative: sign of the number.
        to_nearest: whether the number is rounded to nearest even at the first r bits, instead of cut there.
    """
    bits = len(random)
    first = cut[-bits:] if len(cut) >= bits else Cat(Const(0, bits - len(cut)), cut)
    carry: Value = Const(0, 1)
    if len(cut) > bits:
        beneath = cut[:-bits]
        carry = beneath[-1] & (beneath[:-1].any() | first[0]) if to_nearest else negative & beneath.any()
    carried = extend(first, bits + 1) + extend(random ^ negative.replicate(bits), bits + 1)
    return (carried + extend(carry, bits + 1))[bits]


def count_leading_zeros(m: Module, value: Value, name: str) -> tuple[Signal, Signal]:
    """Count the zeros above the highest one by a balanced tree.

    Returns:
        The count, which is meaningful when there is a one, and whether there is one.
    """
    width = len(value)
    levels = max(width - 1, 0).bit_length()
    padded = Cat(Const(0, (1 << levels) - width), value)
    nodes: list[tuple[Value, Value]] = [(Const(0, 0), bit) for bit in reversed(padded)]
    for level in range(levels):
        paired = []
        for index in range(0, len(nodes), 2):
            (high_count, high_any), (low_count, low_any) = nodes[index : index + 2]
            count = Signal(level + 1, name=f"{name}_count_{level}_{index // 2}", src_loc_at=1)
            found = Signal(name=f"{name}_any_{level}_{index // 2}", src_loc_at=1)
            m.d.comb += [
                found.eq(high_any | low_any),
                count.eq(Cat(Mux(high_any, high_count, low_count), ~high_any)),
            ]
            paired.append((count, found))
        nodes = paired
    count, found = nodes[0]
    zeros, any_one = (
        Signal(max(levels, 1), name=f"{name}_zeros", src_loc_at=1),
        Signal(name=f"{name}_any", src_loc_at=1),
    )
    m.d.comb += [zeros.eq(count), any_one.eq(found)]
    return zeros, any_one
