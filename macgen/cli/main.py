"""The `macgen` command: its subcommands, loaded when called, and what becomes of errors.

Exit codes: 0, done; 1, a check that a command exists for found something wrong, or no answer; 2, refused, with one
sentence on standard error; 130, interrupted.
"""

import errno
import importlib
import io
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from macgen.errors import MacgenError, escaped
from macgen.version import __version__

EXIT_REFUSED = 2

COMMANDS = {
    "plan": "Compute how wide accumulators have to be, for a length, a network or an ONNX model.",
    "emulate": "Run an ONNX model on an arithmetic, bit for bit: accuracy, noise of each layer.",
    "build": "Generate an array: Verilog, constraints, manifest.",
    "compress": "Generate a unit that compresses gradients with AdaComp.",
    "verify": "Simulate a built array and compare it with the golden model, bit for bit.",
    "report": "Synthesize a built array: area, depth, LUTs, power, next to an FP32 or int32 accumulator.",
    "system": "Show how a built array works through matrix products, or a network's layers.",
    "presets": "List the catalogue of known formats, or print one as a spec file.",
    "doctor": "Show which external tools are there, and what each is for.",
}
"""Every command with its line in the overview; `macgen.cli.<command>` holds it under its own name."""


class _Commands(click.Group):
    """The group of all commands. Turns what goes wrong into one sentence and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"macgen.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> NoReturn:
        extra |= {"prog_name": "macgen", "standalone_mode": False}
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # what does not know a character gets its code
                stream.reconfigure(errors="backslashreplace")
        try:
            code = super().main(args, *rest, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message())
            code = 0
        except click.UsageError as error:
            hint = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
            code = _refuse(error.format_message().rstrip(".").replace(". ", " ") + hint)
        except click.ClickException as error:
            code = _refuse(error.format_message())
        except MacgenError as error:
            code = _refuse(str(error))
        except OSError as error:
            if error.errno == errno.ENOSPC:
                code = _refuse(f"standard output cannot be written ({error.strerror}); accepted is one with room")
            elif not _working_directory_exists():
                code = _refuse("the working directory has been removed; accepted is one that exists")
            else:
                raise
        except click.Abort:
            warnings.simplefilter("ignore")  # Amaranth would warn of modules that were never finished
            raise KeyboardInterrupt from None  # what Click made of it; `run_program` says so
        sys.exit(code)


def _working_directory_exists() -> bool:
    try:
        Path.cwd()
    except OSError:
        return False
    return True


def _refuse(message: str) -> int:
    click.echo(f"macgen: error: {escaped(' '.join(message.split()))}", file=sys.stderr)
    return EXIT_REFUSED


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="macgen %(version)s")
def cli() -> None:
    """Generate multiply-accumulate arrays with narrow accumulators, and prove and price them.

    \b
    A session:
      macgen plan --network resnet18 --batch 256 --chunk 64
      macgen build --acc-bits 12 --chunk 64 -o build/mac12
      macgen verify build/mac12
      macgen report build/mac12

    Numbers are written as the field does: e5m2 (a float with 5 exponent and 2 mantissa bits), e4m3fn, fp16, bf16,
    fp32, int8, uint4, fix8.8 (two's complement with 8 bits before and after the point), fix12.-4 (8 bits, the last
    one counts 16).

    \b
    Exit codes: 0 done; 1 verification failed or undecided, or doctor misses a tool; 2 refused,
    with one sentence that says why; 130 interrupted.
    """
