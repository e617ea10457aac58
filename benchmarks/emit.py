"""How long `macgen build` takes, start and end of the process included, next to the 4 x 4 array of the same run.

Yosys starts while Python makes the array, so on two free cores a build takes less time than it keeps processors busy.
"""

import os
import statistics
import subprocess
import sys
import time

from rich.console import Console
from rich.table import Table

from macgen.interrupts import run_program
from macgen.lifetime import temporary_directory

SIZES = (4, 16, 64)
RUNS = 3


def seconds(side: int) -> tuple[float, float]:
    """Return the median time and the median processor time of building the default preset as a side x side array."""
    times, busy = [], []
    for _ in range(RUNS):
        with temporary_directory() as directory:
            before, start = os.times(), time.perf_counter()
            # A process of its own: one that has written an array keeps its Verilog.
            command = [sys.executable, "-m", "macgen", "build", "--rows", str(side), "--cols", str(side), "--output"]
            subprocess.run([*command, directory.path / "mac"], check=True, capture_output=True, timeout=600)
            times.append(time.perf_counter() - start)
            busy.append(sum(os.times()[:4]) - sum(before[:4]))
    return statistics.median(times), statistics.median(busy)


def main() -> None:
    """Print the table."""
    table = Table(title=f"macgen build, default preset, medians of {RUNS}")
    for heading in ("array", "seconds", "processor seconds", "of these, ratio to 4 x 4"):
        table.add_column(heading, justify="right")
    measured = {side: seconds(side) for side in SIZES}
    for side, (taken, busy) in measured.items():
        table.add_row(f"{side} x {side}", f"{taken:.2f}", f"{busy:.2f}", f"{busy / measured[4][1]:.1f}")
    Console().print(table)


if __name__ == "__main__":
    run_program(main)
