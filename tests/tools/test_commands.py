"""How a command gets its order, how it has ended, and whether a script of Yosys wrote what it was to write."""

import os
import sys
import time

import pytest

from macgen import tools
from macgen.errors import ToolError


@pytest.mark.parametrize(
    ("code", "words"),
    [(3, "failed with exit code 3"), (-9, "was ended by SIGKILL"), (-11, "was ended by SIGSEGV")],
)
def test_how_a_command_has_ended(code, words):
    assert tools.ended(code) == words


@pytest.mark.parametrize("text", [None, "", '{"modules": {', '{"modules": {}}\n' + " " * 100])
def test_a_netlist_that_is_not_whole_is_refused(text, tmp_path):
    if text is not None:
        (tmp_path / "a.json").write_text(text)
    with pytest.raises(ToolError) as caught:
        tools.check_written(["proc", "write_json a.json"], cwd=tmp_path, log=tmp_path / "log", name="Yosys")
    assert str(caught.value) == f"Yosys gave no a.json that is whole; its log is {tmp_path / 'log'}"


def test_a_whole_netlist_is_not_refused(tmp_path):
    (tmp_path / "a.json").write_text('{"modules": {}\n}\n')
    tools.check_written(["proc", "write_json a.json"], cwd=tmp_path, log=tmp_path / "log", name="Yosys")


_READS = "import sys; print('told', sys.stdin.read().split())"


def run(tmp_path, script, **options):
    options = {"timeout": 60, "name": "reader", **options}
    return tools.run([sys.executable, "-c", script], cwd=tmp_path, log=tmp_path / "log", **options)


@pytest.mark.parametrize(("order", "read"), [(None, []), (lambda: "script array.ys", ["script", "array.ys"])])
def test_a_command_reads_its_order_and_the_end(order, read, tmp_path):
    assert run(tmp_path, _READS, order=order) == 0
    assert (tmp_path / "log").read_text().splitlines()[1:] == [f"told {read}"]


def test_an_order_is_prepared_while_the_command_starts(tmp_path):
    started = "import os, sys; open(str(os.getpid()), 'w').close(); sys.stdin.read()"

    def order():
        while not any(name.isdecimal() for name in os.listdir(tmp_path)):
            time.sleep(0.01)
        return "go on"

    assert run(tmp_path, started, order=order) == 0


@pytest.mark.parametrize("error", [ValueError("no"), OSError("none"), KeyboardInterrupt()])
def test_a_command_ends_when_there_is_no_order_for_it(error, tmp_path):
    started = "import os, sys, time; open(str(os.getpid()), 'w').close(); time.sleep(600)"
    found = []

    def order():
        while not found:
            found.extend(int(name) for name in os.listdir(tmp_path) if name.isdecimal())
        raise error

    with pytest.raises(type(error)) as caught:
        run(tmp_path, started, order=order)
    assert caught.value is error
    with pytest.raises(ProcessLookupError):
        os.kill(found[0], 0)


def test_a_command_that_ends_before_its_order_is_reported_as_ever(tmp_path):
    log = tmp_path / "log"

    def order():
        while "no reader" not in log.read_text():
            time.sleep(0.01)
        return "go on"

    with pytest.raises(ToolError) as caught:
        run(tmp_path, "import os; os.close(0); print('error: no reader', flush=True); os._exit(3)", order=order)
    assert str(caught.value) == f"reader failed with exit code 3: error: no reader; its log is {log}"


def test_the_time_limit_counts_from_the_order(tmp_path):
    with pytest.raises(ToolError, match=r"^reader was stopped after its limit of 0\.2 s; its log is "):
        run(tmp_path, "import sys, time; sys.stdin.read(); time.sleep(600)", order=lambda: "go on", timeout=0.2)
