"""What choices of pipeline stages and turns gave, as people read it."""

from rich.console import Console

from macgen.cost.meeting import Choice
from macgen.presentation.tables import new_table, print_table


def print_trials(choice: Choice, clock_mhz: float, console: Console) -> None:
    """Print the clock that each choice reaches, and which one was taken."""
    table = new_table()
    for title in ("Pipeline", "Interleave", "MHz, one PE"):
        table.add_column(title, justify="right")
    table.add_column("")
    for trial in choice.trials:
        is_taken = (trial.pipeline, trial.interleave) == (choice.spec.pipeline, choice.spec.interleave)
        mark = ("chosen" if choice.met else "the fastest") if is_taken else ""
        table.add_row(str(trial.pipeline), str(trial.interleave), f"{trial.mhz:.1f}", mark)
    print_table(table, console)
    if not choice.met:
        console.print(f"No choice reaches {clock_mhz:g} MHz; nothing was built.")
