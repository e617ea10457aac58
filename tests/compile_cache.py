"""A compiler launcher that compiles nothing twice: `python compile_cache.py DIRECTORY g++ -Os ... x.cpp`.

Verilator's makefiles put what OBJCACHE names before each compile. The runtime is the same in all models and takes most
of the time of a small one; the tests also build some models several times. What a model's own sources are compiled to
depends on the other files of the model beside them. The tests simulate a few thousand cycles, for which the compiler
need not optimise.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path


def main(store: Path, command: list[str]) -> int:
    """Run a compile, or copy the object that the same one gave before; return the exit code."""
    command = ["-O0" if word == "-Os" else word for word in command]
    sources = [Path(word) for word in command if word.endswith(".cpp")]
    if len(sources) != 1 or "-o" not in command:
        return subprocess.call(command)
    at = command.index("-o") + 1
    output, rest = Path(command[at]), command[:at] + command[at + 1 :]
    key = hashlib.sha256("\0".join(rest).encode() + sources[0].read_bytes())
    if not (sources[0].parent / "verilated.h").is_file():
        for path in sorted(path for path in Path().iterdir() if path.suffix in (".h", ".cpp")):
            key.update(path.name.encode() + path.read_bytes())
    kept = store / f"{key.hexdigest()}.o"
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
