"""What happened in additions (docs/arithmetic.md section 9)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Events:
    """How many additions of one kind there were, and in how many of them something was lost.

    Attributes:
        additions: all of them.
        saturated: those that raised the flag `overflow`.
        flushed: those that raised the flag `underflow`.
        swamped: those that left a finite accumulator other than 0 as it was, without a flag, though the addend was
            finite and not 0.
    """

    additions: int = 0
    saturated: int = 0
    flushed: int = 0
    swamped: int = 0

    def __add__(self, other: "Events") -> "Events":
        return Events(
            self.additions + other.additions,
            self.saturated + other.saturated,
            self.flushed + other.flushed,
            self.swamped + other.swamped,
        )


@dataclass(frozen=True)
class Counts:
    """The events of all results of a call.

    Attributes:
        steps: additions to the inner accumulator.
        folds: additions of chunk sums to the outer accumulator.
    """

    steps: Events = Events()
    folds: Events = Events()

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.steps + other.steps, self.folds + other.folds)

    @property
    def all(self) -> Events:
        """Steps and folds together."""
        return self.steps + self.folds
