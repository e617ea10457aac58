"""The catalogue of named specs; tests loop over all of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from macgen.errors import MacgenError, shown
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
            "IEEE 754 binary16 fused multiply-add, subnormals, infinities and NaN included.",
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
    }
)

presets: Mapping[str, MacSpec] = MappingProxyType({name: preset.spec for name, preset in CATALOGUE.items()})


def preset(name: str) -> MacSpec:
    """Return a preset's spec.

    Raises:
        MacgenError: there is no preset of this name.
    """
    if name not in presets:
        raise MacgenError(f"preset {shown(name)} is unknown; accepted are {', '.join(presets)}")
    return presets[name]
