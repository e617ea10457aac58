"""How long writing a bundle takes: median processor time of `macgen build`, next to the 4 x 4 array of the same run."""

import os
import statistics
import subprocess
import sys

from rich.console import Console
from rich.table import Table

from macgen.interrupts import run_program
from macgen.lifetime import temporary_directory

SIZES = (4, 16, 64)
RUNS = 3


def seconds(side: int) -> float:
    """Return the median processor time of building the default preset as a side x side array."""
    times = []
    for _ in range(RUNS):
        with temporary_directory() as directory:
            before = os.times()
            # A process of its own: one that has written an array keeps its Verilog.
            command = [sys.executable, "-m", "macgen", "build", "--rows", str(side), "--cols", str(side), "--output"]
            subprocess.run([*command, directory.path / "mac"], check=True, capture_output=True, timeout=600)
            times.append(sum(os.times()[:4]) - sum(before[:4]))
    return statistics.median(times)


def main() -> None:
    """Print the table."""
    table = Table(title=f"macgen build, default preset, median of {RUNS}")
    for heading in ("array", "processor seconds", "ratio to 4 x 4"):
        table.add_column(heading, justify="right")
    measured = {side: seconds(side) for side in SIZES}
    for side, time_taken in measured.items():
        table.add_row(f"{side} x {side}", f"{time_taken:.2f}", f"{time_taken / measured[4]:.1f}")
    Console().print(table)


if __name__ == "__main__":
    run_program(main)
