"""RISC-V bulk normalisation as specs: the dot products of its vector extensions (docs/arithmetic.md, docs/presets.md).

What they compute is that of Spike, riscv-isa-sim at commit 55b4658d, `riscv/bulknormdot.h` and `riscv/zvbdot.h`; this
text is written from the rule, not taken from there.
"""

from collections.abc import Mapping

from macgen.spec import MacSpec

_OPERANDS = {"e4m3": "e4m3fn", "e5m2": "e5m2quiet", "bf16": "bf16"}
_FP32_MAN_BITS = 23


def riscv_units() -> Mapping[str, tuple[MacSpec, str]]:
    """Return the specs by name, each with where it comes from: one for each format and number of products n."""
    units: dict[str, tuple[MacSpec, str]] = {}
    for name, operand in _OPERANDS.items():
        for n in (4, 8, 16, 32):
            guard_bits = (n - 1).bit_length()
            spec = MacSpec(
                a=operand,
                b=operand,
                acc="fp32",
                rounding="odd",
                overflow="to-infinity",
                lanes=n,
                lane_sum=f"bulk:{_FP32_MAN_BITS + guard_bits}",
                rows=2,
                cols=2,
            )
            units[f"rvbna-{name}-n{n}"] = (
                spec,
                f"RISC-V bulk normalisation, {n} {name.upper()} products into FP32, then one addition: RISC-V ISA "
                f"manual, rvbna.adoc, as Spike computes it.",
            )
    return units
