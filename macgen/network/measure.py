"""Measured sparsity and ranges: the network computes sample inputs in a process of its own.

The engines run what a file says: a loop without end, or, in onnxruntime, a damaged model that takes the process down.
The process takes no modules from the current folder, and ends when the one that started it does, however that ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np

from macgen.errors import MacgenError, ToolError, check_choice, is_real, shown, shown_path
from macgen.lifetime import started, temporary_directory
from macgen.network.gemm import Gemm, Layer, Network
from macgen.network.measurement import Measurement, OperandStatistics
from macgen.network.onnx_file import model_file
from macgen.network.operand_format import OperandFormat
from macgen.network.operand_statistics import Engine, measure_here
from macgen.network.samples import Samples

MAX_MEMORY = 1 << 34
"""Bytes that the process may take; as many as the machine has, if that is less."""

_LONGEST_S = 1e9


def measure(path: str | Path, samples: Samples, *, engine: Engine | None = None, time_limit: float = 600.0) -> Network:
    """Return the network of an ONNX file with `measured` filled in, from one pass over sample inputs.

    The file is as for `from_onnx`; the batch and all open dimensions are the samples'. Weights in other files are read
    if these lie in the model's folder. Of quantised layers (integer operations, or both operands from DequantizeLinear)
    the integers are measured, less their zero points. Recurrent layers, attention, packed weights, deformable
    convolutions and layers in branches stay unmeasured.

    Parameters:
        path: the file.
        samples: array of the only input, or arrays by the inputs' names, as `load_samples` returns them; of a model
            that fixes its batch, any multiple of it.
        engine: `onnxruntime` or `reference` (the evaluator of the package onnx); None: the first if it is installed.
        time_limit: seconds that everything may take.

    Raises:
        MacgenError: the file or the samples are refused, the network cannot be run, takes too long, needs more than
            2**30 values at once, or computes infinities or NaN.
        ToolError: the engine's package is missing.
    """
    named = samples if isinstance(samples, Mapping) else {None: samples}
    if any(np.ma.is_masked(x) for x in named.values()):
        raise MacgenError("elements of samples are masked; accepted are arrays without a mask")
    try:
        arrays = [np.asarray(x) for x in named.values()]
    except Exception as error:  # whatever an object's own conversion raises
        raise MacgenError(f"samples are no arrays ({shown(str(error))}); accepted are arrays by input name") from None
    if engine is not None:
        check_choice("engine", engine, get_args(Engine))
    if not is_real(time_limit) or not 0 < time_limit <= _LONGEST_S:
        raise MacgenError(f"time_limit {shown(time_limit)} is not a positive number of seconds, up to {_LONGEST_S:g}")
    time_limit = float(time_limit)
    if any(x.dtype.kind not in "biuf" for x in arrays):
        raise MacgenError(f"samples are of types {shown([str(x.dtype) for x in arrays])}; accepted are numbers")
    path = model_file(path)
    with temporary_directory() as temporary:
        folder = temporary.path
        np.savez(folder / "samples.npz", *arrays)
        request = {"path": str(path), "names": list(named), "engine": engine, "time_limit": time_limit}
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        with started(
            [sys.executable, "-P", "-c", "from macgen.network.measure import answer; answer()", folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime would report the model's name and more to its makers
                "TMPDIR": str(folder),
            },
        ) as process:
            try:
                code = process.wait(time_limit)
            except subprocess.TimeoutExpired:
                raise MacgenError(
                    f"model {shown_path(path)} ran longer than {time_limit:g} s; accepted are fewer samples or more "
                    f"time"
                ) from None
        try:
            answer = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise MacgenError(
                f"model {shown_path(path)} cannot be run: its process ended with {_ending(code)}; accepted are "
                f"models that the engine can run"
            ) from None
    if "error" in answer:
        raise (ToolError if answer["tool"] else MacgenError)(answer["error"])
    return _network(answer["network"])


def answer() -> None:
    """Do what `measure` asks for in the folder that is the first argument; runs in the other process."""
    folder = Path(sys.argv[1])
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    _limit_resources(request["time_limit"])
    with np.load(folder / "samples.npz", allow_pickle=False) as loaded:
        arrays = {name: loaded[f"arr_{number}"] for number, name in enumerate(request["names"])}
    try:
        network = measure_here(request["path"], arrays.get(None, arrays), engine=request["engine"])
        result: dict[str, Any] = {"network": dataclasses.asdict(network)}
    except MacgenError as error:
        result = {"error": str(error), "tool": isinstance(error, ToolError)}
    (folder / "answer.json").write_text(json.dumps(result), encoding="utf-8")


def _limit_resources(time_limit: float) -> None:
    """Have the system limit this process, where it does that."""
    with contextlib.suppress(ImportError):
        import resource

        # Before all processors together have taken that long, the other process's clock has run out.
        seconds = math.ceil(min(time_limit, 1 << 30)) * (os.cpu_count() or 1)
        most = min(MAX_MEMORY, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        for kind, limit in (
            (resource.RLIMIT_CPU, seconds),
            (resource.RLIMIT_DATA, most),
            (resource.RLIMIT_CORE, 0),
        ):
            with contextlib.suppress(ValueError, OSError):  # a lower limit is set already
                resource.setrlimit(kind, (limit, limit))


def _ending(code: int) -> str:
    try:
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"status {code}"
    except ValueError:
        return f"signal {-code}"


def _network(fields: Mapping[str, Any]) -> Network:
    layers = []
    for layer in fields["layers"]:
        measured = None if layer["measured"] is None else _measurement(layer["measured"])
        a_format, b_format = (None if given is None else OperandFormat(**given) for given in layer["formats"])
        gemms = tuple(Gemm(**gemm) for gemm in layer["gemms"])
        layers.append(Layer(layer["name"], layer["op"], gemms, measured, (a_format, b_format)))
    passed_over = fields["skipped"], tuple(fields["uncounted"]), tuple(fields["unknown"])
    return Network(fields["name"], fields["batch"], tuple(layers), *passed_over)


def _measurement(fields: Mapping[str, Any]) -> Measurement:
    a, b = (OperandStatistics(**fields[which]) for which in "ab")
    by_sign, codes = fields["weight_range"], fields["codes"]
    return Measurement(
        a,
        b,
        fields["weight_l1"],
        None if by_sign is None else (*by_sign,),
        None if codes is None else _measurement(codes),
    )
