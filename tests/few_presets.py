"""The catalogue for tests that take long: of RISC-V's dot products, which differ in format and number alone, a few."""

from macgen.catalogue import CATALOGUE

_FEW = ("rvbna-e5m2-n4", "rvbna-bf16-n8")

FEW = {name: preset for name, preset in CATALOGUE.items() if not name.startswith("rvbna-") or name in _FEW}
"""Presets with their sources, by name."""

SPECS = {name: preset.spec for name, preset in FEW.items()}
"""Their specs."""
