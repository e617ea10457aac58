"""Programs that are told to end, each in a process of its own."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from macgen.interrupts import SIGNALS
from tests.cli.interruption import heed_signals

ROOT = Path(__file__).resolve().parent.parent

START = """
import os, signal, sys, time
from macgen import interrupts
tell = lambda text: print(text, flush=True)
"""


def program(main: str, *, ignore=()) -> subprocess.Popen[str]:
    """Start a program whose main function is given, and wait until that has printed `ready`."""
    script = f"{START}\ndef main():\n{main}\ninterrupts.run_program(main)"

    def begin():
        heed_signals()
        for number in ignore:
            signal.signal(number, signal.SIG_IGN)

    command = [sys.executable, "-c", script]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, preexec_fn=begin)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def end(process) -> tuple[int, str, str]:
    stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout, stderr


WAIT = """
    try:
        tell("ready")
        time.sleep(60)
    finally:
        tell("tidy")
        time.sleep(0.3)
        tell("tidied")
"""


@pytest.mark.parametrize("number", SIGNALS)
def test_each_signal_ends_a_program_in_its_own_time(number):
    """One line and exit code 130; what tidies up is not cut off by signals that follow."""
    process = program(WAIT)
    process.send_signal(number)
    assert process.stdout.readline() == "tidy\n"
    for other in SIGNALS:
        process.send_signal(other)
    assert end(process) == (130, "tidied\n", "macgen: interrupted\n")


def test_one_that_does_not_end_is_ended_by_a_later_signal():
    process = program("    interrupts.PATIENCE_S = 0.2\n" + WAIT.replace("time.sleep(0.3)", "time.sleep(60)"))
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "tidy\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    assert end(process) == (130, "", "")


@pytest.mark.parametrize("number", SIGNALS)
def test_what_was_ignored_from_the_start_stays_ignored(number):
    """As with nohup, and of Ctrl-C in jobs in the background."""
    process = program(
        '    tell("ready")\n    sys.stdin.readline()\n    time.sleep(0.2)\n    tell("done")', ignore=[number]
    )
    process.send_signal(number)
    assert end(process) == (0, "done\n", "")


def test_an_interrupt_in_a_destructor_is_not_lost():
    main = """
    class Interrupted:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
    tell("ready")
    Interrupted()
    time.sleep(60)
"""
    assert end(program(main)) == (130, "", "macgen: interrupted\n")


def test_an_interrupt_that_became_another_exception_is_one():
    main = """
    class Named:
        def __set_name__(self, owner, name):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
    tell("ready")
    class Owner:
        named = Named()
"""
    assert end(program(main)) == (130, "", "macgen: interrupted\n")


def test_who_imports_macgen_keeps_its_signal_handlers():
    script = (
        "import signal, sys\n"
        "handlers = lambda: [signal.getsignal(number) for number in signal.valid_signals()] + [sys.unraisablehook]\n"
        "before = handlers()\n"
        "import macgen, macgen.__main__, macgen.cli.main, macgen.interrupts\n"
        "for name in macgen.__all__: getattr(macgen, name)\n"
        "print(handlers() == before)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout == "True\n"


def test_after_the_program_no_signal_prints_anything():
    main = """
    import atexit
    atexit.register(lambda: [os.kill(os.getpid(), number) for number in interrupts.SIGNALS])
    tell("ready")
    return 3
"""
    assert end(program(main)) == (3, "", "")


def test_exit_codes_and_errors_pass():
    assert end(program('    tell("ready")\n    sys.exit("wrong")')) == (1, "", "wrong\n")
    assert end(program('    tell("ready")'))[0] == 0
    code, _, stderr = end(program('    tell("ready")\n    raise ZeroDivisionError'))
    assert code == 1
    assert stderr.splitlines()[-1] == "ZeroDivisionError"


def test_little_is_loaded_before_signals_are_caught():
    script = "import sys\nbefore = set(sys.modules)\nimport macgen.__main__\nprint(*sorted(set(sys.modules) - before))"
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{script}"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(result.stdout.split())
    assert {"macgen", "macgen.__main__", "macgen.interrupts", "macgen.version"} <= loaded
    assert not loaded & {"enum", "re", "typing", "signal", "subprocess", "click"}
