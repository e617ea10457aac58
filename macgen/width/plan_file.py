"""What `macgen build` reads of a plan's file, and the one accumulator that it takes for a layer or for all."""

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import IO, Any

from macgen.errors import MacgenError, check_path, check_type, shown, shown_path
from macgen.network.gemm import KINDS
from macgen.numerics import Format
from macgen.spec import MacSpec
from macgen.width.goal import Goal, Sum
from macgen.width.network_plan import SCHEMA, widest_format
from macgen.width.planned_row import PlannedRow as PlannedRow
from macgen.width.planned_row import rows_of
from macgen.width.planning import plan
from macgen.width.tensor_file import is_tensor_plan, tensor_plan_of
from macgen.width.tensors import TensorPlan

MAX_BYTES = 1 << 26
"""Of a plan; one GEMM takes about 1500."""

_ACCEPTED = "accepted is what macgen plan --json writes"


@dataclass(frozen=True)
class PlanFile:
    """A plan as it was read back.

    Attributes:
        goal: what was asked for.
        rows: its GEMMs.
    """

    goal: Goal
    rows: tuple[PlannedRow, ...]

    def spec(self, layer: str | None = None) -> MacSpec:
        """Return the spec that does for a layer, or for all rows.

        Rows with different chunk lengths (`--chunk auto`) are planned anew with that of the longest one.

        Parameters:
            layer: its name, or `NAME:KIND` for one of its GEMMs; None: all rows.

        Raises:
            MacgenError: there is no such layer, or no accumulator does for all of its rows.
        """
        rows = rows_of(self.rows, layer)
        longest = max(rows, key=lambda row: row.dot.length).spec
        formats: list[Format] = [row.spec.acc for row in rows]
        if any(row.spec.chunk != longest.chunk for row in rows):
            goal = replace(self.goal, chunk=longest.chunk)
            formats = [plan(goal, row.dot).chosen.acc for row in rows]
        return replace(longest, acc=widest_format(formats))

    def sums(self, layer: str | None = None) -> tuple[Sum, ...]:
        """Return the dot products of a layer, or of all rows; parameters and errors of `spec`."""
        return tuple(row.dot for row in rows_of(self.rows, layer))

    def remarks(self, layer: str | None = None) -> tuple[str, ...]:
        """Return what is to be known of `spec`: nothing."""
        return ()


def load_plan(path: Path | str) -> PlanFile | TensorPlan:
    """Return the plan in a file.

    Raises:
        MacgenError: the file cannot be read or is not what `NetworkPlan.to_json` or `TensorPlan.to_json` writes.
    """
    file = check_path("plan", path)
    name = f"plan {shown_path(file)}"
    try:
        if not file.is_file():
            raise MacgenError(f"{name} is no file; {_ACCEPTED}")
        with file.open("rb") as stream:
            return read_plan(stream, name)
    except MacgenError:
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no path"
        raise MacgenError(f"{name} cannot be read ({reason}); {_ACCEPTED}") from None


def read_plan(stream: IO[bytes], name: str) -> PlanFile | TensorPlan:
    """Return the plan in a stream, such as standard input.

    Parameters:
        stream: what `NetworkPlan.to_json` or `TensorPlan.to_json` writes, in UTF-8.
        name: what sentences call it.

    Raises:
        MacgenError: it is something else, or too long.
    """
    data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise MacgenError(f"{name} has more than {MAX_BYTES} bytes; {_ACCEPTED}")
    try:
        return parse_plan(data.decode("utf-8"), name)
    except UnicodeDecodeError:
        raise MacgenError(f"{name} cannot be read (not text); {_ACCEPTED}") from None


def parse_plan(text: str, name: str) -> PlanFile | TensorPlan:
    """Return the plan in a text.

    Parameters:
        text: what `NetworkPlan.to_json` or `TensorPlan.to_json` writes.
        name: what sentences call it.

    Raises:
        MacgenError: it is something else.
    """
    check_type("name", name, str, "a text")
    check_type("plan", text, (str, bytes, bytearray), "the text of a plan")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise MacgenError(f"{name} is not valid JSON; {_ACCEPTED}") from None
    _require(name, values, "", dict)
    if is_tensor_plan(values):
        return tensor_plan_of(values, name)
    schema = _member(name, values, "schema", int)
    if schema != SCHEMA:
        raise MacgenError(f"{name} has schema {shown(schema)}; accepted is {SCHEMA}")
    goal_values = _member(name, values, "goal", dict)
    known = {item.name for item in fields(Goal)}
    try:
        goal = Goal(**{key: value for key, value in goal_values.items() if key in known})
    except MacgenError as error:
        raise MacgenError(f"{name}, goal: {error}") from None
    rows = _member(name, values, "rows", list)
    if not rows:
        raise MacgenError(f"{name} has no rows; {_ACCEPTED}")
    return PlanFile(goal, tuple(_row(f"{name}, row {number}", row, goal) for number, row in enumerate(rows, start=1)))


def _row(name: str, values: Any, goal: Goal) -> PlannedRow:
    _require(name, values, "", dict)
    layer = _member(name, values, "layer", str)
    kind = _member(name, values, "kind", str)
    if kind not in KINDS:
        raise MacgenError(f"{name} has kind {shown(kind)}; accepted are {', '.join(KINDS)}")
    op = _member(name, {"op": "", **values}, "op", str)
    acc = _member(name, values, "acc", str)
    chunk = _member(name, values, "chunk", int, type(None))
    try:
        dot = Sum(
            length=_member(name, values, "length", int),
            nzr=_member(name, values, "nzr", int, float),
            rms=_member(name, values, "rms", int, float, type(None)),
            weight_l1=values.get("weight_l1"),
            weight_range=_tuples(values.get("weight_range")),
            reach=_tuples(values.get("reach", (None, None))),
        )
        a, b = goal.formats
        spec = MacSpec(a=a, b=b, acc=acc, chunk=chunk, outer=goal.outer, rounding=goal.rounding)
    except MacgenError as error:
        raise error if str(error).startswith(name) else MacgenError(f"{name}: {error}") from None
    return PlannedRow(layer, kind, dot, spec, op)


def _tuples(value: Any) -> Any:
    """Return lists, and lists in them, as tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _member(name: str, values: Any, key: str, *types: type) -> Any:
    if key not in values:
        raise MacgenError(f"{name} lacks {key!r}; {_ACCEPTED}")
    _require(name, values[key], f"{key} ", *types)
    return values[key]


def _require(name: str, value: object, what: str, *types: type) -> None:
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        names = {dict: "an object", list: "a list", str: "a string", int: "an integer", float: "a number"}
        accepted = " or ".join(names.get(kind, "null") for kind in types)
        raise MacgenError(f"{name}: {what}{shown(value)} is not {accepted}; {_ACCEPTED}")
