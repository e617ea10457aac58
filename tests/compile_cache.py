"""A compiler launcher that compiles Verilator's runtime once: `python compile_cache.py DIRECTORY g++ -Os ... x.cpp`.

Verilator's makefiles put what OBJCACHE names before each compile. The runtime is the same in all models and takes most
of the time of a small one; everything else is compiled as it comes.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path


def main(store: Path, command: list[str]) -> int:
    """Run a compile, or copy the object that the same one gave before; return the exit code."""
    sources = [Path(word) for word in command if word.endswith(".cpp")]
    if len(sources) != 1 or "-o" not in command or not (sources[0].parent / "verilated.h").is_file():
        return subprocess.call(command)
    at = command.index("-o") + 1
    output, rest = Path(command[at]), command[:at] + command[at + 1 :]
    key = hashlib.sha256("\0".join(rest).encode() + sources[0].read_bytes()).hexdigest()
    kept = store / f"{key}.o"
    if kept.exists():
        shutil.copyfile(kept, output)
        return 0
    code = subprocess.call(command)
    if code == 0:
        keep(output, kept)
    return code


def keep(output: Path, kept: Path) -> None:
    """Put an object into the store, where others may put the same one at the same time."""
    part = kept.with_suffix(f".{os.getpid()}")
    shutil.copyfile(output, part)
    part.replace(kept)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
