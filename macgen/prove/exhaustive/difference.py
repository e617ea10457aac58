"""What differs, in a sentence, with the golden model's word on what is right."""

from __future__ import annotations

import math
from typing import Any

from macgen.golden import Model
from macgen.numerics import FixedFormat, Flags, Format
from macgen.numerics.flags import FLAG_BITS
from macgen.spec import MacSpec
from macgen.spec_fields import Scale

_SWAMPED = 1 << FLAG_BITS
"""With counters a step, and a fold by an adder of its own, has this event as one more flag."""


def first_difference(spec: MacSpec, found: dict[str, Any]) -> str | None:
    """Return the sentence on the first difference, with golden's word on what is right; None where there is none."""
    model = Model(spec)
    difference = found["difference"]
    if difference is not None:
        wanted = int(difference["code"], 16), difference["flags"]
        compares = difference["compares"] and _has_numbers(spec, difference["comparison"])
        if compares and _golden(model, difference["comparison"]) != wanted:
            raise AssertionError(f"the compiled model of {spec} is not golden's: {difference}")
        return _sentence(spec, difference["what"], difference["comparison"], wanted, difference)
    for comparison in found["audit"]:
        if not _has_numbers(spec, comparison):
            continue
        wanted = _golden(model, comparison)
        if wanted != (int(comparison["code"], 16), comparison["flags"]):
            return _sentence(spec, comparison["what"], comparison, wanted)
    return None


def _has_numbers(spec: MacSpec, comparison: dict[str, Any]) -> bool:
    """Whether the operands of a step are numbers, and none the code that a narrow format lacks: golden refuses that."""
    if comparison["what"] != "step":
        return True
    sides = ((comparison[side], fmt) for side, fmt in (("a", spec.a), ("b", spec.b)))
    return not any(isinstance(fmt, FixedFormat) and fmt.missing_code in codes for codes, fmt in sides)


def _golden(model: Model, comparison: dict[str, Any]) -> tuple[int, int]:
    acc, random = int(comparison["acc"], 16), comparison["random"]
    match comparison["what"]:
        case "fold":
            scales = (comparison["a_scale"], comparison["b_scale"]) if model.spec.scales_chunks else ()
            addends = (acc, int(comparison["addend"], 16), random, *scales)
            # Where the accumulator's own adder folds, it takes the total for the addend: nothing is watched there.
            watched = model.spec.counters is not None and model.spec.has_outer_adder
            return _with_events(model.fold(*addends), model.fold_events(*addends) if watched else None)
        case "result":
            return model.convert(acc, random)
        case "start":
            return model.start(acc)
    scales = (comparison["a_scales"], comparison["b_scales"]) if model.spec.scales_lanes else ()
    operands = (acc, comparison["a"], comparison["b"], random, *scales)
    watched = model.spec.counters is not None
    return _with_events(model.step(*operands), model.step_events(*operands) if watched else None)


def _with_events(result: tuple[int, int], events: tuple[bool, bool, bool] | None) -> tuple[int, int]:
    code, flags = result
    return code, flags | _SWAMPED * (events is not None and events[2])


def _sentence(
    spec: MacSpec,
    what: str,
    comparison: dict[str, Any],
    wanted: tuple[int, int],
    place: dict[str, Any] | None = None,
) -> str:
    def code(value: str | int, fmt: Format | Scale) -> str:
        number = int(value, 16) if isinstance(value, str) else value
        return f"{number:#0{math.ceil(fmt.width / 4) + 2}x}"

    kind = comparison["what"]
    name, fmt, into = {
        "step": ("accumulator", spec.acc, spec.acc),
        "fold": ("total", spec.outer_format, spec.outer_format),
        "result": ("total", spec.outer_format, spec.out_format),
        "start": ("code", spec.outer_format, spec.outer_format),
    }[kind]

    def result(value: str | int, flags: int) -> str:
        raised = [flag.name.lower() for flag in Flags if flags & flag and flag.name] + ["swamped"] * bool(
            flags & _SWAMPED
        )
        return f"code {code(value, into)}, flags {'|'.join(raised) or 'none'}"

    parts = [f"{name} {code(comparison['acc'], fmt)}"]
    if kind == "step":
        for side, operand in (("a", spec.a), ("b", spec.b)):
            parts.append(f"{side} {' '.join(code(value, operand) for value in comparison[side])}")
        if spec.scale is not None and spec.scales_lanes:
            for side in ("a_scales", "b_scales"):
                parts.append(f"{side} {' '.join(code(value, spec.scale) for value in comparison[side])}")
    elif kind == "fold":
        parts.append(f"chunk sum {code(comparison['addend'], spec.acc)}")
        if spec.scale is not None and spec.scales_chunks:
            parts += [f"{side} {code(comparison[side], spec.scale)}" for side in ("a_scale", "b_scale")]
    rounds_at = {"steps": "step", "chunks": "fold", "out": "result"}
    if spec.random_place and (rounds_at[spec.random_place] == kind or (kind == "fold" and not spec.has_outer_adder)):
        parts.append(f"random {comparison['random']:#x}")
    where = f" (state {place['state']}, operand {place['operand']})" if place is not None else ""
    got = result(comparison["code"], comparison["flags"])
    return f"{what}: {', '.join(parts)}: expected {result(*wanted)}; got {got}{where}"
