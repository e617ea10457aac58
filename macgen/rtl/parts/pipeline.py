"""Registers in an addition that takes several cycles, and beside it."""

from collections.abc import Collection, Mapping

from amaranth.hdl import Module, Signal, Value


class Cuts:
    """The registers of an addition.

    Parameters:
        m: module that gets them.
        parts: the parts of the addition after which registers stand.
        beside: by name, what goes beside the addition to its end.

    Attributes:
        beside: the same, as it is after the parts so far.
    """

    def __init__(self, m: Module, parts: Collection[str], beside: Mapping[str, Value]) -> None:
        self._m = m
        self._parts = parts
        self.beside = dict(beside)

    def after(self, part: str, **values: Value) -> list[Value]:
        """Return the values that a part gives, from registers if they stand there."""
        if part not in self._parts:
            return list(values.values())
        self.beside = dict(zip(self.beside, delay(self._m, part, **self.beside), strict=True))
        return delay(self._m, part, **values)


def delay(m: Module, part: str, **values: Value) -> list[Value]:
    """Return the values a cycle later, from registers that have their names and that of the part before them."""
    registers: list[Value] = []
    for name, value in values.items():
        register = Signal(value.shape(), name=f"{part}_{name}", reset_less=True)
        m.d.sync += register.eq(value)
        registers.append(register)
    return registers


def delayed(m: Module, name: str, value: Value, cycles: int) -> Value:
    """Return a value some cycles later."""
    for cycle in range(cycles):
        (value,) = delay(m, name, **{str(cycle): value})
    return value
