"""How a program of macgen ends when it is told to: SIGTERM and SIGHUP do what Ctrl-C does, with one line and no trace.

This module loads next to nothing, so that a program can catch signals before it imports the rest.
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from types import FrameType
    from typing import NoReturn
else:
    import _signal as signal  # what `signal` makes enumerations of: to load those takes as long as all else here

EXIT_INTERRUPTED = 130

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What asks a program to end: Ctrl-C, `kill` and service managers, a terminal that is closed."""

PATIENCE_S = 3.0
"""Seconds in which a program that was told to end tidies up, and is not disturbed by being told again."""

_AGAIN_S = 0.01
"""Seconds until an interrupt comes again that Python dropped, as it was raised in a destructor."""


def run_program(main: Callable[[], object]) -> NoReturn:
    """Run the main function of this process's program, and end the process.

    The first of `SIGNALS` raises KeyboardInterrupt in `main`. Those that follow are let pass for `PATIENCE_S`, so that
    what tidies up is not cut off; a later one ends the process at once. Signals that the process was started to ignore,
    as by `nohup`, stay ignored.

    Parameters:
        main: returns the exit code as `sys.exit` takes it, or raises SystemExit.

    Raises:
        SystemExit: with that code; 130 after an interrupt that `main` let through.
    """
    caught = [number for number in SIGNALS if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    first: list[float] = []
    told_otherwise = sys.unraisablehook

    def interrupt(number: int, frame: FrameType | None) -> None:
        if not first:
            first.append(time.monotonic())
            raise KeyboardInterrupt
        if time.monotonic() - first[0] > PATIENCE_S:
            os._exit(EXIT_INTERRUPTED)

    def unraisable(dropped: sys.UnraisableHookArgs) -> None:
        if dropped.exc_type is KeyboardInterrupt:
            first.clear()
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
        else:
            told_otherwise(dropped)

    try:
        sys.unraisablehook = unraisable
        for number in (*caught, signal.SIGALRM):
            signal.signal(number, interrupt)
        try:
            code = main()
        finally:
            for number in (*caught, signal.SIGALRM):  # the interpreter would print tracebacks at its end
                signal.signal(number, signal.SIG_IGN)
    except Exception:
        if not first:
            raise
        code = _interrupted()  # what was interrupted may have made another exception of it, as class statements do
    except KeyboardInterrupt:
        code = _interrupted()
    sys.exit(code)  # type: ignore[arg-type]


def _interrupted() -> int:
    name = os.path.basename(sys.argv[0]) if sys.argv else ""  # noqa: PTH119
    print(f"{'macgen' if name in ('', '-c', '__main__.py') else name}: interrupted", file=sys.stderr)
    return EXIT_INTERRUPTED
