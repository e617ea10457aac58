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
        "bf16-fp32": Preset(
            MacSpec(a="bf16", b="bf16", acc="fp32", overflow="infinity"),
            "bfloat16 operands into binary32, the usual mixed-precision accumulation.",
        ),
        "int8-int32": Preset(
            MacSpec(a="int8", b="int8", acc="int32", overflow="wrap"),
            "8-bit integer inference with 32-bit two's complement accumulation.",
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
