"""Run the command line in this process, or in one of its own."""

import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner, Result

from macgen.cli.main import cli


def invoke(*args, **kwargs) -> Result:
    """Run macgen in this process; what is no deliberate exit is raised."""
    result = CliRunner(catch_exceptions=False).invoke(cli, [str(arg) for arg in args], **kwargs)
    assert result.exit_code in (0, 1, 2, 130)
    return result


def refused(*args, **kwargs) -> str:
    """Run macgen, expect that it refuses with one sentence and no other output, and return the sentence."""
    result = invoke(*args, **kwargs)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("macgen: error: ")
    assert result.stderr.endswith("\n")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("macgen: error: ").rstrip("\n")


def command(*args) -> list[str]:
    """Return the command line that runs macgen in a process of its own."""
    return [sys.executable, "-m", "macgen", *(str(arg) for arg in args)]


def run(*args, cwd: Path, **kwargs) -> subprocess.CompletedProcess:
    """Run macgen in a process of its own."""
    return subprocess.run(command(*args), cwd=cwd, capture_output=True, text=True, timeout=300, check=False, **kwargs)


def tree(directory: Path) -> dict[str, bytes | None]:
    """Return everything below a directory: relative path to content, None for a directory."""
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None
        for path in sorted(directory.rglob("*"))
    }
