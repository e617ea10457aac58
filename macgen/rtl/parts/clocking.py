"""What moves the registers of a module: clock, reset, clock enable, and the names of their ports."""

from dataclasses import dataclass

ENABLE = "clk_en"
"""The clock enable's port of every module but perhaps the top."""


@dataclass(frozen=True)
class Clocking:
    """The ports of the top module that move its registers. Inside, they are `clk`, `rst` (active high) and `clk_en`.

    Attributes:
        clock: its rising edge counts.
        reset: its port.
        reset_low: whether 0 resets, not 1.
        asynchronous: whether a reset takes effect without a clock edge.
        enable: without it a clock edge does not count, but for a reset; None: there is none.
    """

    clock: str = "clk"
    reset: str = "rst"
    reset_low: bool = False
    asynchronous: bool = False
    enable: str | None = None

    @property
    def ports(self) -> tuple[str, ...]:
        """The names of all of them."""
        return (self.clock, self.reset, *(() if self.enable is None else (self.enable,)))

    @property
    def names_are_inner(self) -> bool:
        """Whether the top module's ports are called as those of the modules inside."""
        return (self.clock, self.reset) == ("clk", "rst") and self.enable in (None, ENABLE) and not self.reset_low

    @property
    def inner(self) -> "Clocking":
        """Return what the modules inside have."""
        return Clocking(asynchronous=self.asynchronous, enable=None if self.enable is None else ENABLE)

    def comments(self) -> dict[str, str]:
        """Return what is said of each port."""
        style = "asynchronous" if self.asynchronous else "synchronous"
        texts = {self.clock: "", self.reset: f"{style}, active {'low' if self.reset_low else 'high'}"}
        if self.enable is not None:
            texts[self.enable] = "a clock edge without it changes nothing, but for a reset"
        return texts
