"""The C++ compilers that make kernels: where they are, and how one makes a shared library of a source."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HEADERS = Path(__file__).parent / "cpp"
"""Where the headers are that sources include."""

TIME_LIMIT_S = 300.0
"""Of one compile."""

# Results depend on the mode of rounding that a kernel sets and on additions that stay as they are written.
_FLAGS = (
    "-std=c++17",
    "-shared",
    "-fPIC",
    "-frounding-math",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-exceptions",
)
_NATIVE = "-march=native"


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler as found, without having run it.

    Attributes:
        name: what messages call it.
        command: starts it.
        identity: differs between compilers, versions and places.
        problem: why it cannot be run, if it cannot.
    """

    name: str
    command: tuple[str, ...]
    identity: str = ""
    problem: str | None = None

    def compile(self, source: str, library: Path, optimise: str) -> None:
        """Make a shared library of a source.

        Parameters:
            source: C++17; it may include what stands in `HEADERS`.
            library: the file to write.
            optimise: such as `-O3`.

        Raises:
            ToolError: the compiler cannot be started, fails, is killed or runs out of time; the sentence names its log.
            OSError: there is no place for its files.
        """
        import shutil

        from macgen import tools
        from macgen.errors import ToolError

        if self.problem is not None:
            raise ToolError(self.problem)
        with tools.work_directory(None, "kernel") as work:
            (work.path / "kernel.cpp").write_text(source, encoding="utf-8")

            def run(*flags: str) -> None:
                words = [*self.command, optimise, *flags, *_FLAGS, f"-I{HEADERS}", "-o", "kernel.so", "kernel.cpp"]
                tools.run(words, cwd=work.path, log=work.path / "log.txt", timeout=TIME_LIMIT_S, name=self.name)

            try:
                run(_NATIVE)
            except ToolError:  # not every compiler knows the processor that it runs on
                run()
            shutil.move(work.path / "kernel.so", library)
            work.keep = False


def compilers() -> Iterator[Compiler]:
    """Look for compilers, the first one to be taken first: `$CXX`, g++, clang++, that of the `ziglang` wheel."""
    if chosen := os.environ.get("CXX", "").strip():
        yield _chosen(chosen)
    for name, variable in (("g++", "MACGEN_GXX"), ("clang++", None)):
        path = _executable(os.environ.get(variable or "", "") or name)
        if path is not None:
            yield Compiler(name, (path,), _identity(path))
    if (wheel := _wheel()) is not None:
        # As `c++` it would first spend half a minute on a C++ library, of which kernels use nothing.
        command = (sys.executable, "-m", "ziglang", "cc", "-x", "c++")
        yield Compiler("zig", command, _identity(wheel))


def _wheel() -> str | None:
    """Return where the `ziglang` wheel is, if it is installed."""
    from importlib.util import find_spec

    wheel = find_spec("ziglang")
    return None if wheel is None else wheel.origin


def _chosen(text: str) -> Compiler:
    """Return the compiler that `$CXX` names, which may have arguments of its own."""
    import shlex

    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    path = _executable(words[0]) if words else None
    if path is None:
        return Compiler("$CXX", (), problem=f"CXX is {text!r}, which is no executable file")
    return Compiler(f"$CXX ({words[0]})", (path, *words[1:]), f"{_identity(path)} {words[1:]}")


def _executable(name: str) -> str | None:
    """Return where an executable file is, as `shutil.which` does, which takes longer to import than to call."""
    folders = [""] if "/" in name else os.environ.get("PATH", os.defpath).split(os.pathsep)
    for folder in folders:
        path = Path(folder, name)
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    return None


def _identity(path: str) -> str:
    """Return what changes when another version stands at a path; asking a compiler would take too long."""
    resolved = Path(path).resolve()
    status = resolved.stat()
    return f"{resolved} {status.st_mtime_ns} {status.st_size}"
