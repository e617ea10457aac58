"""C++ programs around modules that Verilator compiles."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from macgen.tools.commands import run, side_by_side
from macgen.tools.executables import require


def compile_verilated(
    main: Path, models: Mapping[str, str], verilog: Sequence[str | Path], *, work: Path, timeout: float
) -> Path:
    """Compile a C++ program and the Verilog modules that it drives.

    What the environment's OBJCACHE names, as in Verilator's own makefiles, is put before the compiles of Verilator's
    runtime. They are the same for all programs.

    Parameters:
        main: the program's source; it finds what is beside it and in `work`.
        models: the module of each model; of the model `x`, `Vx.h` has the class `Vx`.
        verilog: files with the modules.
        work: directory for everything that is written, the logs among it.
        timeout: limit in seconds of each command.

    Returns:
        The program, in `work` and with the name of its source.

    Raises:
        ToolError: a tool is missing, failed or ran out of time; the sentence names the log.
    """
    verilator = require("verilator")

    def verilate(log: str, *options: str | Path) -> None:
        run(
            [*verilator.command, *options],
            cwd=work,
            log=work / log,
            timeout=timeout,
            env=verilator.environment(),
            name="Verilator",
        )

    sources = [main]
    for model, module in models.items():
        options = ["--cc", "--top-module", module, "--prefix", f"V{model}", "--Mdir", model, "-Wno-fatal"]
        verilate(f"verilate_{model}.txt", *options, "-O3", *verilog)
        sources.append(work / f"{model}.cpp")
        parts = [f'#include "{model}/{path.name}"' for path in sorted((work / model).glob("*.cpp"))]
        sources[-1].write_text("\n".join([*parts, ""]), encoding="utf-8")
    verilate("root.txt", "--getenv", "VERILATOR_ROOT")
    root = Path((work / "root.txt").read_text(encoding="utf-8").splitlines()[-1]) / "include"

    compiler, launcher = require("g++").command, shlex.split(os.environ.get("OBJCACHE", ""))
    of_runtime = [f"-I{path}" for path in (root, root / "vltstd")]
    of_models = [f"-I{path}" for path in (".", main.parent, *models)]

    def compile_one(source: Path) -> None:
        runtime = source.is_relative_to(root)
        flags = ["-std=gnu++17", "-w", "-pthread", "-DVERILATOR=1", "-DVM_TRACE=0", *of_runtime]
        flags += ["-Os"] if runtime else ["-O2", *of_models]
        run(
            [*(launcher if runtime else ()), *compiler, *flags, "-c", source, "-o", f"{source.stem}.o"],
            cwd=work,
            log=work / f"compile_{source.stem}.txt",
            timeout=timeout,
        )

    sources += [root / "verilated.cpp", root / "verilated_threads.cpp"]
    side_by_side(*(lambda source=source: compile_one(source) for source in sources))
    objects = [f"{source.stem}.o" for source in sources]
    run([*compiler, "-pthread", *objects, "-o", main.stem], cwd=work, log=work / "link.txt", timeout=timeout)
    return work / main.stem
