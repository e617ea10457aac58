"""Models of torch onto an arithmetic: their layers are swapped, parameters and state dicts stay what they are."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from macgen.errors import MacgenError, check_type, shown
from macgen.network.gemm import KINDS
from macgen.nn.training.counters import GemmCounters, Watch
from macgen.nn.training.gemms import LayerGemms
from macgen.nn.training.layers import Conv1d, Conv2d, Linear, Matmul
from macgen.nn.training.rules import Arithmetic
from macgen.spec import MacSpec
from macgen.width.plan_file import PlanFile, load_plan
from macgen.width.tensors import TensorPlan

_SWAPPED: dict[type, type] = {torch.nn.Linear: Linear, torch.nn.Conv1d: Conv1d, torch.nn.Conv2d: Conv2d}
_OURS = tuple(_SWAPPED.values())
_ON_ARITHMETIC = (*_OURS, Matmul)

_MULTIPLIES = (
    torch.nn.modules.conv._ConvNd,
    torch.nn.Linear,
    torch.nn.Bilinear,
    torch.nn.RNNBase,
    torch.nn.RNNCellBase,
    torch.nn.MultiheadAttention,
)
"""Layers of torch with multiply-accumulates, and what derives from them."""

_LISTS = (torch.nn.ParameterList, torch.nn.ParameterDict)

Given = MacSpec | Arithmetic | PlanFile | TensorPlan | str | Path


def convert(
    model: Any,
    arithmetic: Given | Mapping[str, MacSpec | Arithmetic],
    *,
    leave: Collection[str] = (),
    names: Mapping[str, str] | None = None,
    **options: Any,
) -> Any:
    """Swap a model's layers for those that compute on an arithmetic, in place.

    `Linear`, `Conv1d` and `Conv2d` are swapped. Parameters stay, themselves, so optimizers know them; so do the keys of
    the state dict. Products that a module computes itself, by `torch.matmul` or a
    function, are not seen; `macgen.nn.Matmul` computes them.

    Parameters:
        model: a `torch.nn.Module`; converted again, its layers get the new arithmetic.
        arithmetic: of all layers, a spec for all GEMMs or an `Arithmetic`; one for each layer by its name; or what
            `macgen plan --json` wrote, or its file: a spec for each GEMM of each layer. A plan of tensors has their
            formats, too, so values are taken as they are (`scales` is `one`).
        leave: names of layers that stay as they are, with all that is in them; or of parameters of a module's own.
        names: the plan's names of layers by the model's, where they differ by more than how ONNX files write them.
        options: fields of `Arithmetic` to be replaced, such as `scales` or `count_every`.

    Returns:
        The model.

    Raises:
        MacgenError: a layer multiplies and is not supported, or the arithmetic does not fit the model.
    """
    check_type("model", model, torch.nn.Module, "a torch.nn.Module")
    layers = supported(model, leave)
    chosen = _arithmetics(dict(layers), arithmetic, names or {})
    watch = Watch()
    for place, (name, layer) in enumerate(layers):
        own = chosen[name].replace(**options) if options else chosen[name]
        # Another class and not another object: whatever else refers to the layer has the new one.
        layer.__class__ = _SWAPPED.get(type(layer), type(layer))
        layer.gemms = LayerGemms(name or type(layer).__name__, own, watch, place)
    _compute_layer_by_layer(model)
    return model


def switch(
    model: Any, arithmetic: Given | Mapping[str, MacSpec | Arithmetic], *, names: Mapping[str, str] | None = None
) -> None:
    """Let a converted model go on with another arithmetic; counters and random numbers go on, too.

    Parameters:
        model: that `convert` returned.
        arithmetic, names: as for `convert`, of the layers that it swapped.

    Raises:
        MacgenError: the model is not converted, or the arithmetic does not fit it; then nothing was changed.
    """
    for layer, own in arithmetics_of(model, arithmetic, names):
        layer.gemms.switch(own)


def arithmetics_of(
    model: Any, arithmetic: Given | Mapping[str, MacSpec | Arithmetic], names: Mapping[str, str] | None = None
) -> list[tuple[Any, Arithmetic]]:
    """Return the layers of a converted model, with the arithmetics that something given means for them.

    Raises:
        MacgenError: as `switch`.
    """
    swapped = {name: layer for name, layer in layers(model).items() if isinstance(layer, _OURS)}
    if not swapped:
        raise MacgenError("model has no layer on an arithmetic; accepted is what macgen.nn.convert returned")
    chosen = _arithmetics(swapped, arithmetic, names or {})
    return [(layer, chosen[name]) for name, layer in swapped.items()]


def supported(model: Any, leave: Collection[str]) -> list[tuple[str, Any]]:
    """Return the layers of a model that can compute on an arithmetic, with their names.

    Parameters:
        model: a `torch.nn.Module`.
        leave: as for `convert`.

    Raises:
        MacgenError: there is none, or a layer multiplies and is not supported.
    """
    modules = dict(model.named_modules())
    for name in leave:
        if name not in modules and name not in dict(model.named_parameters()):
            raise MacgenError(f"leave has {shown(name)}, which is no layer; accepted are {shown([*modules][1:], 300)}")
    found = [(name, module) for name, module in modules.items() if not _within(name, leave)]
    _refuse(found, leave)
    chosen = [(name, module) for name, module in found if type(module) in _SWAPPED or isinstance(module, _OURS)]
    if not chosen:
        raise MacgenError("model has no layer to be swapped; accepted are models with Linear, Conv1d or Conv2d layers")
    return chosen


def _compute_layer_by_layer(model: Any) -> None:
    """Turn off what torch's encoders compute in evaluation past the forward of their layers, from their weights."""
    for module in model.modules():
        if isinstance(module, torch.nn.TransformerEncoderLayer) and layers(module):
            module.activation_relu_or_gelu = 0  # as of an activation that the fused kernel does not have
        elif isinstance(module, torch.nn.TransformerEncoder) and layers(module):
            module.use_nested_tensor = False


def layers(model: Any) -> dict[str, Any]:
    """Return the layers of a model that compute on an arithmetic, by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, _ON_ARITHMETIC)}


def counters(model: Any) -> dict[str, dict[str, GemmCounters]]:
    """Return the counters of a model's GEMMs, by layer and kind of GEMM."""
    return {name: dict(layer.gemms.counters) for name, layer in layers(model).items()}


def reset_counters(model: Any) -> None:
    """Count from here on, and forget what exploded."""
    for layer in layers(model).values():
        layer.gemms.reset_counters()
        layer.gemms.watch.first = None


def watches(model: Any) -> list[Watch]:
    """Return what watches over a model's layers, each once."""
    return list({id(layer.gemms.watch): layer.gemms.watch for layer in layers(model).values()}.values())


def first_watch(model: Any) -> Watch | None:
    """Return the watch over a model's layers that saw an explosion first; None: no layer is watched over."""
    return min(watches(model), key=lambda watch: math.inf if watch.first is None else watch.first.step, default=None)


def check_loss(loss: Any, model: Any) -> None:
    """Stop where a loss is infinite or NaN.

    Parameters:
        loss: a number or tensor of one.
        model: the converted model, whose counters say where it began.

    Raises:
        MacgenError: it is; the sentence names the layer and the counter that exploded first.
    """
    value = float(loss.detach() if isinstance(loss, torch.Tensor) else loss)
    if value - value == 0:
        return
    watch = first_watch(model) or Watch()
    raise MacgenError(f"loss is {value} in step {watch.step}; {watch.reason()}")


# -- which layers ------------------------------------------------------------------------------------------------------


def _within(name: str, leave: Collection[str]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in leave)


def _refuse(modules: list[tuple[str, Any]], leave: Collection[str]) -> None:
    """Refuse layers with products that would stay in float32 without anybody's wanting it."""
    accepted = "accepted are Linear, Conv1d and Conv2d; others stay in float32 where `leave` names them"
    for name, module in modules:
        known = type(module) in _SWAPPED or isinstance(module, _OURS)
        if not known and isinstance(module, _MULTIPLIES):
            raise MacgenError(
                f"layer {shown(name)} is of type {type(module).__name__}, which is not supported; {accepted}"
            )
        if known or (type(module).__module__.startswith("torch.nn.") and not isinstance(module, _LISTS)):
            continue
        for key, value in module.named_parameters(recurse=False):
            if value.dim() > 1 and not _within(f"{name}.{key}" if name else key, leave):
                where = f"layer {shown(name)}" if name else "the model itself"
                raise MacgenError(
                    f"{where} of type {type(module).__name__} has weights of its own, {key}, which may be multiplied "
                    f"in its own way; {accepted}"
                )


# -- their arithmetics -------------------------------------------------------------------------------------------------


def _arithmetics(layers: Mapping[str, Any], given: Any, names: Mapping[str, str]) -> dict[str, Arithmetic]:
    if isinstance(given, (str, Path)):
        given = load_plan(given)
    if isinstance(given, (PlanFile, TensorPlan)):
        return _planned(layers, given, names)
    if isinstance(given, Mapping):
        for name in given:
            if name not in layers:
                raise MacgenError(
                    f"arithmetic has {shown(name)}, which is no layer; accepted are {shown([*layers], 300)}"
                )
        for name in layers:
            if name not in given:
                raise MacgenError(f"arithmetic lacks layer {shown(name)}; accepted is one for each, or `leave`")
        return {name: Arithmetic.of(given[name]) for name in layers}
    return dict.fromkeys(layers, Arithmetic.of(given))


def _planned(layers: Mapping[str, Any], plan: PlanFile | TensorPlan, names: Mapping[str, str]) -> dict[str, Arithmetic]:
    rows = {(row.layer, row.kind): row for row in plan.rows}
    by_name = {form: row.layer for row in plan.rows for form in _forms(row.layer)}
    chosen = {}
    for name, module in layers.items():
        planned = names.get(name, name)
        planned = planned if (planned, "forward") in rows else by_name.get(planned, planned)
        if (planned, "forward") not in rows:
            known = ", ".join(dict.fromkeys(row.layer for row in plan.rows))
            raise MacgenError(
                f"plan has no forward GEMM of layer {shown(name)}; accepted are names={{layer: name}} with {known:.300}"
            )
        length = module.weight[0].numel()
        if (wanted := rows[planned, "forward"].dot.length) != length:
            raise MacgenError(
                f"plan has layer {shown(planned)} with sums of {wanted} products, where layer {shown(name)} sums "
                f"{length}; accepted is a plan of this model"
            )
        chosen[name] = Arithmetic(
            **{kind: rows[planned, kind].spec for kind in KINDS if (planned, kind) in rows},  # type: ignore[arg-type]
            scales="one" if isinstance(plan, TensorPlan) else "pow2",
        )
    return chosen


def _forms(name: str) -> Iterator[str]:
    """Yield a layer's name as torch has it, of one as torch writes it into ONNX files: /layer1/layer1.0/conv1/Conv."""
    yield name
    scopes = [scope for scope in name.split("/")[:-1] if scope]
    if scopes:
        yield ".".join(
            scope for scope, after in zip(scopes, [*scopes[1:], ""], strict=True) if not after.startswith(f"{scope}.")
        )
