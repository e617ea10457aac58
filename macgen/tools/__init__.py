"""External tools: where they are, how a command is run, and where it works."""

from macgen.tools.commands import check_timeout, check_written, ended, last_message, run, side_by_side
from macgen.tools.executables import NAMES, Tool, all_tools, find, require, require_all
from macgen.tools.verilated import compile_verilated
from macgen.tools.work import Work, cache_variables, work_directory

__all__ = [
    "NAMES",
    "Tool",
    "Work",
    "all_tools",
    "cache_variables",
    "check_timeout",
    "check_written",
    "compile_verilated",
    "ended",
    "find",
    "last_message",
    "require",
    "require_all",
    "run",
    "side_by_side",
    "work_directory",
]
