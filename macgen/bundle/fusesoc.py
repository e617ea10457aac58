"""The FuseSoC core file (CAPI2) of a bundle."""

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
  sdc:
    files:
      - constraints/{name}.sdc: {{file_type: SDC}}
targets:
  default: &default
    filesets: [rtl]
    toplevel: {name}
  lint:
    <<: *default
    default_tool: verilator
    tools:
      verilator:
        mode: lint-only
        verilator_options: [-Wall, -Wno-DECLFILENAME, -Wno-PROCASSINIT, -Wno-UNUSEDSIGNAL, -Wno-WIDTHEXPAND]
  vivado:
    filesets: [rtl, xdc]
    toplevel: {name}
  asic:
    filesets: [rtl, sdc]
    toplevel: {name}
"""


def core_file(manifest: Manifest) -> str:
    """Return the text of `<name>.core`."""
    return _CORE.format(
        name=manifest.name,
        version=manifest.tools["macgen"],
        description=describe(manifest.spec),
        verilog=manifest.verilog,
    )
