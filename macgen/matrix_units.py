"""The matrix units of GPUs as specs: what they compute in a step (docs/arithmetic.md section 2, docs/presets.md).

The rules are those of MMA-Sim (Xie et al., arXiv 2511.10909), which its authors checked against ten GPU architectures;
this text is written from them, not taken from it.
"""

from collections.abc import Mapping

from macgen.spec import MacSpec

_NARROW = {"fp16": "fp16", "bf16": "bf16", "tf32": "e8m10", "e4m3": "e4m3fn", "e5m2": "e5m2"}
_MODEL = "MMA-Sim, arXiv 2511.10909"

Unit = tuple[MacSpec, str]
"""A spec, and where it comes from."""


def matrix_units() -> Mapping[str, Unit]:
    """Return the specs of matrix units by name, one PE of each in four."""
    units: dict[str, Unit] = {}
    for unit, operands, lanes, bits in (
        ("Volta mma", "fp16", 4, 23),
        ("Ampere mma", "fp16", 8, 24),
        ("Ampere mma", "bf16", 8, 24),
        ("Ampere mma", "tf32", 4, 24),
        ("Ada mma", "e4m3", 16, 13),
        ("Ada mma", "e5m2", 16, 13),
        ("Hopper wgmma", "fp16", 16, 25),
        ("Hopper wgmma", "bf16", 16, 25),
        ("Hopper wgmma", "tf32", 8, 25),
        ("Hopper wgmma", "e4m3", 32, 13),
        ("Hopper wgmma", "e5m2", 32, 13),
        ("Blackwell tcgen05", "fp16", 16, 25),
        ("Blackwell tcgen05", "bf16", 16, 25),
        ("Blackwell tcgen05", "tf32", 8, 25),
        ("Blackwell tcgen05", "e4m3", 32, 25),
        ("Blackwell tcgen05", "e5m2", 32, 25),
    ):
        name = f"{unit.partition(' ')[0].lower()}-{operands}"
        acc = "e8m13" if bits == 13 else "fp32"
        step = f"{lanes} {operands.upper()} products and the accumulator a step"
        spec = _nvidia(operands, operands, acc, lanes, f"exponents:{bits}")
        units[name] = spec, f"NVIDIA {unit}, {step}, {bits} bits below the largest exponent: {_MODEL}."
        has_half = operands == "fp16" or (name.startswith("ada") and bits == 13)
        if has_half:
            half = spec.replace(acc="fp16", rounding="rne", overflow="infinity")
            units[f"{name}-fp16"] = half, f"NVIDIA {unit}, {step}, an FP16 one: {_MODEL}."
    units |= _block_scaled()
    units |= _trees()
    units["deepseek-v3"] = (
        units["hopper-e4m3"][0].replace(chunk=128, outer="fp32", outer_rounding="rne"),
        "The sums of NVIDIA Hopper's FP8 units, promoted to FP32 every 128 products: DeepSeek-AI, arXiv 2412.19437.",
    )
    return units


def _nvidia(a: str, b: str, acc: str, lanes: int, lane_sum: str, **fields: object) -> MacSpec:
    formats = (_NARROW.get(operand, operand) for operand in (a, b))
    return MacSpec(
        a=next(formats),
        b=next(formats),
        acc=acc,
        rounding="rtz",
        overflow="to-infinity",
        lanes=lanes,
        lane_sum=lane_sum,
        rows=2,
        cols=2,
        **fields,  # type: ignore[arg-type]
    )


def _block_scaled() -> dict[str, Unit]:
    """Return the specs whose scales belong to lanes."""
    found: dict[str, Unit] = {}
    for name, operand, lanes, lane_sum, scale, block, what in (
        ("mxfp8", "e4m3fn", 32, "exponents:25", "e8m0fnu", 32, "32 MXFP8 products and the accumulator a step"),
        ("mxfp4", "e2m1finite", 64, "exponents:35/16", "e8m0fnu", 32, "four exact sums of 16 MXFP4 products a step"),
        ("nvfp4", "e2m1finite", 64, "exponents:35/16", "e4m3fn", 16, "four exact sums of 16 NVFP4 products a step"),
    ):
        spec = _nvidia(operand, operand, "fp32", lanes, lane_sum, scale=scale, scale_place="lanes", scale_block=block)
        found[f"blackwell-{name}"] = spec, f"NVIDIA Blackwell tcgen05, {what}, scales among them: {_MODEL}."
    return found


def _trees() -> dict[str, Unit]:
    """Return the specs that add products by trees of FP32 additions."""
    common = {"lanes": 4, "lane_sum": "tree", "overflow": "infinity", "rows": 2, "cols": 2}
    tree = "a tree of FP32 additions over 4 products, then one to the accumulator"
    return {
        "cdna1-fp16": (
            MacSpec(a="fp16", b="fp16", acc="fp32", **common),  # type: ignore[arg-type]
            f"AMD CDNA1 MFMA with FP16 operands, {tree}: {_MODEL}.",
        ),
        "cdna2-bf16": (
            MacSpec(a="bf16:flush", b="bf16:flush", product="fp32:flush", acc="fp32:flush", **common),  # type: ignore[arg-type]
            f"AMD CDNA2 MFMA (_1k) with BF16 operands, {tree}, subnormals flushed: {_MODEL}.",
        ),
    }
