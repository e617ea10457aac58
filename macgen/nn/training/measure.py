"""What per-tensor fixed point is planned from: a training in float32, watched, and the noise gains of what it learnt.

Sakr and Shanbhag, ICLR 2019 (arXiv 1812.11732); what is made of it is in `macgen.width.tensors`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import torch

from macgen.errors import MAX_COUNT, MacgenError, check_integer, check_type, shown
from macgen.network.gemm import Kind
from macgen.nn.training.convert import supported
from macgen.width.tensor_statistics import LayerStatistics, Statistics

KEPT = 0.9
"""Of the running variance of a gradient, what each step keeps of it, as in the authors' code."""

ITERATIONS = 30
"""Of the power iteration for a singular value: matrices without negative elements have one far above the others."""


@dataclass
class _Watched:
    """A layer, a copy of it without hooks, and what was seen of it."""

    name: str
    layer: Any
    unwatched: Any
    x: Any = None
    g: Any = None
    rows: int = 0
    inputs: int = 0
    outputs: int = 0
    calls: int = 0
    passes_back: bool = False
    least: float = 0.0
    most: float = 0.0
    weight_most: float = 0.0
    singular_value: float = 0.0
    variances: list[float] = field(default_factory=list)
    weight_variances: list[float] = field(default_factory=list)
    running: tuple[float, float] | None = None

    def before(self, layer: Any, given: tuple[Any, ...]) -> None:
        """Look at the inputs of a layer."""
        self.calls += 1
        if self.calls > 1:
            raise MacgenError(
                f"layer {shown(self.name)} is used twice in a forward pass; accepted are models that use each once"
            )
        self.x, self.passes_back = given[0].detach(), given[0].requires_grad
        self.least, self.most = min(self.least, float(self.x.min())), max(self.most, float(self.x.max()))

    def after(self, layer: Any, given: tuple[Any, ...], y: Any) -> None:
        """Keep the outputs' gradient when it comes."""
        self.rows = y.numel() // layer.weight.shape[0]
        self.outputs, self.inputs = y.numel() // len(self.x), self.x.numel() // len(self.x)
        if y.requires_grad:
            y.register_hook(self._keep)

    def _keep(self, g: Any) -> None:
        self.g = g.detach()

    def note(self) -> None:
        """Take the gradients of a step into the running variances."""
        if self.g is None or self.layer.weight.grad is None:
            raise MacgenError(
                f"layer {shown(self.name)} gets no gradient; accepted are layers that the loss depends on, or `leave`"
            )
        now = float(self.layer.weight.grad.var(unbiased=False)), float(self.g.var(unbiased=False))
        before = now if self.running is None else self.running
        self.running = KEPT * before[0] + (1 - KEPT) * now[0], KEPT * before[1] + (1 - KEPT) * now[1]
        self.weight_most = max(self.weight_most, float(self.layer.weight.detach().abs().max()))

    def sample(self) -> None:
        """Take a sample of the running variances, and of the layer's inputs."""
        assert self.running is not None
        self.weight_variances.append(self.running[0])
        self.variances.append(self.running[1])
        self.singular_value = max(self.singular_value, squared_singular_value(self.unwatched, self.x))


def measure(
    model: Any,
    x: Any,
    y: Any,
    *,
    make: Callable[[list[Any]], Any],
    epochs: int,
    batch: int,
    seed: int = 0,
    schedule: Callable[[Any], Any] | None = None,
    samples: int = 20,
    examples: int = 50,
    network: str = "",
    leave: Collection[str] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> Statistics:
    """Train a copy of a model in float32, and return what its tensors are planned from.

    The loss is the cross entropy, as a mean over the batch.

    Parameters:
        model: a `torch.nn.Module` that classifies; it stays as it is.
        x: (N, ...) examples, floating point.
        y: (N,) the classes, integers.
        make: makes torch's optimizer of parameters, such as `lambda p: torch.optim.SGD(p, lr=0.1)`; the accumulators'
            criterion is about plain gradient descent.
        epochs: how often each example is shown.
        batch: examples of a step; the last ones are left out where they are fewer.
        seed: of the order of the examples.
        schedule: makes a schedule of learning rates of the optimizer, stepped after each epoch.
        samples: how often the running variances are looked at, evenly over the training.
        examples: the first so many are those on which noise gains are taken.
        network: a name for the plan.
        leave: names of layers that stay in float32.
        progress: is called with what is being done.

    Raises:
        MacgenError: the model has layers that are not supported or are used twice, does not take the examples or has
            not an output for each class, or the training ends in a loss that is infinite or NaN.
    """
    check_type("model", model, torch.nn.Module, "a torch.nn.Module")
    for name, value in (("x", x), ("y", y)):
        check_type(name, value, torch.Tensor, "a torch.Tensor")
    if not x.is_floating_point() or y.is_floating_point() or y.dim() != 1 or x.shape[:1] != y.shape or not len(y):
        raise MacgenError(
            f"x is {tuple(x.shape)} of {x.dtype} and y {tuple(y.shape)} of {y.dtype}; accepted are floating-point "
            f"examples (N, ...) and integer classes (N,)"
        )
    epochs, batch = check_integer("epochs", epochs, 1), check_integer("batch", batch, 1, len(x))
    samples, examples = check_integer("samples", samples, 1), check_integer("examples", examples, 1)
    seed = check_integer("seed", seed, 0, MAX_COUNT)
    model = copy.deepcopy(model)
    watched = [_Watched(name, layer, copy.deepcopy(layer)) for name, layer in supported(model, leave)]
    _check_classes(model, x, y)
    rate = _train(model, x, y, watched, make, schedule, epochs, batch, seed, samples, progress)
    progress("noise gains")
    gains = noise_gains(model, x[:examples], [each.layer for each in watched])
    layers = [_statistics(each, *both) for each, both in zip(watched, gains, strict=True)]
    return Statistics(network=network, batch=batch, learning_rate=rate, layers=tuple(layers))


def _train(
    model: Any,
    x: Any,
    y: Any,
    watched: list[_Watched],
    make: Callable[[list[Any]], Any],
    schedule: Callable[[Any], Any] | None,
    epochs: int,
    batch: int,
    seed: int,
    samples: int,
    progress: Callable[[str], None],
) -> float:
    """Train, and return the smallest learning rate."""
    handles = [handle for each in watched for handle in _hooks(each)]
    optimizer = make([p for p in model.parameters() if p.requires_grad])
    rates = None if schedule is None else schedule(optimizer)
    order, step, rate = torch.Generator().manual_seed(seed), 0, math.inf
    of_epoch = len(x) // batch
    every = max(1, epochs * of_epoch // samples)
    model.train()
    for epoch in range(epochs):
        progress(f"epoch {epoch + 1} of {epochs}")
        for rows in torch.randperm(len(x), generator=order).split(batch)[:of_epoch]:
            for each in watched:
                each.calls = 0
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(_outputs(model, x[rows]), y[rows])
            if not torch.isfinite(loss):
                raise MacgenError(
                    f"loss of the training in float32 is {float(loss.detach())} in step {step}; accepted is a learning "
                    f"rate at which it stays finite"
                )
            if loss.requires_grad:  # where it does not, no layer gets a gradient, which `note` says
                loss.backward()
            step += 1
            for each in watched:
                each.note()
                if step % every == 0:
                    each.sample()
            rate = min(rate, *(group["lr"] for group in optimizer.param_groups))
            optimizer.step()
        if rates is not None:
            rates.step()
    for handle in handles:
        handle.remove()
    return float(rate)


def _outputs(model: Any, x: Any) -> Any:
    """Return the outputs of a model, which somebody else wrote: (N, classes).

    Raises:
        MacgenError: it does not take the examples, or the outputs are something else.
    """
    try:
        z = model(x)
    except MacgenError:  # of what watches the layers
        raise
    except Exception as error:
        raise MacgenError(
            f"model does not take examples x of the shape {tuple(x.shape)} ({type(error).__name__}: "
            f"{shown(str(error))}); accepted are a model and examples that fit"
        ) from error
    check_type("model's output", z, torch.Tensor, "a torch.Tensor")
    if z.dim() != 2 or len(z) != len(x) or not z.is_floating_point():
        raise MacgenError(
            f"model has outputs {tuple(z.shape)} of {z.dtype} for examples x {tuple(x.shape)}; accepted are "
            f"floating-point outputs (N, classes)"
        )
    return z


def _check_classes(model: Any, x: Any, y: Any) -> None:
    """Refuse, before the training, a model that does not classify the examples into their classes."""
    model.eval()
    with torch.no_grad():
        classes = _outputs(model, x[:1]).shape[1]
    if int(y.min()) < 0 or int(y.max()) >= classes:
        wrong = int(y.min()) if int(y.min()) < 0 else int(y.max())
        raise MacgenError(f"y has the class {wrong}; accepted are 0 to {classes - 1}, of the model's {classes} outputs")


def _hooks(each: _Watched) -> tuple[Any, Any]:
    return each.layer.register_forward_pre_hook(each.before), each.layer.register_forward_hook(each.after)


def squared_singular_value(layer: Any, x: Any) -> float:
    """Return the largest singular value of the squared Jacobian of a layer's weight gradient by its outputs' gradient.

    Each element of that Jacobian is an input of the layer. With squared inputs in their place the layer itself,
    without its bias, is the squared Jacobian's transpose. So the power iteration runs the layer forward and back.

    Parameters:
        layer: a `Linear`, `Conv1d` or `Conv2d`.
        x: its inputs, a batch of them.
    """
    squares, w = x.detach().square(), torch.ones_like(layer.weight)
    given = {} if layer.bias is None else {"bias": torch.zeros_like(layer.bias)}
    value = 0.0
    for _ in range(ITERATIONS):
        w = (w / (w.norm() or 1.0)).detach().requires_grad_(True)
        y = torch.func.functional_call(layer, {**given, "weight": w}, (squares,))
        value = float(y.detach().norm())
        (w,) = torch.autograd.grad(y, w, y.detach())
    return value


def noise_gains(model: Any, x: Any, layers: list[Any]) -> list[tuple[float, float]]:
    """Return the noise gains of weights and inputs of layers (criterion 1).

    E is the mean over examples of sum_i sum_h |d(Z_i - Z_y)/dh|^2 / (24 |Z_i - Z_y|^2), over the elements h of a tensor
    and the outputs i other than the largest one, y. Outputs that equal the largest one are left out.

    Parameters:
        model: it is evaluated; its outputs are (N, classes).
        x: (N, ...) examples.
        layers: of the model.

    Raises:
        MacgenError: the outputs have another shape.
    """
    seen: dict[int, Any] = {}

    def look(layer: Any, given: tuple[Any, ...]) -> None:
        seen[id(layer)] = given[0]

    was_training = model.training
    model.eval()
    handles = [layer.register_forward_pre_hook(look) for layer in layers]
    sums = torch.zeros(2 * len(layers), dtype=torch.float64)
    try:
        for example in x:
            z = _outputs(model, example.unsqueeze(0).clone().requires_grad_(True))
            tensors = [tensor for layer in layers for tensor in (layer.weight, seen[id(layer)])]
            margins = z[0] - z[0].max()
            for margin in margins:
                if float(margin.detach()) == 0:
                    continue
                slopes = torch.autograd.grad(margin, tensors, retain_graph=True, allow_unused=True)
                squares = [0.0 if slope is None else float(slope.double().square().sum()) for slope in slopes]
                sums += torch.tensor(squares, dtype=torch.float64) / (24 * float(margin.detach()) ** 2)
    finally:
        for handle in handles:
            handle.remove()
        model.train(was_training)
    gains = (sums / len(x)).tolist()
    return list(zip(gains[::2], gains[1::2], strict=True))


def _statistics(each: _Watched, weight_gain: float, activation_gain: float) -> LayerStatistics:
    weight = each.layer.weight
    lengths: dict[Kind, int] = {"forward": weight[0].numel(), "gradient": each.rows}
    if each.passes_back:
        groups = getattr(each.layer, "groups", 1)
        lengths["backward"] = weight.numel() // weight.shape[1] // groups
    return LayerStatistics(
        name=each.name,
        op=type(each.layer).__name__,
        weights=weight.numel(),
        activations=each.inputs,
        macs=each.outputs * weight[0].numel(),
        lengths=lengths,
        weight_gain=weight_gain,
        activation_gain=activation_gain,
        weight_largest=each.weight_most,
        activation_least=each.least,
        activation_largest=each.most,
        weight_gradient_least=math.sqrt(min(each.weight_variances)),
        weight_gradient_largest=math.sqrt(max(each.weight_variances)),
        activation_gradient_largest=math.sqrt(max(each.variances)),
        singular_value=each.singular_value,
    )
