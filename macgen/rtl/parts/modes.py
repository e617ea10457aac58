"""What depends on the mode of an array, whose precision changes while it runs (docs/arithmetic.md section 10)."""

from collections.abc import Callable, Hashable, Sequence
from functools import reduce
from operator import or_
from typing import Any, TypeVar

from amaranth.hdl import Cat, Mux, Value
from amaranth.lib.wiring import In

_Key = TypeVar("_Key", bound=Hashable)


def mode_bits(count: int) -> int:
    """Return the width of a mode's number, of so many modes; 0 for one."""
    return (count - 1).bit_length()


def mode_port(keys: Sequence[Hashable]) -> dict[str, Any]:
    """Return the member of a component that takes the mode's number; none where all modes have the same key."""
    return {"mode": In(mode_bits(len(keys)))} if len(set(keys)) > 1 else {}


def by_mode(mode: Value | None, keys: Sequence[_Key], make: Callable[[_Key], Value]) -> Value:
    """Return what the mode's key makes, each distinct one once.

    Parameters:
        mode: the mode's number; None where it does not matter.
        keys: of each mode.
        make: what is made of a key.
    """
    value = make(keys[0])
    for key in dict.fromkeys(keys):
        if key != keys[0]:
            assert mode is not None
            numbers = [number for number, other in enumerate(keys) if other == key]
            value = Mux(is_any_of(mode, numbers), make(key), value)
    return value


def is_any_of(mode: Value, numbers: Sequence[int]) -> Value:
    """Return whether the mode is one of some."""
    return reduce(or_, (mode == number for number in numbers))


def dropped_places(mode: Value | None, dropped: Sequence[int]) -> Value:
    """Return a one at each place that the mode drops, of so many last ones in each mode; other places are left out."""
    places = []
    for place in range(max(dropped)):
        assert mode is not None
        places.append(is_any_of(mode, [number for number, count in enumerate(dropped) if count > place]))
    return Cat(*places)
