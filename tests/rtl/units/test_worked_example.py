"""The worked example in the adder's and the rounder's documentation has the numbers that the hardware has."""

import re
from fractions import Fraction

import pytest
from amaranth.sim import Simulator

from macgen import golden
from macgen.rtl import Design
from macgen.rtl.units import float_adder, float_rounder
from macgen.rtl.units.float_adder import FloatAdder
from macgen.spec import MacSpec

SPEC = MacSpec(a="e3m1", b="e3m1", acc="e4m3")
ACC, PRODUCT = 13, Fraction(-9, 8)


def documented(module):
    """Names of signals and their bits, as the example has them."""
    found = dict(re.findall(r"^ {4}.*? (\w+) +([01]+)(?: |$)", module.__doc__, re.MULTILINE))
    assert len(found) > 5
    return found


def signals(path):
    """Names of the signals of a VCD file, and the values at its end."""
    names, values = {}, {}
    for line in path.read_text().splitlines():
        words = line.split()
        if line.startswith("$var"):
            names.setdefault(words[4], (words[3], int(words[2])))
        elif line.startswith("b"):
            values[words[1]] = words[0][1:]
        elif line[:1] in ("0", "1") and len(words) == 1:
            values[line[1:]] = line[0]
    return {name: values.get(key, "0").zfill(width) for name, (key, width) in names.items()}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Every signal of the adder and its rounder, and the result's value."""
    g, acc = Design(SPEC).steps.geometry, SPEC.acc
    adder, path = FloatAdder(g), tmp_path_factory.mktemp("run") / "adder.vcd"
    simulator = Simulator(adder)
    above = g.min_exponent - acc.min_exponent  # what the wires add to exponents

    async def bench(ctx):
        ctx.set(adder.acc.significand, ACC)  # units of its last place are ones
        ctx.set(adder.acc.exponent, acc.man_bits + above)
        ctx.set(adder.operand.significand, int(PRODUCT * 8))
        ctx.set(adder.operand.exponent, above)
        await ctx.delay(1e-6)

    simulator.add_testbench(bench)
    with simulator.write_vcd(str(path)):
        simulator.run()
    return signals(path)


@pytest.mark.parametrize("module", [float_adder, float_rounder], ids=["adder", "rounder"])
def test_numbers(module, run):
    shown = documented(module)
    assert {name: run[name] for name in shown} == shown


def test_the_result_is_the_contract_s(run):
    exact = Fraction(ACC) + PRODUCT
    assert exact == Fraction(95, 8)
    code = next(code for code in range(1 << SPEC.acc.width) if SPEC.acc.number(code).to_fraction() == ACC)
    # 1.125 is 0.75 times 1.5.
    a, b = (
        next(c for c in range(64) if SPEC.a.number(c).kind == "finite" and SPEC.a.number(c).to_fraction() == v)
        for v in (Fraction(-3, 4), Fraction(3, 2))
    )
    rounded, _ = golden.step(SPEC, code, a, b)
    assert SPEC.acc.number(rounded).to_fraction() == int(run["kept"], 2) + int(run["up"]) == 12
