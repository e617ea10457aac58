"""The arithmetics on which a network runs: specs, accumulators of a sweep, and plans, each under a name of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from macgen.errors import MacgenError, check_integer, shown
from macgen.network.gemm import Layer
from macgen.numerics import MAX_MAN_BITS, FloatFormat
from macgen.spec import MacSpec
from macgen.width.plan_file import PlanFile, load_plan
from macgen.width.tensors import TensorPlan

_IN_EVERY_LABEL = ("acc", "chunk")

Specs = MacSpec | Sequence[MacSpec] | None
Plans = PlanFile | str | Path | Sequence[PlanFile | str | Path] | None


@dataclass(frozen=True)
class Setting:
    """An arithmetic of the whole network.

    Attributes:
        label: tells it from others.
        man_bits: mantissa bits of the accumulator in a sweep; None: no sweep.
        specs: of each layer.
        exact: whether sums are exact, so that only the operands' formats count.
    """

    label: str
    man_bits: int | None
    specs: tuple[MacSpec, ...]
    exact: bool = False


def make_settings(layers: Sequence[Layer], spec: Specs, plan: Plans, sweep: Collection[int]) -> list[Setting]:
    """Return what a network is to run on: specs first, each at every width of a sweep, then plans.

    Parameters:
        layers: of the network.
        spec: one spec or several.
        plan: one plan or several, or their files.
        sweep: mantissa bits.

    Raises:
        MacgenError: there is nothing to run on, operands differ, something is given twice, or a plan does not fit.
    """
    specs = _several(spec)
    plans = [_of_accumulators(each) for each in _several(plan)]
    if not specs and not plans:
        raise MacgenError("nothing given to run on; accepted are a spec and a plan")
    if sweep and not specs:
        raise MacgenError("sweep-mantissa does not go with plan, which has widths of its own; accepted is a spec")
    swept = [narrow for each in specs for narrow in (_sweep(each, sweep) if sweep else [each])]
    settings = [
        Setting(label, _man_bits(each) if sweep else None, (each,) * len(layers))
        for each, label in zip(swept, _labels(swept), strict=True)
    ]
    planned = [_planned(each, layers) for each in plans]
    of_plans = [Setting(label, None, each) for each, label in zip(planned, _plan_labels(planned), strict=True)]
    for given in (settings, of_plans):
        for number, setting in enumerate(given):
            if any(setting.specs == other.specs for other in given[:number]):
                raise MacgenError(f"{setting.label} is given twice; accepted is each arithmetic once")
    settings += of_plans
    for setting in settings:
        operands = [{(str(each.a), str(each.b)) for each in given.specs} for given in (settings[0], setting)]
        if operands[0] != operands[1]:
            raise MacgenError(f"operands are {shown(operands)}; accepted are those of one pair of formats")
    return settings


def _of_accumulators(given: Any) -> PlanFile:
    plan = load_plan(given) if isinstance(given, (str, Path)) else given
    if isinstance(plan, TensorPlan):
        raise MacgenError(
            "plan has formats for each tensor, whose operands differ from layer to layer; accepted are plans of "
            "accumulators, and macgen.nn.convert takes both"
        )
    return plan


def _several(given: Any) -> list[Any]:
    """Return what was given alone, several times or not at all as a list."""
    if given is None:
        return []
    return [given] if isinstance(given, (MacSpec, PlanFile, TensorPlan, str, Path)) else list(given)


def _sweep(spec: MacSpec, sweep: Collection[int]) -> Iterator[MacSpec]:
    acc = spec.acc
    if not isinstance(acc, FloatFormat):
        raise MacgenError(f"sweep-mantissa does not go with acc {acc}; accepted are float accumulators")
    for bits in sorted(set(sweep)):
        check_integer("sweep-mantissa", bits, 1, MAX_MAN_BITS)
        yield spec.replace(acc=replace(acc, man_bits=bits), modes=())


def _man_bits(spec: MacSpec) -> int | None:
    return spec.acc.man_bits if isinstance(spec.acc, FloatFormat) else None


def _planned(plan: PlanFile, layers: Sequence[Layer]) -> tuple[MacSpec, ...]:
    forward = {row.layer: row for row in plan.rows if row.kind == "forward"}
    for layer in layers:
        row = forward.get(layer.name)
        if row is None:
            raise MacgenError(
                f"plan has no forward GEMM of layer {shown(layer.name)}; accepted is a plan of this model, made with "
                f"its forward GEMMs"
            )
        length = layer.forward.length
        if row.dot.length != length or row.op not in ("", layer.op):
            planned = f"{row.op or layer.op} of {row.dot.length} products"
            raise MacgenError(
                f"plan has layer {shown(layer.name)} as {shown(planned)}, where the model has "
                f"{shown(f'{layer.op} of {length} products')}; accepted is a plan of this model and of the data's "
                f"shapes"
            )
    return tuple(forward[layer.name].spec for layer in layers)


# -- labels ------------------------------------------------------------------------------------------------------------


def _labels(specs: Sequence[MacSpec]) -> list[str]:
    """Return accumulator and chunk of each spec and, where these are those of another, in what it differs from it."""
    short = [f"{spec.acc}, {_chunks({spec.chunk})}" for spec in specs]
    fields = [spec.to_dict() for spec in specs]
    labels = []
    for label, own in zip(short, fields, strict=True):
        alike = [other for other, its in zip(fields, short, strict=True) if its == label]
        differing = [
            f"{name} {value}"
            for name, value in own.items()
            if name not in _IN_EVERY_LABEL and any(other[name] != value for other in alike)
        ]
        labels.append(", ".join([label, *differing]))
    return labels


def _plan_labels(planned: Sequence[Sequence[MacSpec]]) -> list[str]:
    """Return `plan` and its chunks, counted where plans have the same ones."""
    chunks = [_chunks({spec.chunk for spec in specs}) for specs in planned]
    seen: Counter[str] = Counter()
    labels = []
    for each in chunks:
        seen[each] += 1
        labels.append(f"plan {seen[each]}, {each}" if chunks.count(each) > 1 else f"plan, {each}")
    return labels


def _chunks(lengths: Collection[int | None]) -> str:
    if len(lengths) > 1:
        return "chunks of its own for each layer"
    (chunk,) = lengths
    return "no chunks" if chunk is None else f"chunks of {chunk}"
