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

    def after(self, part: str, *values: Value) -> tuple[Value, ...]:
        """Return the values that a part gives, from registers if they stand there."""
        if part not in self._parts:
            return values
        registers = delay(self._m, part, *self.beside.values(), *values)
        self.beside = dict(zip(self.beside, registers, strict=False))
        return tuple(registers[len(self.beside) :])


def delay(m: Module, name: str, *values: Value) -> list[Signal]:
    """Return the values a cycle later."""
    registers = []
    for index, value in enumerate(values):
        register = Signal(value.shape(), name=f"{name}_{index}", reset_less=True)
        m.d.sync += register.eq(value)
        registers.append(register)
    return registers


def delayed(m: Module, name: str, value: Value, cycles: int) -> Value:
    """Return a value some cycles later."""
    for cycle in range(cycles):
        (value,) = delay(m, f"{name}_{cycle}", value)
    return value
