"""The bundle on disk: Verilog, constraints, FuseSoC core, manifest."""

from macgen.bundle.bundle import Bundle, build
from macgen.bundle.manifest import MANIFEST, Manifest, load_manifest
from macgen.bundle.opening import OpenBundle, open_bundle

__all__ = ["MANIFEST", "Bundle", "Manifest", "OpenBundle", "build", "load_manifest", "open_bundle"]
