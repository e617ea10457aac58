"""Energy of a cycle, from the record of `macgen report`."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from macgen.cost.estimate import Report
from macgen.errors import MacgenError, check_path, is_real, shown, shown_path
from macgen.spec import MacSpec
from macgen.system.timing import Cycles

MAX_BYTES = 1 << 24
_ACCEPTED = "accepted is what macgen report --json writes"


@dataclass(frozen=True)
class Energy:
    """What cycles cost.

    Attributes:
        busy_pj: of a cycle in which the array takes beats and folds, full of random operands.
        idle_pj: of one in which nothing moves: clock and leakage.
        conditions: what the figures hold for: the report's.
    """

    busy_pj: float
    idle_pj: float
    conditions: Mapping[str, Any]

    def of(self, cycles: Cycles) -> float:
        """Return the energy of a matrix product in uJ: zeros that pad cost as much as operands."""
        busy = cycles.beats + cycles.folds
        return (busy * self.busy_pj + (cycles.total - busy) * self.idle_pj) * 1e-6


def energy_of(report: Report | str | os.PathLike[str], spec: MacSpec) -> Energy:
    """Return the energy of an array's cycles.

    Parameters:
        report: the record of `macgen.report`, or the file that `macgen report --json` wrote.
        spec: the array.

    Raises:
        MacgenError: the file cannot be read or is no report, or it is one of another array.
    """
    if isinstance(report, Report):
        name, values = "report", report.to_dict()
    else:
        path = check_path("report", report)
        name = f"report {shown_path(path)}"
        try:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
            if len(data) > MAX_BYTES:
                raise MacgenError(f"{name} is larger than {MAX_BYTES} bytes; {_ACCEPTED}")
            values = json.loads(data)
        except OSError as error:
            raise MacgenError(f"{name} cannot be read ({error.strerror}); {_ACCEPTED}") from None
        except MacgenError:
            raise
        except (ValueError, RecursionError):
            raise MacgenError(f"{name} is not valid JSON; {_ACCEPTED}") from None
    try:
        of_report, power, conditions = values["spec"], values["cost"]["power_mw"], values["conditions"]
        clock, total = conditions["clock_mhz"], power["total"]
        idle = power["clock"], power["leakage"]
        numbers = all(is_real(number) and 0 <= number < math.inf for number in (clock, total, *idle))
        if not numbers or clock == 0 or not isinstance(of_report, dict):
            raise TypeError
    except (LookupError, TypeError):
        raise MacgenError(f"{name} has not the figures of a report; {_ACCEPTED}") from None
    try:
        other = MacSpec.from_dict(of_report).core  # it is the core that a report prices
    except MacgenError as error:
        raise MacgenError(f"{name}: spec: {error}") from None
    theirs, ours = other.to_dict(), spec.core.to_dict()
    for field in {**ours, **theirs}:
        if theirs.get(field) != ours.get(field):
            raise MacgenError(
                f"{name} is of an array with {field} {shown(theirs.get(field))}, this one has "
                f"{shown(ours.get(field))}; accepted is a report of the same array"
            )
    pj_of_mw = 1e3 / clock
    return Energy(total * pj_of_mw, sum(idle) * pj_of_mw, conditions)
