"""The C++ program that drives an array's modules: Verilator and g++ make it of the wrapper and of `cpp/`."""

from __future__ import annotations

from pathlib import Path

from macgen import tools
from macgen.errors import MacgenError
from macgen.numerics import (
    Encoding,
    FixedFormat,
    FloatFormat,
    Format,
    LaneSumKind,
    Overflow,
    Rounding,
    RoundingKind,
    ScaleFormat,
    Subnormals,
)
from macgen.prove.exhaustive.step_wrapper import StepWrapper, Vectors, step_wrapper
from macgen.rtl import Design
from macgen.spec import MacSpec
from macgen.spec_fields import Scale

PROVER = Path(__file__).parent / "cpp"

AUDITED = 10_000
"""Comparisons of each thread, at least half of it where there are so many, that the golden model repeats."""

MAX_FIXED_BITS = 120
"""Bits of a fixed-point format, of random numbers, of the carries of lanes and of scales that the C++ model's 128-bit
integers hold together."""


def check_widths(spec: MacSpec) -> None:
    """Refuse fixed-point formats, and terms of lanes, that the C++ model's 128-bit integers do not hold.

    Raises:
        MacgenError: there is one.
    """
    most = MAX_FIXED_BITS - spec.random_bits - (spec.lanes - 1).bit_length()
    if isinstance(spec.scale, FloatFormat):
        most -= 2 * spec.scale.precision
    for field in ("product", "acc", "outer", "out"):
        fmt = getattr(spec, field)
        if isinstance(fmt, FixedFormat) and fmt.width > most:
            raise MacgenError(
                f"{field} {fmt} has {fmt.width} bits; exhaustive verification accepts fixed-point formats of up to "
                f"{most} here"
            )
    if (terms := Design(spec).terms) is not None:
        needed = max(terms.term.significand_bits, terms.window.fraction_bits + terms.count.bit_length())
        if needed > MAX_FIXED_BITS:
            raise MacgenError(
                f"lane_sum {spec.lane_sum!r} adds terms of {needed} bits; exhaustive verification accepts those of up "
                f"to {MAX_FIXED_BITS}"
            )


def compile_program(spec: MacSpec, mode: int, name: str, verilog: Path, work: Path, timeout: float) -> Path:
    """Return the program that drives a bundle's modules in one of its modes."""
    wrapper = step_wrapper(Design(spec), name, mode)
    (work / "wrapper.v").write_text(wrapper.verilog, encoding="utf-8")
    (work / "spec.h").write_text(_spec_header(spec.mode(mode), wrapper), encoding="utf-8")
    return tools.compile_verilated(
        PROVER / "prove.cpp", wrapper.modules, [verilog, "wrapper.v"], work=work, timeout=timeout
    )


def format_numbers(fmt: Format | Scale) -> tuple[int, ...]:
    """Return a format as the integers of `Format` in cpp/numbers.h."""
    if isinstance(fmt, ScaleFormat):
        return (1, fmt.width, fmt.exp_bits, 0, fmt.bias, len(Encoding), 0, 0, 0, 0)
    if isinstance(fmt, FloatFormat):
        encoding = list(Encoding).index(fmt.encoding)
        subnormals = list(Subnormals).index(fmt.subnormals)
        return (1, fmt.width, fmt.exp_bits, fmt.man_bits, fmt.bias, encoding, subnormals, 0, 0, 0)
    return (0, fmt.width, 0, 0, 0, 0, 0, fmt.frac_bits, int(fmt.signed), int(fmt.narrow))


def spec_numbers(spec: MacSpec) -> tuple[int, ...]:
    """Return a spec as the integers of `Spec` in cpp/numbers.h."""
    unused = (0,) * len(format_numbers(spec.a))

    def target(fmt: Format | None, rounding: Rounding) -> tuple[int, ...]:
        if fmt is None:
            return (*unused, 0, 0, 0, 0)
        return (
            *format_numbers(fmt),
            list(RoundingKind).index(rounding.kind),
            rounding.random_bits,
            int(rounding.beneath == "rne"),
            list(Overflow).index(spec.overflow_into(fmt)),
        )

    return (
        *(number for fmt in spec.port_formats for number in format_numbers(fmt)),
        *(unused if spec.scale is None else format_numbers(spec.scale)),
        *target(spec.product, spec.rounding.of_numbers),
        *target(spec.acc, spec.rounding),
        *target(spec.outer_format, spec.fold_rounding),
        *target(spec.out_format, spec.fold_rounding.of_numbers),
        int(spec.product is not None),
        int(spec.scales_chunks),
        int(spec.has_outer_adder),
        int(spec.out_format != spec.outer_format),
        spec.lanes,
        list(LaneSumKind).index(spec.lane_sum.kind),
        spec.aligned_bits or spec.exponent_bits or spec.bulk_bits or 0,
        spec.lane_sum.group,
        spec.block or 0,
    )


def _spec_header(spec: MacSpec, wrapper: StepWrapper) -> str:
    def words(vectors: Vectors) -> str:
        places = range(0, vectors.state_bits, 64)
        return f"{{{', '.join(f'{vectors.zero >> low & (1 << 64) - 1:#x}u' for low in places)}}}"

    inner, folds, units = wrapper.inner, wrapper.folds, wrapper.modules
    outer = "outer_step" in units
    lines = [
        "#pragma once",
        '#include "model.h"',
        *(f'#include "V{unit}.h"' for unit in units),
        f"constexpr Spec SPEC = {{{', '.join(map(str, spec_numbers(spec)))}}};",
        f"constexpr int STATE_BITS = {inner.state_bits}, OPERAND_BITS = {inner.operand_bits};",
        f"constexpr int TOTAL_BITS = {folds.state_bits}, FOLD_OPERAND_BITS = {folds.operand_bits};",
        f"#define ZERO_WORDS {words(inner)}",
        f"#define ZERO_TOTAL_WORDS {words(folds)}",
        f"#define STEP_RANDOM_BITS {inner.random_bits}",
        f"#define OUTER_RANDOM_BITS {folds.random_bits if outer else 0}",
        f"#define RESULT_RANDOM_BITS {wrapper.result_random_bits}",
        f"#define LANES {spec.lanes}",
        f"#define STEP_CYCLES {spec.interleave}",
        f"#define OUTER_CYCLES {Design(spec).adder_cycles}",
        f"#define IDLES {int(wrapper.idles)}",
        f"#define FOLDS {int('folded' in units)}",
        f"#define SEPARATE_FOLDS {int('fold' in units)}",
        f"#define LOADS {int('loaded' in units)}",
        f"#define OUTER {int(outer)}",
        f"#define STARTS {int('start' in units)}",
        f"#define SCALES {int(spec.scales_chunks)}",
        f"#define LANE_SCALES {spec.scales_in_beat if spec.scales_lanes else 0}",
        f"#define RESULTS {int('result' in units)}",
        f"#define COUNTERS {int(spec.counters is not None)}",
        f"constexpr unsigned AUDITED = {AUDITED};",
    ]
    return "\n".join([*lines, ""])
