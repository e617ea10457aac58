"""The program `macgen`, also as `python -m macgen`: signals are caught before anything else is loaded."""

from __future__ import annotations

from macgen.interrupts import run_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process."""
    run_program(_command)


def _command() -> NoReturn:
    from macgen.cli.main import cli

    cli.main()


if __name__ == "__main__":
    main()
