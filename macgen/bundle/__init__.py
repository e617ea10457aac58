"""The bundle on disk: Verilog, constraints, FuseSoC core, manifest."""

from macgen.bundle.bundle import build
from macgen.bundle.manifest import MANIFEST, Manifest, load_manifest

__all__ = ["MANIFEST", "Manifest", "build", "load_manifest"]
