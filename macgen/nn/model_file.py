"""Models of torch and their data from files, as `macgen plan --per-tensor` takes them."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from macgen import nn
from macgen.errors import MAX_COUNT, MacgenError, check_integer, shown, shown_path
from macgen.width.tensor_statistics import Statistics, checked_magnitude

_ACCEPTED = "accepted are FILE.py:FUNCTION, which takes nothing and returns a model of torch, and an ONNX file"


def measured(
    model: str,
    data: Path,
    *,
    batch: int,
    epochs: int,
    learning_rate: float,
    seed: int,
    progress: Callable[[str], None],
) -> Statistics:
    """Train a model in float32 by gradient descent, and return what its tensors are planned from.

    Parameters:
        model: `FILE.py:FUNCTION`, and the file is run, its first weights being those that come after torch's generator
            was set to the seed; or an ONNX file, whose weights are those to begin with.
        data: an .npz file of x and y.
        batch, epochs, learning_rate, seed: of the training.
        progress: is called with what is being done.

    Raises:
        MacgenError: a file cannot be used, torch is missing, or an argument is refused.
    """
    learning_rate = checked_magnitude("learning-rate", learning_rate, zero=False)
    seed = check_integer("seed", seed, 0, MAX_COUNT)
    measure = nn.measure  # says what is missing, if torch is
    import torch

    x, y = _examples(data)
    torch.manual_seed(seed)
    if model.endswith(".onnx"):
        from macgen.nn.training.from_onnx import OnnxNetwork

        made: Any = OnnxNetwork(model)
    else:
        function = _function(model)
        made = _run(f"model {shown(model, 300)}", function)
    if not isinstance(made, torch.nn.Module):
        raise MacgenError(f"model {shown(model)} returns {shown(made)}; {_ACCEPTED}")
    return measure(
        made,
        torch.from_numpy(x),
        torch.from_numpy(y),
        make=lambda parameters: torch.optim.SGD(parameters, lr=learning_rate),
        epochs=epochs,
        batch=batch,
        seed=seed,
        network=Path(model).name.rpartition(":")[2],
        progress=progress,
    )


def _function(model: str) -> Callable[[], Any]:
    path, _, name = model.rpartition(":")
    if not path.endswith(".py") or not name.isidentifier():
        raise MacgenError(f"model {shown(model)} names no function; {_ACCEPTED}")
    file = Path(path)
    if not file.is_file():
        raise MacgenError(f"model {shown_path(file)} is no file; {_ACCEPTED}")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.absolute().parent))  # as when it is run as a program
    loader = spec.loader
    try:
        _run(f"model {shown_path(file)}", lambda: loader.exec_module(module))
    finally:
        sys.path.pop(0)
    found = getattr(module, name, None)
    if not callable(found):
        raise MacgenError(f"model {shown_path(file)} has no function {shown(name)}; {_ACCEPTED}")
    return found  # type: ignore[no-any-return]


def _run(name: str, code: Callable[[], Any]) -> Any:
    """Run what somebody else wrote."""
    try:
        return code()
    except (Exception, SystemExit) as error:
        raise MacgenError(f"{name} cannot be run ({type(error).__name__}: {shown(str(error))}); {_ACCEPTED}") from None


def _examples(data: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    accepted = "accepted is an .npz file of examples x, floating point, and classes y, integers"
    try:
        with np.load(data, allow_pickle=False) as arrays:
            x, y = arrays["x"], arrays["y"]
    except KeyError:
        raise MacgenError(f"data {shown_path(data)} lacks x or y; {accepted}") from None
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds
        raise MacgenError(f"data {shown_path(data)} cannot be read ({type(error).__name__}); {accepted}") from None
    if x.dtype.kind != "f" or y.dtype.kind not in "iu" or y.ndim != 1 or x.shape[:1] != y.shape or not len(y):
        raise MacgenError(
            f"data {shown_path(data)} has x of {x.dtype} {x.shape} and y of {y.dtype} {y.shape}; {accepted}"
        )
    with np.errstate(over="ignore"):
        examples, classes = x.astype(np.float32), y.astype(np.int64)
    if not np.isfinite(examples).all() or classes.min() < 0 or classes.max() != y.max():
        raise MacgenError(
            f"data {shown_path(data)} has examples that are not finite in float32, or classes below 0 or beyond int64; "
            f"{accepted}"
        )
    return examples, classes
