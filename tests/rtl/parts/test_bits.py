import numpy as np
import pytest
from amaranth.hdl import Const, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.rtl.parts.bits import count_leading_zeros, extend, is_zero, preshift_stages, shift_left, shift_right_sticky
from macgen.rtl.parts.hierarchy import Modules
from tests.rtl.gates import from_rtlil

WIDTHS = range(1, 21)


class Blocks(wiring.Component):
    """Every building block at every width, side by side."""

    def __init__(self):
        members = {"distance": In(6), "near": In(2)}
        for n in WIDTHS:
            members |= {f"value_{n}": In(n), f"right_{n}": Out(n), f"sticky_{n}": Out(1), f"left_{n}": Out(n)}
            members |= {f"right_near_{n}": Out(n), f"sticky_near_{n}": Out(1)}
            members |= {f"right_twice_{n}": Out(n), f"sticky_twice_{n}": Out(1)}
            members |= {f"zeros_{n}": Out(6), f"any_{n}": Out(1), f"is_zero_{n}": Out(1)}
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        for n in WIDTHS:
            value = getattr(self, f"value_{n}")
            right, sticky = shift_right_sticky(m, value.as_signed(), self.distance, f"right_shift_{n}")
            near, near_sticky = shift_right_sticky(m, value.as_signed(), self.near, f"near_shift_{n}")
            ahead = preshift_stages(n) if n >= 3 else 0
            first, lost = shift_right_sticky(m, value.as_signed(), self.distance[:ahead], f"first_shift_{n}")
            twice, lost_then = shift_right_sticky(m, first, self.distance[ahead:], f"second_shift_{n}", unit=ahead)
            left = shift_left(m, value, self.distance, f"left_shift_{n}")
            zeros, any_one = count_leading_zeros(m, value, f"leading_{n}")
            assert right.shape() == signed(n)
            for name, output in {
                "right": right.as_unsigned(),
                "sticky": sticky,
                "right_near": near.as_unsigned(),
                "sticky_near": near_sticky,
                "right_twice": twice.as_unsigned(),
                "sticky_twice": lost | lost_then,
                "left": left,
                "zeros": zeros,
                "any": any_one,
                "is_zero": is_zero(value),
            }.items():
                m.d.comb += getattr(self, f"{name}_{n}").eq(output)
        return m


@pytest.fixture(scope="module")
def run():
    """Return values and distances by width and all outputs: every value of up to 10 bits meets every distance."""
    lane = np.arange(1 << 16)
    rng = np.random.default_rng(1)
    values = {
        n: lane & ((1 << n) - 1) if n <= 10 else rng.integers(0, 1 << n, len(lane)) >> rng.integers(0, n, len(lane))
        for n in WIDTHS
    }
    distance = lane >> 10
    gates = from_rtlil(Modules("blocks").convert(Blocks()), "blocks")
    inputs = {f"value_{n}": values[n] for n in WIDTHS}
    out = gates.evaluate(len(lane), {**inputs, "distance": distance, "near": distance & 3})
    return values, distance, {name: value.astype(np.int64) for name, value in out.items()}


@pytest.mark.parametrize("n", WIDTHS)
def test_shift_right_sticky_is_floor_division(run, n):
    values, distance, out = run[0][n], run[1], run[2]
    number = values - ((values >> (n - 1)) << n)
    for suffix, by in (("", distance), ("_near", distance & 3), ("_twice", distance)):
        assert (out[f"right{suffix}_{n}"] == number >> by & ((1 << n) - 1)).all()
        lost = values & ((1 << np.minimum(by, n)) - 1)
        assert (out[f"sticky{suffix}_{n}"] == (lost != 0)).all()


@pytest.mark.parametrize("n", WIDTHS)
def test_shift_left_keeps_the_width(run, n):
    values, distance, out = run[0][n], run[1], run[2]
    expected = np.where(distance < n, values << np.minimum(distance, n), 0) & ((1 << n) - 1)
    assert (out[f"left_{n}"] == expected).all()


@pytest.mark.parametrize("n", WIDTHS)
def test_count_leading_zeros(run, n):
    values, _, out = run[0][n], run[1], run[2]
    some = values != 0
    expected = np.array([n - int(value).bit_length() for value in values.tolist()])
    assert (out[f"zeros_{n}"] == expected)[some].all()
    assert (out[f"any_{n}"] == some).all()
    assert (out[f"is_zero_{n}"] == ~some).all()


def test_extend_puts_sign_or_zeros_before_a_value():
    assert len(extend(Signal(3), 5)) == 5
    assert not extend(Signal(3), 5).shape().signed
    assert extend(Signal(signed(3)), 5).shape() == signed(5)
    wide = Signal(7)
    assert extend(wide, 5) is wide
    assert len(extend(Const(0, 0), 4)) == 4
