"""Checkpoints from which an interrupted training goes on, bit for bit."""

from __future__ import annotations

import io
import os
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch

from macgen.errors import MacgenError, check_path, shown, shown_path
from macgen.nn.training.convert import layers, watches
from macgen.nn.training.counters import Explosion
from macgen.nn.training.optimizer import Optimizer
from macgen.nn.training.schedule import Schedule
from macgen.spec import MacSpec

SCHEMA = 3


def save(path: str | Path, model: Any, optimizer: Optimizer, *, schedule: Schedule | None = None, **more: Any) -> None:
    """Write a checkpoint, whole or not at all: weights, optimizer, random numbers, counters, torch's generator.

    Parameters:
        path: of the file.
        model: the converted model.
        optimizer: its optimizer.
        schedule: its schedule, if it has one.
        more: what the program itself needs to go on, such as the number of the epoch: numbers, texts, tensors, lists
            and dictionaries.

    Raises:
        MacgenError: the file cannot be written, or something given could not be loaded again.
    """
    file = check_path("path", path)
    for name, value in {**more, "optimizer": optimizer.state_dict()}.items():
        _check_loads(name, value)
    state = {
        "schema": SCHEMA,
        "signature": _signature(model, optimizer),
        "model": model.state_dict(),
        "layers": {name: layer.gemms.state() for name, layer in layers(model).items()},
        "watches": [(watch.step, watch.first and asdict(watch.first)) for watch in watches(model)],
        "optimizer": optimizer.state_dict(),
        "schedule": None if schedule is None else schedule.state(),
        "torch": torch.get_rng_state(),
        "more": more,
    }
    content = io.BytesIO()  # torch's own writer does not say that a disk is full
    torch.save(state, content)
    part = file.with_name(f"{file.name}.{os.getpid()}.partial")
    try:
        with part.open("wb") as stream:
            stream.write(content.getbuffer())
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)
    except OSError as error:
        raise MacgenError(f"checkpoint {shown_path(file)} cannot be written ({error.strerror})") from None
    finally:
        part.unlink(missing_ok=True)


def load(path: str | Path, model: Any, optimizer: Optimizer, *, schedule: Schedule | None = None) -> dict[str, Any]:
    """Go on from a checkpoint: bring model, optimizer and random numbers to where they were.

    Parameters:
        path: of a file that `save` wrote.
        model: converted as it was then.
        optimizer: made as it was then.
        schedule: made as it was then; it brings the model into the phase in which it was.

    Returns:
        What was given to `save` as more.

    Raises:
        MacgenError: there is no such file, or it is of another model or optimizer; then nothing was changed.
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
    if (state["schedule"] is None) != (schedule is None):
        there, here = ("without" if which is None else "with" for which in (state["schedule"], schedule))
        raise MacgenError(
            f"checkpoint {shown_path(file)} was saved {there} a schedule and is loaded {here} one; accepted is the same"
        )
    before = None if schedule is None else schedule.state()
    try:
        if schedule is not None:
            schedule.load_state(state["schedule"])
        _check_signature(state["signature"], _signature(model, optimizer), file)
    except MacgenError:
        if schedule is not None and before is not None:
            schedule.load_state(before)
        raise
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    for name, layer in layers(model).items():
        layer.gemms.load_state(state["layers"][name])
    for watch, (step, first) in zip(watches(model), state["watches"], strict=True):
        watch.step, watch.first = step, first and Explosion(**first)
    torch.set_rng_state(state["torch"])
    more: dict[str, Any] = state["more"]
    return more


def _check_signature(there: dict[str, str], here: dict[str, str], file: Path) -> None:
    for what in {**here, **there}:
        if there.get(what) != here.get(what):
            raise MacgenError(
                f"checkpoint {shown_path(file)} is of another model or optimizer: {what} was "
                f"{there.get(what, 'absent')} and is {here.get(what, 'absent')}; accepted is what macgen.nn.save wrote "
                f"of these"
            )


def _check_loads(name: str, value: Any) -> None:
    """Refuse what cannot be written, or not be loaded as torch loads what it need not trust."""
    content = io.BytesIO()
    try:
        torch.save(value, content)
        content.seek(0)
        torch.load(content, weights_only=True)
    except Exception as error:  # torch and pickle raise many kinds
        raise MacgenError(
            f"{name} {shown(value)} of a checkpoint could not be loaded again ({type(error).__name__}); accepted are "
            f"Python's numbers and texts, tensors, lists and dictionaries of these"
        ) from None


def _signature(model: Any, optimizer: Optimizer) -> dict[str, str]:
    """Return what a model and an optimizer must have in common with those of a checkpoint, by what it is."""
    found = {f"the shape of {name}": str(tuple(value.shape)) for name, value in _tensors(model).items()}
    for name, layer in layers(model).items():
        arithmetic = layer.gemms.arithmetic
        for field in fields(arithmetic):
            value, what = getattr(arithmetic, field.name), f"{field.name} of layer {shown(name)}"
            if isinstance(value, MacSpec):
                found |= {f"{key} of {what}": str(each) for key, each in value.to_dict().items()}
            elif field.name not in ("seed", "count_every"):  # registers and counters go on from where they were
                found[what] = str(value)
    return {**found, "the number of watches": str(len(watches(model))), **optimizer.signature()}


def _tensors(model: Any) -> dict[str, Any]:
    return {name: value for name, value in model.state_dict().items() if isinstance(value, torch.Tensor)}
