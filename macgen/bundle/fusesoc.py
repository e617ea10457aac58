"""The FuseSoC core file (CAPI2) of a bundle."""

from macgen.bundle.constraints import CONFIG
from macgen.bundle.manifest import Manifest
from macgen.bundle.verilog import describe

_CORE = """\
CAPI=2:
name: ::{name}:{version}
description: "{description}"
filesets:
  rtl:
    files:
      - {verilog}: {{file_type: verilogSource}}
  xdc:
    files:
      - constraints/{name}.xdc: {{file_type: xdc}}
  bundle:
    files:
      - manifest.json: {{file_type: user}}
      - constraints/{name}.sdc: {{file_type: user}}
      - constraints/{name}.xdc: {{file_type: user}}
      - {name}.core: {{file_type: user}}{config}
scripts:
  verify:
    cmd: [macgen, verify, --simulator, icarus, src/{name}_{version}]
targets:
  default: &default
    description: The Verilog, for cores that depend on this one; run by itself, it is linted
    filesets: [rtl]
    toplevel: {name}
    flow: lint
    flow_options: {{tool: verilator, verilator_options: [-Wall]}}
  lint:
    <<: *default
    description: Lint with Verilator, all warnings on
  sim:
    description: Compile with Icarus Verilog, then macgen's testbench, against the golden model
    filesets: [rtl, bundle]
    toplevel: {name}
    flow: sim
    flow_options: {{tool: icarus}}
    hooks:
      post_build: [verify]
  synth:
    <<: *default
    description: Synthesis for ECP5 with Yosys, out of context
    flow: generic
    flow_options: {{tool: yosys, arch: ecp5, output_format: json}}
  synth_ice40:
    <<: *default
    description: Synthesis for iCE40 with Yosys, out of context
    flow: generic
    flow_options: {{tool: yosys, arch: ice40, output_format: json}}
  vivado:
    description: Synthesis for Artix-7 with Vivado, with the timing constraints
    filesets: [rtl, xdc]
    toplevel: {name}
    flow: vivado
    flow_options: {{part: xc7a100tcsg324-1, pnr: none}}
"""


def core_file(manifest: Manifest) -> str:
    """Return the text of `<name>.core`."""
    return _CORE.format(
        name=manifest.name,
        version=manifest.tools["macgen"],
        description=describe(manifest.subject),
        verilog=manifest.verilog,
        config="" if manifest.target is None else f"\n      - {CONFIG}: {{file_type: user}}",
    )
