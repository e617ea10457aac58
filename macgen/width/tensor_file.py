"""Plans of tensors, and what was measured for them, read back from JSON."""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from macgen.errors import MAX_COUNT, MacgenError, check_integer, check_path, shown, shown_path
from macgen.numerics import FixedFormat
from macgen.width.tensor_statistics import SCHEMA, LayerStatistics, Statistics, checked_magnitude
from macgen.width.tensors import TENSORS, PlannedTensors, TensorPlan

_ACCEPTED = "accepted is what macgen plan --per-tensor writes"


def is_tensor_plan(values: Mapping[str, Any]) -> bool:
    """Return whether a plan says that it is one of tensors."""
    return values.get("plan") == "per-tensor"


def tensor_plan_of(values: Mapping[str, Any], name: str) -> TensorPlan:
    """Return the plan that JSON values have.

    Parameters:
        values: as of `TensorPlan.to_json`.
        name: what sentences call it.

    Raises:
        MacgenError: they are something else.
    """
    _check_schema(values, name)
    layers = []
    for number, layer in enumerate(_list(values, "layers", name), start=1):
        where = f"{name}, layer {number}"
        formats, sizes = _object(layer, "formats", where), _object(layer, "sizes", where)
        made: dict[str, FixedFormat] = {}
        for tensor in TENSORS:
            try:
                made[tensor] = FixedFormat.parse(_member(formats, tensor, where))
            except MacgenError as error:
                raise MacgenError(f"{where}, {tensor}: {error}") from None
        counts = [_positive(sizes, field, where) for field in ("weights", "activations", "macs")]
        try:
            planned = PlannedTensors(
                name=_text(layer, "name", where),
                op=_text(layer, "op", where),
                sizes=(counts[0], counts[1], counts[2]),
                lengths=_object(layer, "lengths", where),  # type: ignore[arg-type]
                **made,
            )
            _check_derived(layer, planned.derived, where)
            layers.append(planned)
        except MacgenError as error:
            raise error if str(error).startswith(where) else MacgenError(f"{where}: {error}") from None
    if not layers:
        raise MacgenError(f"{name} has no layers; {_ACCEPTED}")
    rate = checked_magnitude(f"{name}: learning_rate", _member(values, "learning_rate", name), zero=False)
    batch = _positive(values, "batch", name)
    plan = TensorPlan(network=_text(values, "network", name), batch=batch, learning_rate=rate, layers=tuple(layers))
    _check_derived(values, plan.derived, name)
    return plan


def load_statistics(path: Path | str) -> Statistics:
    """Return what was measured, from a file that `Statistics.to_json` filled.

    Raises:
        MacgenError: the file cannot be read or is something else.
    """
    file = check_path("statistics", path)
    name, accepted = f"statistics {shown_path(file)}", "accepted is what macgen.nn.measure(...).to_json() returns"
    try:
        values = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise MacgenError(f"{name} cannot be read ({error.strerror}); {accepted}") from None
    except (ValueError, RecursionError):
        raise MacgenError(f"{name} is not valid JSON; {accepted}") from None
    if not isinstance(values, dict) or values.get("statistics") != "per-tensor":
        raise MacgenError(f"{name} are none of tensors; {accepted}")
    _check_schema(values, name)
    layers = []
    for number, layer in enumerate(_list(values, "layers", name), start=1):
        given = {field.name: _member(layer, field.name, f"{name}, layer {number}") for field in fields(LayerStatistics)}
        layers.append(_made(f"{name}, layer {number}", LayerStatistics, given))
    given = {field: _member(values, field, name) for field in ("network", "batch", "learning_rate")}
    found: Statistics = _made(name, Statistics, {**given, "layers": tuple(layers)})
    return found


def _made(name: str, record: Any, given: Mapping[str, Any]) -> Any:
    try:
        return record(**given)
    except MacgenError as error:
        raise MacgenError(f"{name}: {error}") from None


def _check_derived(given: Mapping[str, Any], derived: Mapping[str, Any], where: str) -> None:
    """Refuse what a file says otherwise than it follows from the formats; it may leave it out."""
    for field, value in derived.items():
        if given.get(field, value) != value:
            raise MacgenError(
                f"{where}: {field} {shown(given[field])} contradicts the formats; accepted is {shown(value, 300)}"
            )


def _check_schema(values: Mapping[str, Any], name: str) -> None:
    schema = _member(values, "schema", name)
    if schema != SCHEMA:
        raise MacgenError(f"{name} has schema {shown(schema)}; accepted is {SCHEMA}")


def _member(values: Any, key: str, where: str) -> Any:
    if not isinstance(values, dict):
        raise MacgenError(f"{where} {shown(values)} is not an object; {_ACCEPTED}")
    if key not in values:
        raise MacgenError(f"{where} lacks {key!r}; {_ACCEPTED}")
    return values[key]


def _typed(values: Any, key: str, where: str, kind: type, what: str) -> Any:
    value = _member(values, key, where)
    if not isinstance(value, kind):
        raise MacgenError(f"{where}: {key} {shown(value)} is not {what}; {_ACCEPTED}")
    return value


def _list(values: Any, key: str, where: str) -> list[Any]:
    found: list[Any] = _typed(values, key, where, list, "a list")
    return found


def _object(values: Any, key: str, where: str) -> dict[str, Any]:
    found: dict[str, Any] = _typed(values, key, where, dict, "an object")
    return found


def _text(values: Any, key: str, where: str) -> str:
    return str(_typed(values, key, where, str, "a string"))


def _positive(values: Any, key: str, where: str) -> int:
    value = _member(values, key, where)
    return check_integer(f"{where}: {key}", value, 1, MAX_COUNT, f"; {_ACCEPTED}")
