"""The line that says what is being done, in the columns that a terminal has."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table

_BAR = (4, 40)
"""Columns of a bar, at least and at most."""


class ProgressLine(Progress):
    """Shows of its parts those that fit whole: a number that is cut is another number.

    Left out are in turn the bar, the time that is left, the time that has passed, the steps, the spinner. What is being
    done stays; it takes several lines if it must.

    Parameters:
        console: where to show it.
        counted: whether steps are counted, of which a bar tells the share.
    """

    def __init__(self, console: Console, *, counted: bool) -> None:
        spinner = SpinnerColumn("dots" if console.encoding.startswith("utf") else "line")
        described, elapsed = TextColumn("{task.description}", markup=False), TimeElapsedColumn()
        self._bar, self._terminal = BarColumn(), console
        self._parts: list[ProgressColumn] = [spinner, described, elapsed]
        self._left_out: list[ProgressColumn] = [elapsed, spinner]
        if counted:
            steps, remaining = MofNCompleteColumn(), TimeRemainingColumn()
            self._parts = [spinner, described, self._bar, steps, elapsed, remaining]
            self._left_out = [self._bar, remaining, elapsed, steps, spinner]
        self._alone = TextColumn("{task.description}", markup=False, table_column=Column(overflow="fold"))
        super().__init__(*self._parts, console=console, transient=True)

    def make_tasks_table(self, tasks: Iterable[Task]) -> Table:
        """Return what is shown; called by rich."""
        tasks = list(tasks)
        parts = list(self._parts)
        for part in self._left_out:
            if self._room(parts, tasks) >= 0:
                break
            parts.remove(part)
        # Of what is too wide, rich would cut every part a little.
        self._bar.bar_width = min(_BAR[0] + max(0, self._room(parts, tasks)), _BAR[1])
        self.columns = tuple(parts) if len(parts) > 1 else (self._alone,)
        return super().make_tasks_table(tasks)

    def _room(self, parts: Sequence[ProgressColumn], tasks: Sequence[Task]) -> int:
        """Return the columns of the terminal that parts leave, with spaces between them and the least of a bar."""
        widths = (
            _BAR[0]
            if part is self._bar
            else max([1, *(self._terminal.measure(part(task)).maximum for task in tasks)])  # 1 of nothing, too
            for part in parts
        )
        return self._terminal.width - sum(widths) - (len(parts) - 1)
