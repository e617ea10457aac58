"""Modes in hardware: one multiplier and one adder, and what the ports of an array with modes are."""

import re

import pytest

from macgen import MacSpec, presets
from macgen.bundle.manifest import Manifest
from macgen.bundle.verilog import to_verilog

SPECS = {
    "float": MacSpec(a="e5m2", b="e5m2", acc="e6m9", chunk=4, rows=1, cols=1, modes=["m7:acc=e6m7", "m5:acc=e6m5"]),
    "fixed": MacSpec(a="fix4.4", b="fix4.4", acc="fix8.8", rows=1, cols=1, modes=["half:a=fix2.2,acc=fix7.4"]),
    "packed": MacSpec(a="int8", b="int8", acc="int24", rows=1, cols=1, modes=["two:a=int4,b=int4,packed=2"]),
}


@pytest.mark.parametrize("name", SPECS)
def test_an_array_with_modes_has_the_units_of_its_widest_mode(name):
    """No module more, none more often, one multiplier and as many products in it."""
    spec = SPECS[name]
    texts = [to_verilog(of, "dut") for of in (spec, spec.mode(0))]
    instances = [sorted(re.findall(r"^  (dut_\w+) \w+ \(", text, re.MULTILINE)) for text in texts]
    assert instances[0] == instances[1]
    assert instances[0].count("dut_multiplier") == instances[0].count("dut_adder") == 1
    products = [len(re.findall(r" \* ", re.sub(r"//.*", "", text))) for text in texts]
    assert products == [1 if name != "packed" else 4, 1]  # of half the bits each, which together are one
    registers = [_register_bits(text) for text in texts]
    # A mode's number: in the sequencer, before the row, in the PE and, where results depend on it, beside them.
    bits, places = len(spec.modes), 4 if name == "float" else 3
    assert registers[0] - registers[1] == bits * places


def _register_bits(text: str) -> int:
    """The bits of what is assigned at clock edges, as it is declared, module by module; of each module once."""
    bits = 0
    for module in re.split(r"^module ", text, flags=re.MULTILINE)[1:]:
        assigned = set(re.findall(r"(\w+) <=", module))
        for high, names in re.findall(r"reg +(?:signed +)?(?:\[(\d+):0\] +)?([\w, ]+)", module):
            bits += sum(int(high or 0) + 1 for name in names.split(",") if name.strip() in assigned)
    return bits


def test_the_mode_is_a_port_of_stream_a():
    manifest = Manifest.of(presets["dynamic-e6m9"], "dut")
    (port,) = [port for port in manifest.ports if port.name == "a_mode"]
    assert (port.direction, port.width) == ("input", 2)
    assert (manifest.streams["a"]["mode"], manifest.streams["a"]["mode_bits"]) == ("a_mode", 2)
    assert not [port for port in Manifest.of(presets["wang2018"], "dut").ports if "mode" in port.name]


def test_the_head_of_the_verilog_tells_where_packed_elements_stand():
    head = to_verilog(SPECS["packed"], "dut").partition("\nmodule ")[0]
    text = " ".join(head.replace("//", " ").split())
    assert "two: a int4, b int4; the bits of an operand hold 2 elements, element 0 lowest; results stand" in text
