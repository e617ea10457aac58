"""The program `macgen`, also as `python -m macgen`: signals are caught before anything else is loaded."""

from __future__ import annotations

import gc

from macgen.interrupts import run_program

_COLLECTED_AFTER = 10_000
"""New objects after which Python looks for garbage in cycles. What a command loads is none; to look for it after every
700, as Python does by itself, takes a tenth of a short command's time."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process."""
    run_program(_command)


def _command() -> NoReturn:
    gc.set_threshold(_COLLECTED_AFTER)
    from macgen.cli.main import cli

    cli.main()


if __name__ == "__main__":
    main()
