"""The catalogue of named specs; tests loop over all of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from macgen.errors import MacgenError, shown
from macgen.matrix_units import matrix_units
from macgen.riscv_units import riscv_units
from macgen.spec import MacSpec


@dataclass(frozen=True, slots=True)
class Preset:
    """A named spec and where it comes from.

    Attributes:
        spec: the array.
        source: the paper, standard or practice that uses these formats, in one sentence.
    """

    spec: MacSpec
    source: str


_UNITS = {**matrix_units(), **riscv_units()}

CATALOGUE: Mapping[str, Preset] = MappingProxyType(
    {
        "default": Preset(
            MacSpec(a="e5m2", b="e5m2", acc="e6m5", chunk=64),
            "12-bit accumulator with the (1,6,m) exponent of FP8 training and chunks of 64.",
        ),
        "wang2018": Preset(
            MacSpec(a="e5m2", b="e5m2", acc="e6m9", chunk=64),
            "FP8 operands, 16-bit (1,6,9) accumulation in chunks of 64: Wang et al., NeurIPS 2018, arXiv 1812.08011.",
        ),
        "fp16": Preset(
            MacSpec(a="fp16", b="fp16", acc="fp16", overflow="infinity"),
            "IEEE 754 binary16 fused multiply-add, subnormals, infinities and NaN included; an exact zero is always "
            "+0, tininess is detected after rounding.",
        ),
        "fp16-fp32": Preset(
            MacSpec(a="fp16", b="fp16", acc="fp32", overflow="infinity"),
            "binary16 operands into binary32: mixed-precision training, Micikevicius et al., ICLR 2018, arXiv "
            "1710.03740.",
        ),
        "bf16-fp32": Preset(
            MacSpec(a="bf16", b="bf16", acc="fp32", overflow="infinity"),
            "bfloat16 operands into binary32, the usual mixed-precision accumulation.",
        ),
        "int8-int32": Preset(
            MacSpec(a="int8", b="int8", acc="int32", overflow="wrap"),
            "8-bit integer inference with 32-bit two's complement accumulation.",
        ),
        "int8": Preset(
            MacSpec(a="int8", b="int8", acc="int28"),
            "8-bit integers, exact for sums of up to 4608 products, ResNet-18's longest: the bound of A2Q, arXiv "
            "2308.13504.",
        ),
        "int4": Preset(
            MacSpec(a="int4", b="int4", acc="int20"),
            "4-bit integers, exact for sums of up to 4608 products: the bound of A2Q, arXiv 2308.13504.",
        ),
        "kulisch-e4m3": Preset(
            MacSpec(a="e4m3fn", b="e4m3fn", acc="fix31.18"),
            "Exact accumulation of E4M3 products (Kulisch): fixed point that holds every sum of up to 4608 of them.",
        ),
        "sr-e6m5": Preset(
            MacSpec(a="e5m2", b="e5m2", acc="e6m5", rounding="stochastic:13"),
            "12-bit accumulator rounded with 13 random bits: Ben Ali et al., DATE 2024, arXiv 2404.14010.",
        ),
        "sr4-e6m5": Preset(
            MacSpec(a="e5m2", b="e5m2", acc="e6m5", rounding="stochastic:4:nearest"),
            "12-bit accumulator rounded with 4 random bits, to nearest beneath them: the correction of bias of arXiv "
            "2504.20634.",
        ),
        "lba-m7e4": Preset(
            MacSpec(
                a="e3m4finite",
                b="e3m4finite",
                product="e4m7finite:bias=12:none",
                acc="e4m7finite:bias=10:none",
                chunk=16,
                rounding="rtz",
            ),
            "12-bit products and accumulators (M7E4, biases 12 and 10) in chunks of 16, cut toward zero: Blumenfeld, "
            "Hubara and Soudry, ICLR 2024, arXiv 2401.14110.",
        ),
        "gupta2015": Preset(
            MacSpec(
                a="fix8.8", b="fix8.8", acc="fix32.16", out="fix8.8", rounding="rtz", outer_rounding="stochastic:8"
            ),
            "Fixed point summed exactly in 48 bits, results rounded to 16 at random: Gupta et al., ICML 2015, arXiv "
            "1502.02551.",
        ),
        "mxfp8": Preset(
            MacSpec(a="e4m3fn", b="e4m3fn", acc="e6m9", scale="e8m0fnu", chunk=32, outer="fp32"),
            "MXFP8 (E4M3) blocks of 32: OCP Microscaling Formats (MX) Specification 1.0.",
        ),
        "mxfp6": Preset(
            MacSpec(a="e3m2finite", b="e3m2finite", acc="fix16.8", scale="e8m0fnu", chunk=32, outer="fp32"),
            "MXFP6 (E3M2) blocks of 32, summed exactly: OCP Microscaling Formats (MX) Specification 1.0.",
        ),
        "mxfp4": Preset(
            MacSpec(a="e2m1finite", b="e2m1finite", acc="fix12.2", scale="e8m0fnu", chunk=32, outer="fp32"),
            "MXFP4 (E2M1) blocks of 32, summed exactly: OCP Microscaling Formats (MX) Specification 1.0.",
        ),
        "mxint8": Preset(
            MacSpec(a="fix2.6", b="fix2.6", acc="fix9.12", scale="e8m0fnu", chunk=32, outer="fp32"),
            "MXINT8 blocks of 32, summed exactly: OCP Microscaling Formats (MX) Specification 1.0.",
        ),
        "nvfp4": Preset(
            MacSpec(a="e2m1finite", b="e2m1finite", acc="fix11.2", scale="e4m3fn", chunk=16, outer="fp32"),
            "NVFP4: E2M1 blocks of 16 with E4M3 scales, summed exactly: NVIDIA, Pretraining Large Language Models with "
            "NVFP4, arXiv 2509.25149.",
        ),
        "flexpoint": Preset(
            MacSpec(a="int16", b="int16", acc="int40", scale="e5m0fnu", outer="fp32"),
            "Flexpoint: 16-bit mantissas with one 5-bit exponent for each tensor: Koster et al., NeurIPS 2017, arXiv "
            "1711.02213.",
        ),
        "dynamic-e6m9": Preset(
            MacSpec(a="e5m2", b="e5m2", acc="e6m9", chunk=64, modes=["m7:acc=e6m7", "m5:acc=e6m5"]),
            "Accumulators of 9, 7 or 5 mantissa bits, changed between tiles: training starts narrow and ends wide.",
        ),
        "dynamic-fix16": Preset(
            MacSpec(
                a="fix8.8",
                b="fix8.8",
                acc="fix24.16",
                modes=["half:a=fix4.4,b=fix4.4,acc=fix24.8", "packed:a=fix4.4,b=fix4.4,acc=fix24.8,packed=2"],
            ),
            "Fixed point of 16 bits, of 8, or of 8 with two products in a step, changed between tiles: Na and "
            "Mukhopadhyay, ISLPED 2016.",
        ),
        "flexpoint-dynamic": Preset(
            MacSpec(
                a="int16",
                b="int16",
                acc="int40",
                scale="e5m0fnu",
                outer="fp32",
                modes=["m12:a=fix16.-4,b=fix16.-4,acc=fix40.-8", "m8:a=fix16.-8,b=fix16.-8,acc=fix40.-16"],
            ),
            "Flexpoint with mantissas of 16, 12 or 8 bits under one exponent, changed between tiles.",
        ),
        **{name: Preset(*unit) for name, unit in _UNITS.items()},
    }
)

presets: Mapping[str, MacSpec] = MappingProxyType({name: preset.spec for name, preset in CATALOGUE.items()})


def preset(name: str) -> MacSpec:
    """Return a preset's spec.

    Raises:
        MacgenError: there is no preset of this name.
    """
    if name in _GONE:
        raise MacgenError(f"preset {name!r} is gone, {_GONE[name]}")
    if name not in presets:
        names = ", ".join(name for name in presets if name not in _UNITS)
        raise MacgenError(
            f"preset {shown(name)} is unknown; accepted are {names}, and what macgen presets lists of GPUs and RISC-V"
        )
    return presets[name]


_GONE = {
    "hopper-like": "for it aligned otherwise than a Hopper does; accepted is hopper-e4m3, or deepseek-v3 with its "
    "promotion to FP32 every 128 products"
}
"""Presets of earlier versions, with what to take instead."""
