"""`plan` (of accumulators, and of all tensors) and `verify`, those of macgen's four verbs that have several ways.

Each does what the command of its name does, and returns the record that the command prints. (`build` is in bundle/,
`report` in cost/.) Modules are imported when a way is taken, so that a plan loads no hardware.
"""

import os
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Literal, overload

from macgen.errors import (
    MacgenError,
    check_choices,
    check_flag,
    check_function,
    check_path,
    check_type,
    shown,
    shown_path,
)

if TYPE_CHECKING:
    from macgen.network.gemm import Network
    from macgen.numerics import Format, Rounding
    from macgen.prove.exhaustive.prover import ExhaustiveResult
    from macgen.prove.formal.prover import FormalResult
    from macgen.simulate.simulators import SimulatorChoice
    from macgen.simulate.verify import VerifyResult
    from macgen.width.goal import Goal
    from macgen.width.network_plan import NetworkPlan
    from macgen.width.tensors import TensorPlan
    from macgen.width.variance import Reading

PathLike = str | os.PathLike[str]

Progress = Callable[[str], None]
"""Told what is being done."""


# -- plan --------------------------------------------------------------------------------------------------------------


def plan(
    model: PathLike | None = None,
    *,
    length: int | None = None,
    network: "str | Network | None" = None,
    batch: int | None = None,
    dims: Mapping[str, int] | None = None,
    data: PathLike | None = None,
    only: Collection[str] = (),
    a: "Format | str | None" = None,
    b: "Format | str | None" = None,
    chunk: int | Literal["auto"] | None = None,
    outer: "Format | str | None" = None,
    rounding: "Rounding | str" = "rne",
    nsr: float | None = None,
    limit: float | None = None,
    reading: "Reading | None" = None,
    overflow_probability: float | None = None,
    nzr: float | None = None,
    monte_carlo: int | None = None,
    progress: Progress = lambda _: None,
) -> "NetworkPlan":
    """Compute how wide accumulators have to be: for one length, for a network, or for an ONNX model.

    Parameters:
        model: an ONNX file.
        length: products of one dot product.
        network: one of the papers', by its name, or one of your own.
        batch: examples computed together, with a network's name or a model; None: 1, or as the model says.
        dims: sizes of a model's open dimensions, by name.
        data: sample inputs of the model, an .npy or .npz file: the model runs once, and its operands' non-zero ratios
            and ranges are used.
        only: kinds of GEMMs, of `forward`, `backward`, `gradient`; none: all.
        a, b: formats of the operands; None: those that the model states for quantised operands, else e5m2.
        chunk: products a chunk; `auto`: the power of two near sqrt(length); None: no chunks.
        outer: format of an accumulator of chunk sums; the other one is then planned for a chunk. Whether it is wide
            enough is said where it is decidable, for integers and fixed point.
        rounding: of the adder.
        nsr, limit, reading, overflow_probability: the criteria, see `macgen.width.Goal`; None: its defaults.
        nzr: with a length, the share of products that are not zero; None: 1.
        monte_carlo: with a length, how many trials of the bit-exact accumulator decide the mantissa; None: none.
        progress: is called with what is being done.

    Raises:
        MacgenError: an argument is refused, or does not go with what is planned for.
    """
    if dims is not None:
        check_type("dims", dims, Mapping, "a mapping of names to sizes")
    from macgen.network.gemm import KINDS

    only = check_choices("only", only, KINDS)
    check_function("progress", progress)
    sources = {"length": length, "network": network, "model": model}
    given = [name for name, value in sources.items() if value is not None]
    if len(given) != 1:
        raise MacgenError(
            f"{' and '.join(given) or 'nothing'} given to plan for; accepted is one of --length N, --network NAME and "
            f"a file MODEL.onnx"
        )
    for name, value, with_ in (
        ("batch", batch, ("network", "model")),
        ("dim", next((f"{name}={shown(size)}" for name, size in (dims or {}).items()), None), ("model",)),
        ("data", None if data is None else str(check_path("data", data)), ("model",)),
        ("only", next(iter(only), None), ("network", "model")),
        ("nzr", nzr, ("length",)),
        ("monte-carlo", monte_carlo, ("length",)),
    ):
        if value is not None and given[0] not in with_:
            raise MacgenError(
                f"{name} {shown(value)} does not go with {given[0]}; accepted is it with {' or '.join(with_)}"
            )
    goal = _goal(
        a=a,
        b=b,
        chunk=chunk,
        outer=outer,
        rounding=rounding,
        nsr=nsr,
        limit=limit,
        reading=reading,
        overflow_probability=overflow_probability,
    )
    if length is not None:
        return _plan_length(length, goal, 1.0 if nzr is None else nzr, monte_carlo, progress)
    found = _model(model, batch, dims, data, progress) if model is not None else _network(network, batch)
    left_out = [which for which, given in (("a", a), ("b", b)) if given is None]
    return _plan_network(found, goal, left_out, only, progress)


def plan_per_tensor(
    model: PathLike,
    *,
    data: PathLike | None = None,
    batch: int | None = None,
    epochs: int | None = None,
    learning_rate: float | None = None,
    seed: int | None = None,
    mismatch: float | None = None,
    progress: Progress = lambda _: None,
) -> "TensorPlan":
    """Choose a fixed-point format for each tensor of a training (Sakr and Shanbhag, ICLR 2019).

    Parameters:
        model: `FILE.py:NAME`, a function that returns a model of torch, or an ONNX file: it is trained in float32 by
            gradient descent and watched; or a JSON file of what `macgen.nn.measure` returned.
        data: with a model, an .npz file of examples `x`, floating point, and classes `y`, integers.
        batch, epochs, learning_rate, seed: of the training; None: 64, 2, 0.05 and 0.
        mismatch: limit of the bound on how often the quantised network answers otherwise; None: 1/400.
        progress: is called with what is being done.

    Raises:
        MacgenError: an argument is refused, or does not go with what is planned from.
    """
    from macgen.width.tensors import MISMATCH, plan_tensors

    check_function("progress", progress)
    text = str(check_path("model", model))
    limit = MISMATCH if mismatch is None else mismatch
    if text.endswith(".json"):
        from macgen.width.tensor_file import load_statistics

        training = {"data": data, "batch": batch, "epochs": epochs, "learning-rate": learning_rate, "seed": seed}
        if given := [name for name, value in training.items() if value is not None]:
            raise MacgenError(
                f"{given[0]} {shown(training[given[0]])} does not go with {shown_path(text)}, which was measured "
                f"already; accepted is it with FILE.py:NAME"
            )
        return plan_tensors(load_statistics(text), mismatch=limit)
    if data is None:
        raise MacgenError("per-tensor lacks data; accepted is --data FILE.npz with arrays x and y")
    from macgen.nn import model_file

    found = model_file.measured(
        text,
        check_path("data", data),
        batch=64 if batch is None else batch,
        epochs=2 if epochs is None else epochs,
        learning_rate=0.05 if learning_rate is None else learning_rate,
        seed=0 if seed is None else seed,
        progress=progress,
    )
    return plan_tensors(found, mismatch=limit)


def _goal(**values: object) -> "Goal":
    from macgen.width.goal import Goal

    return Goal(**{name: value for name, value in values.items() if value is not None})  # type: ignore[arg-type]


def _plan_length(length: int, goal: "Goal", nzr: float, trials: int | None, progress: Progress) -> "NetworkPlan":
    from dataclasses import replace

    from macgen.width.monte_carlo import confirm
    from macgen.width.network_plan import plan_length

    planned = plan_length(length, goal, nzr=nzr)
    if trials is None:
        return planned
    (row,) = planned.rows
    confirmed = confirm(
        row.plan, trials=trials, progress=lambda done, all_: progress(f"{done} of {all_} trials of a width")
    )
    return replace(planned, rows=(replace(row, plan=confirmed),))


def _network(network: "str | Network | None", batch: int | None) -> "Network":
    from macgen.network.gemm import Network
    from macgen.network.papers import paper_network

    if not isinstance(network, Network):
        return paper_network(network, 1 if batch is None else batch)  # type: ignore[arg-type]  # refused there
    if batch is not None:
        raise MacgenError(f"batch {shown(batch)} does not go with a network of your own, which has one already")
    return network


def _model(
    model: PathLike, batch: int | None, dims: Mapping[str, int] | None, data: PathLike | None, progress: Progress
) -> "Network":
    file = check_path("model", model)
    if data is None:
        from macgen.network.onnx_model import from_onnx

        progress(f"reading {shown_path(file)}")
        return from_onnx(file, batch=batch, dims=dims)
    samples = check_path("data", data)
    if batch is not None or dims:
        raise MacgenError(
            f"{'batch' if batch is not None else 'dim'} does not go with data {shown_path(samples)}, whose "
            f"shape says it; accepted is one of them"
        )
    from macgen.network.measure import measure
    from macgen.network.samples import load_samples

    progress(f"running {shown_path(file)} on the samples")
    return measure(file, load_samples(samples))


def _plan_network(
    network: "Network", goal: "Goal", left_out: Collection[str], only: Collection[str], progress: Progress
) -> "NetworkPlan":
    from dataclasses import replace

    from macgen.network.gemm import KINDS
    from macgen.width.network_plan import plan_network
    from macgen.width.stated import stated_formats

    kinds = [kind for kind in KINDS if kind in only] or KINDS
    stated = stated_formats(network, kinds)
    taken = {which: fmt for which in left_out if (fmt := stated.format(which)) is not None}
    goal = replace(goal, a=taken.get("a", goal.a), b=taken.get("b", goal.b))
    planned = plan_network(network, goal, kinds=kinds, progress=lambda done, all_: progress(f"{done} of {all_} GEMMs"))
    return stated.remark(planned) if taken else planned


# -- verify ------------------------------------------------------------------------------------------------------------


@overload
def verify(
    bundle: PathLike,
    *,
    simulator: "SimulatorChoice | None" = None,
    seed: int | None = None,
    tiles: int | None = None,
    netlist: bool = False,
    liberty: PathLike | None = None,
    clock_gating: bool = False,
    exhaustive: Literal[False] = False,
    formal: Literal[False] = False,
    trust: bool = False,
    progress: Progress = ...,
) -> "VerifyResult": ...


@overload
def verify(
    bundle: PathLike,
    *,
    exhaustive: Literal[True],
    seed: int | None = None,
    pairs: int | None = None,
    formal: Literal[False] = False,
    trust: bool = False,
    progress: Progress = ...,
) -> "ExhaustiveResult": ...


@overload
def verify(
    bundle: PathLike,
    *,
    formal: Literal[True],
    exhaustive: Literal[False] = False,
    trust: bool = False,
    progress: Progress = ...,
) -> "FormalResult": ...


def verify(
    bundle: PathLike,
    *,
    simulator: "SimulatorChoice | None" = None,
    seed: int | None = None,
    tiles: int | None = None,
    netlist: bool = False,
    liberty: PathLike | None = None,
    clock_gating: bool = False,
    exhaustive: bool = False,
    pairs: int | None = None,
    formal: bool = False,
    trust: bool = False,
    progress: Progress = lambda _: None,
) -> "VerifyResult | ExhaustiveResult | FormalResult":
    """Simulate a bundle's Verilog against the golden model, prove its step in every state, or prove its control.

    Parameters:
        bundle: what `build` returned, or its directory; only read.
        simulator: `auto`, `icarus`, `verilator` or `all`, see `SimulatorChoice`; None: `auto`.
        seed: of all random choices, an integer from 0; None: 1.
        tiles: random tiles to stream; None: as many as the testbench takes.
        netlist: simulate what synthesis makes of the Verilog: a netlist of cells that do what their functions say.
        liberty: with `netlist`, the Liberty file with the cells, plain or gzipped; None: generic gates.
        clock_gating: with `liberty`, put registers with a common enable behind a clock gate of the library.
        exhaustive: instead of streams, drive a PE's step with every accumulator state and every product, every chunk
            fold, and every conversion of results.
        pairs: with `exhaustive`, how many steps, folds and results to draw where there are more than 10**9; None:
            10**8.
        formal: instead, prove stream protocol, order of the sums, reset and range of the sums for all time.
        trust: accept Verilog that macgen did not write; it is run as it is, see `macgen.bundle.open_bundle`.
        progress: with `netlist`, `exhaustive` or `formal`, is called with what is being done.

    Returns:
        What was tested or proved; `passed` says whether all of it holds. What fails is a result, not an error.

    Raises:
        MacgenError: the bundle or an argument is refused, or two of them do not go together.
        ToolError: a tool is missing, failed or ran out of time; the sentence names its log.
    """
    directory = check_path("bundle", bundle)
    check_function("progress", progress)
    exhaustive, formal = check_flag("exhaustive", exhaustive), check_flag("formal", formal)
    netlist = check_flag("netlist", netlist)
    if liberty is not None and not netlist:
        raise MacgenError(f"liberty {shown_path(liberty)} does not go without netlist; accepted is it with netlist")
    if check_flag("clock_gating", clock_gating) and liberty is None:
        raise MacgenError("clock-gating is given without liberty; accepted is it with a Liberty file")
    if formal:
        others = {"simulator": simulator, "seed": seed, "tiles": tiles, "pairs": pairs, "netlist": netlist or None}
        _refuse_together("formal", others | {"exhaustive": exhaustive or None})
        from macgen.prove.formal.prover import formal as prove

        return prove(directory, trust=trust, progress=progress)
    seed = 1 if seed is None else seed
    if exhaustive:
        _refuse_together("exhaustive", {"simulator": simulator, "tiles": tiles, "netlist": netlist or None})
        from macgen.prove.exhaustive.prover import DRAWN_PAIRS
        from macgen.prove.exhaustive.prover import exhaustive as drive

        draws = DRAWN_PAIRS if pairs is None else pairs
        return drive(directory, seed=seed, draws=draws, trust=trust, progress=progress)
    if pairs is not None:
        raise MacgenError(f"pairs {shown(pairs)} does not go with a simulation; accepted is it with exhaustive")
    choice: SimulatorChoice = "auto" if simulator is None else simulator
    if netlist:
        from macgen.gate_level import verify_netlist

        return verify_netlist(
            directory,
            liberty=liberty,
            clock_gating=clock_gating,
            simulator=choice,
            seed=seed,
            tiles=tiles,
            trust=trust,
            progress=progress,
        )
    from macgen.simulate.verify import verify as simulate

    return simulate(directory, simulator=choice, seed=seed, tiles=tiles, trust=trust)


def _refuse_together(way: str, others: Mapping[str, object]) -> None:
    for name, value in others.items():
        if value is not None:
            raise MacgenError(f"{name} {shown(value)} does not go with {way}; accepted is one of the two")
