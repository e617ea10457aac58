"""Measurements that took long, kept in the user's cache folder from run to run.

They are numbers, in JSON: what cannot be read or was cut short is measured again. A folder that cannot be written is no
error, as it only costs time.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

_FORM = 2
"""Goes up when the flow or the record changes, so that no older measurement is taken for a new one."""


class Kept:
    """One measurement's place.

    Parameters:
        key: all that it depends on.
    """

    def __init__(self, key: tuple[Any, ...]) -> None:
        self._name = hashlib.sha256(repr((_FORM, key)).encode()).hexdigest()[:32] + ".json"

    def load(self, made: Callable[[Any], T]) -> T | None:
        """Return the measurement as `made` reads it; None if there is none."""
        try:
            return made(json.loads((_folder() / self._name).read_text(encoding="utf-8")))
        except (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError):
            return None

    def save(self, values: Mapping[str, Any]) -> None:
        """Keep the measurement, whole or not at all."""
        with contextlib.suppress(OSError, RuntimeError):
            folder = _folder()
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=folder, suffix=".part", delete=False) as file:
                try:
                    json.dump(values, file)
                    file.close()
                    Path(file.name).replace(folder / self._name)
                except BaseException:
                    Path(file.name).unlink(missing_ok=True)
                    raise


def _folder() -> Path:
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if Path(home).is_absolute() else Path.home() / ".cache") / "macgen" / "measurements"
