"""Pipeline registers: of an addition that takes several cycles, and of what waits for it."""

from collections.abc import Collection, Mapping

from amaranth.hdl import Module, Signal, Value


class PipelineRegisters:
    """The registers of an addition that takes several cycles.

    Parameters:
        m: module that gets them.
        stages: those of the addition after which registers stand.
        carried: by name, what goes along to the end of the addition.

    Attributes:
        carried: the same, as it is after the stages so far.
    """

    def __init__(self, m: Module, stages: Collection[str], carried: Mapping[str, Value]) -> None:
        self._m = m
        self._stages = stages
        self.carried = dict(carried)

    def after(self, stage: str, **values: Value) -> list[Value]:
        """Return the values that a stage gives, from registers if they stand there."""
        if stage not in self._stages:
            return list(values.values())
        self.carried = dict(zip(self.carried, _registers(self._m, stage, self.carried), strict=True))
        return _registers(self._m, stage, values)


def delay(m: Module, stage: str, **values: Value) -> list[Value]:
    """Return the values a cycle later, from registers that have their names and that of the stage before them."""
    return _registers(m, stage, values)


def delayed(m: Module, name: str, value: Value, cycles: int, *, resets: bool = False) -> Value:
    """Return a value some cycles later; after a reset 0 for as long, where it resets the registers."""
    for cycle in range(cycles):
        (value,) = _registers(m, name, {str(cycle): value}, resets=resets)
    return value


def _registers(m: Module, stage: str, values: Mapping[str, Value], *, resets: bool = False) -> list[Value]:
    """Return registers for values, whose source is the line that needs them, two calls above."""
    registers: list[Value] = []
    for name, value in values.items():
        register = Signal(value.shape(), name=f"{stage}_{name}", reset_less=not resets, src_loc_at=2)
        m.d.sync += register.eq(value)
        registers.append(register)
    return registers
