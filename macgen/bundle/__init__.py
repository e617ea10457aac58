"""The bundle on disk: Verilog, constraints, FuseSoC core, manifest."""

from macgen.bundle.bundle import Bundle, build
from macgen.bundle.manifest import MANIFEST, Manifest, load_manifest

__all__ = ["MANIFEST", "Bundle", "Manifest", "build", "load_manifest"]
