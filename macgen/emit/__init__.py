"""The bundle on disk: Verilog, constraints, FuseSoC core, manifest."""

from macgen.emit.bundle import build
from macgen.emit.manifest import MANIFEST, Manifest, load_manifest

__all__ = ["MANIFEST", "Manifest", "build", "load_manifest"]
