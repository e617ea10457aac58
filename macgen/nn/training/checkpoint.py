"""Checkpoints from which an interrupted training goes on, bit for bit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from macgen.errors import MacgenError, check_path, shown_path
from macgen.nn.training.convert import layers, watches
from macgen.nn.training.optimizer import Optimizer

SCHEMA = 1


def save(path: str | Path, model: Any, optimizer: Optimizer, **more: Any) -> None:
    """Write a checkpoint, whole or not at all: weights, optimizer, random numbers, counters, torch's generator.

    Parameters:
        path: of the file.
        model: the converted model.
        optimizer: its optimizer.
        more: what the program itself needs to go on, such as the number of the epoch: numbers, texts, tensors, lists
            and dictionaries.

    Raises:
        MacgenError: the file cannot be written.
    """
    file = check_path("path", path)
    state = {
        "schema": SCHEMA,
        "model": model.state_dict(),
        "layers": {name: layer.gemms.state() for name, layer in layers(model).items()},
        "steps": [watch.step for watch in watches(model)],
        "optimizer": optimizer.state_dict(),
        "torch": torch.get_rng_state(),
        "more": more,
    }
    part = file.with_name(f"{file.name}.{os.getpid()}.partial")
    try:
        with part.open("wb") as stream:
            torch.save(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)
    except OSError as error:
        raise MacgenError(f"checkpoint {shown_path(file)} cannot be written ({error.strerror})") from None
    finally:
        part.unlink(missing_ok=True)


def load(path: str | Path, model: Any, optimizer: Optimizer) -> dict[str, Any]:
    """Go on from a checkpoint: bring model, optimizer and random numbers to where they were.

    Parameters:
        path: of a file that `save` wrote.
        model: converted as it was then.
        optimizer: made as it was then.

    Returns:
        What was given to `save` as more.

    Raises:
        MacgenError: there is no such file, or it is of another model or optimizer.
    """
    file = check_path("path", path)
    accepted = "accepted is what macgen.nn.save wrote"
    if not file.is_file():
        raise MacgenError(f"checkpoint {shown_path(file)} is no file; {accepted}")
    try:
        state = torch.load(file, weights_only=True)
    except Exception as error:  # torch raises many kinds
        reason = type(error).__name__
        raise MacgenError(f"checkpoint {shown_path(file)} cannot be read ({reason}); {accepted}") from None
    if not isinstance(state, dict) or state.get("schema") != SCHEMA:
        raise MacgenError(f"checkpoint {shown_path(file)} is none of this version; {accepted}")
    own, given = layers(model), state["layers"]
    kinds = {name: sorted(layer.gemms.counters) for name, layer in own.items()}
    if kinds != {name: sorted(each) for name, each in given.items()}:
        raise MacgenError(f"checkpoint {shown_path(file)} is of a model with other layers or specs; {accepted} of it")
    try:
        model.load_state_dict(state["model"])
    except RuntimeError:
        raise MacgenError(
            f"checkpoint {shown_path(file)} has weights of other shapes; {accepted} of this model"
        ) from None
    optimizer.load_state_dict(state["optimizer"])
    for name, layer in own.items():
        layer.gemms.load_state(given[name])
    for watch, step in zip(watches(model), state["steps"], strict=True):
        watch.step = step
    torch.set_rng_state(state["torch"])
    more: dict[str, Any] = state["more"]
    return more
