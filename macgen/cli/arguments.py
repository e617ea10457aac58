"""What the options of `macgen build` mean together: one MacSpec, and a name for it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from macgen.bundle.names import MAX_LENGTH, check_name
from macgen.errors import MacgenError, capitalized, shown
from macgen.numerics import MAX_MAN_BITS, FixedFormat, FloatFormat, Format, Overflow, as_format
from macgen.numerics.fixed_format import MAX_WIDTH
from macgen.spec import MacSpec
from macgen.spec_accumulator import knows_overflow
from macgen.spec_fields import Scale, check_operand, least_int_bits

if TYPE_CHECKING:
    from macgen.width.automatic import Outline
    from macgen.width.goal import Sum

ACC_EXP_BITS = 6
"""Exponent bits that a bare accumulator width means: the (1,6,m) accumulators of FP8 training."""


def resolve_spec(base: MacSpec, given: Mapping[str, Any]) -> MacSpec:
    """Return a spec with some of its fields replaced as the options of `macgen build` say.

    Parameters:
        base: the spec to start from.
        given: the options that were given: fields of MacSpec (formats as strings), `acc_bits` (the width of the
            accumulator) and `subnormals` (of a float accumulator).

    Returns:
        The spec. Where the new accumulator cannot have the base's `overflow`, it saturates; where it is fixed-point
        and the base's is not, there are no chunks (but for scales or an outer accumulator), unless `given` says
        otherwise.

    Raises:
        MacgenError: a value is refused, or the options contradict each other.
    """
    values = {field.name: getattr(base, field.name) for field in fields(MacSpec)}
    values |= {name: value for name, value in given.items() if name in values}
    for name in ("a", "b", "acc"):
        values[name] = as_format(name, values[name])
    if values["product"] not in (None, "exact"):
        values["product"] = as_format("product", values["product"])
    for name in ("a", "b"):
        check_operand(name, values[name])
    if (acc_bits := given.get("acc_bits")) is not None:
        if "acc" not in given:
            exact = values["product"] in (None, "exact")
            addends = (values["a"], values["b"]) if exact else (values["product"],)
            values["acc"] = accumulator_of_width(acc_bits, *addends)
        elif values["acc"].width != acc_bits:
            raise MacgenError(
                f"acc-bits {acc_bits} contradicts acc {values['acc']}, which has {values['acc'].width} bits; accepted "
                f"is one of the two, or the same width in both"
            )
    if (subnormals := given.get("subnormals")) is not None:
        values["acc"] = _with_subnormals(values["acc"], subnormals, "acc" in given)
    acc = values["acc"]
    if "overflow" not in given and not knows_overflow(acc, Overflow(base.overflow)):
        values["overflow"] = "saturate"
    to_fixed = isinstance(acc, FixedFormat) and isinstance(base.acc, FloatFormat)
    if "chunk" not in given and to_fixed and values["scale"] is None and values["outer"] is None:
        values["chunk"] = None
    return MacSpec(**values)


def replace_auto(base: MacSpec, given: Mapping[str, Any], length: int | None) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Replace `auto` in the options of `macgen build` by what the theory says for a length.

    Parameters:
        base: the spec to start from.
        given: as for `resolve_spec`; `acc_bits` and `chunk` may be `auto`.
        length: products of the longest dot product.

    Returns:
        The options without `auto`, and for each one replaced a sentence (without its full stop) on why, then warnings.

    Raises:
        MacgenError: `auto` lacks a length or the reverse, or contradicts another option, or nothing is wide enough.
    """
    automatic = [name for name in ("acc_bits", "chunk") if given.get(name) == "auto"]
    if not automatic:
        if length is not None:
            raise MacgenError(
                f"length {length} is given without auto; accepted is it with --acc-bits auto or --chunk auto"
            )
        return dict(given), ()
    if length is None:
        raise MacgenError(f"{automatic[0].replace('_', '-')} 'auto' lacks a length; accepted is it with --length N")
    for name in ("acc", "subnormals"):
        if "acc_bits" in automatic and name in given:
            raise MacgenError(f"acc-bits 'auto' contradicts {name} {shown(given[name])}; accepted is one of the two")
    from macgen.width.automatic import choose
    from macgen.width.goal import Sum

    outline = _outline(base, given)
    chosen = choose(outline, Sum(length=length), acc="acc_bits" in automatic)
    options, reasons = {**given, "chunk": chosen.chunk}, [f"Warning: {text}" for text in chosen.warnings]
    if chosen.acc is not None:
        del options["acc_bits"]
        options["acc"] = str(chosen.acc)
        reasons.insert(0, f"{chosen.acc_reason}")
    if chosen.chunk_reason is not None:
        reasons.append(f"Chunk: {chosen.chunk_reason}")
    return options, tuple(reasons)


def warnings_of_plan(base: MacSpec, given: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a plan's width does not cover of the spec made from it, a sentence (without its full stop) each."""
    from macgen.width.automatic import beyond_theory

    return tuple(f"Warning: {text}" for text in beyond_theory(_outline(base, given)))


def about_outer(spec: MacSpec, length: int | None, planned: "Sequence[Sum]") -> tuple[str, ...]:
    """Return what is known of a spec's outer accumulator: a sentence (without its full stop) on the largest sum.

    Parameters:
        spec: the array.
        length: products of its longest dot product, if that was given.
        planned: its dot products, if there is a plan.
    """
    if spec.outer is None or (length is None and not planned):
        return ()
    from macgen.width.goal import Sum
    from macgen.width.outer import judge

    sums = planned if length is None else [Sum(length=length)]
    verdicts = [verdict for dot in sums if (verdict := judge(spec, dot)) is not None]
    largest = max(verdicts, key=lambda verdict: (not verdict.holds, verdict.bits or 0))
    return (capitalized(largest.reason) if largest.holds else f"Warning: {largest.reason}",)


def _outline(base: MacSpec, given: Mapping[str, Any]) -> "Outline":
    from macgen.width.automatic import Outline

    return Outline(**{field.name: given.get(field.name, getattr(base, field.name)) for field in fields(Outline)})


def accumulator_of_width(bits: int, *factors: Format) -> Format:
    """Return the accumulator that a bare width means for products of two formats, or for ones rounded to one format.

    With a float among them: 1 sign, 6 exponent and `bits` - 7 mantissa bits. Otherwise: two's complement with the
    fraction bits of the product.

    Raises:
        MacgenError: the width is out of range or, in fixed point, does not hold the products.
    """
    fixed = [fmt for fmt in factors if isinstance(fmt, FixedFormat)]
    if len(fixed) < len(factors):
        least, most = 2 + ACC_EXP_BITS, 1 + ACC_EXP_BITS + MAX_MAN_BITS
        if not least <= bits <= most:
            raise MacgenError(
                f"acc-bits {bits} is not from {least} to {most}: 1 sign, {ACC_EXP_BITS} exponent and 1 to "
                f"{MAX_MAN_BITS} mantissa bits; acc eXmY accepts other splits"
            )
        return FloatFormat(ACC_EXP_BITS, bits - 1 - ACC_EXP_BITS)
    frac_bits = sum(fmt.frac_bits for fmt in fixed)
    least = least_int_bits(*fixed, frac_bits=frac_bits, signed=True) + frac_bits
    if not least <= bits <= MAX_WIDTH:
        products = f"products {fixed[0]}" if len(fixed) == 1 else f"products of a {fixed[0]} and b {fixed[1]}"
        raise MacgenError(
            f"acc-bits {bits} is not from {least} to {MAX_WIDTH}, the two's complement widths that hold the {products}"
        )
    return FixedFormat(bits - frac_bits, frac_bits)


def default_name(spec: MacSpec) -> str:
    """Return a name for an array, made of its formats: a plain identifier.

    Where it would be too long, biases and what becomes of subnormals are left out, and then it is cut.
    """
    name = _joined_name(spec, _plain_name)
    if len(name) <= MAX_LENGTH:
        return name
    return _joined_name(spec, lambda fmt: _plain_name(fmt).partition(":")[0])[:MAX_LENGTH]


def _plain_name(fmt: Format | Scale) -> str:
    """Return a format's string, in which fix12.-4 is not to become what fix12.4 does."""
    return str(fmt).replace("-", "m") if isinstance(fmt, FixedFormat) else str(fmt)


def _joined_name(spec: MacSpec, text: Callable[[Format | Scale], str]) -> str:
    parts = ["mac", text(spec.a)]
    if spec.b != spec.a:
        parts.append(text(spec.b))
    if spec.product is not None:
        parts.append(f"p{text(spec.product)}")
    parts.append(text(spec.acc))
    if spec.lanes > 1 or spec.aligns:
        parts.append(f"l{spec.lanes}{'' if spec.lane_sum == 'fused' else spec.lane_sum}")
    if spec.chunk is not None:
        parts.append(f"c{spec.chunk}")
    if spec.scale is not None:
        parts.append(f"s{text(spec.scale)}" + ("" if spec.block is None else f"b{spec.block}"))
    if spec.outer_format != spec.acc:
        parts.append(f"to_{text(spec.outer_format)}")
    if spec.out_format != spec.outer_format:
        parts.append(f"out_{text(spec.out_format)}")
    if spec.rounding.random_bits:
        parts.append(str(spec.rounding).replace("stochastic:", "sr"))
    if spec.interleave > 1:
        parts.append(f"i{spec.interleave}")
    if spec.interface != "native":
        parts.append("axi")
    if spec.modes:
        parts.append(f"m{len(spec.mode_names)}")
    if spec.counters is not None:
        parts.append(f"n{spec.counters}")
    parts += ["pre"] * spec.preload
    parts += [f"o{spec.outer_cycles}"] * (spec.outer_cycles > 1)
    parts += ["async"] * (spec.reset == "async") + ["rst_n"] * (spec.reset_active is not None)
    parts += ["en"] * spec.clock_enable
    return re.sub(r"[^A-Za-z0-9]+", "_", "_".join(parts))


def name_and_directory(spec: MacSpec, name: str | None, output: Path | None) -> tuple[str, Path]:
    """Return what an array is called and where its bundle goes.

    Without a name it is the output directory's, where that can be one, else `default_name`; without an output
    directory it is `build/<name>`.
    """
    if name is None and output is not None:
        try:
            name = check_name(output.absolute().name)
        except MacgenError:
            name = None
    name = check_name(name if name is not None else default_name(spec))
    return name, output if output is not None else Path("build") / name


def _with_subnormals(acc: Format, subnormals: Any, explicit_acc: bool) -> Format:
    if not isinstance(acc, FloatFormat):
        raise MacgenError(f"subnormals {shown(subnormals)} does not go with acc {acc}; accepted are float accumulators")
    changed = replace(acc, subnormals=subnormals)
    if explicit_acc and acc.subnormals != "gradual" and changed != acc:
        raise MacgenError(f"subnormals {shown(subnormals)} contradicts acc {acc}; accepted is one of the two")
    return changed


def _overflow_fits(overflow: str, acc: Format) -> bool:
    if overflow in ("infinity", "to-infinity"):
        return acc.has_infinity
    if overflow == "nan":
        return isinstance(acc, FloatFormat) and acc.overflows_to_nan
    return overflow == "saturate" or (isinstance(acc, FixedFormat) and not acc.narrow)
