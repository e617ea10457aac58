"""Verilog around the combinational modules of an emitted array, so that one step of a PE can be driven from outside.

A PE's loop consists of emitted modules: multiplier, rounding and product make an operand of two codes, the adder adds
it to an accumulator state, `folded` makes an operand of a state, `loaded` a state of an operand, the output makes a
code of a state; an outer accumulator has modules of its own. The wrapper packs members into vectors.

With `interleave` = I a step takes its inputs, but for the random number, before the first edge of its clock `clk`, and
gives its result after I - 1 edges. So does an outer accumulator's step with `outer_cycles`.

A state holds some of the flags that the addition which made it raised, deferred ones: a step's flags are the adder's
with those that its result holds. Whatever settles a state has to find the same. Where the adder does not find in its
accumulator what the output does, the step raises all flags, which no addition does (with `interleave`, `agrees` is 0
before the first edge); where what takes the state further does not, the code is inverted.

With counters an operand has one bit more, on top: it is finite and not 0. A step then tells by one more flag whether it
has swamped its operand, as the array's own `watch` says; a sum with a total in the accumulator's own adder does not.
Where the watch finds other flags than the step has, the step raises all of them.

Of an array with modes a wrapper is of one of them. It has the codes of that mode's formats: operands are put into the
array's wide ones, and a result whose code there is not such a one is inverted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from amaranth.lib import wiring

from macgen.bundle.verilog import rtlil_to_verilog
from macgen.numerics import Format
from macgen.numerics.events import EVENTS
from macgen.numerics.flags import FLAG_BITS
from macgen.prove.exhaustive.ends_wrapper import result_module, start_module
from macgen.prove.exhaustive.in_mode import InMode, narrowed, operand_code
from macgen.prove.verilog_text import (
    Ports,
    delayed,
    instance,
    member_width,
    module,
    to_vector,
    to_wires,
    width_of,
    wire,
    wires,
)
from macgen.rtl import Design, Modules
from macgen.rtl.parts.clocking import ENABLE
from macgen.rtl.units.aligned import AlignedLanes
from macgen.rtl.units.datapath import Datapath
from macgen.rtl.units.exact_number import ExactNumber
from macgen.rtl.units.exponents import ReferredLanes

_FLAGS = {"flags": ("output", FLAG_BITS)}


@dataclass(frozen=True)
class Vectors:
    """The packed vectors of one accumulator and its adder.

    Attributes:
        state_bits: width of a state.
        operand_bits: width of what is added.
        random_bits: width of the adder's input `random`; 0: it has none.
        zero: the packed state of an empty accumulator.
    """

    state_bits: int
    operand_bits: int
    random_bits: int
    zero: int


@dataclass(frozen=True)
class StepWrapper:
    """A wrapper and what its vectors are.

    Attributes:
        verilog: its text; it needs the array's Verilog beside it.
        modules: unit to the name of its module: `product`, `step`, `code`; where the accumulator's adder folds
            `folded`, where that is not the steps' `fold`; where products load exactly `loaded`; with an outer adder
            `addend` (a chunk sum with its scales as the outer adder's operand), `outer_step`, `outer_code`; with
            results in another format `result`; with preloaded accumulators `start`.
        inner: the accumulator's, with what the adder of steps takes.
        folds: the outer accumulator's, or where it has no adder of its own the accumulator's; with what the adder that
            folds takes.
        idles: whether the adder can be given no product.
        result_random_bits: width of the input `random` of `result`; 0: it has none.
    """

    verilog: str
    modules: dict[str, str]
    inner: Vectors
    folds: Vectors
    idles: bool
    result_random_bits: int


def step_wrapper(design: Design, name: str, mode: int = 0) -> StepWrapper:
    """Return the wrapper for an array's Verilog.

    Parameters:
        design: the array.
        name: its top module's name.
        mode: the number of the mode in which it is driven.
    """
    in_mode = InMode(design, mode)
    arithmetic, outer, operand = design.steps, design.outer, design.operand
    converts, folds = design.out is not None, design.folds_in_loop
    watched, turns = design.spec.counters is not None, design.spec.interleave
    wrapped = f"{name}_exhaustive"
    total_output = inner_output = f"{name}_output"
    texts = {}
    if converts or outer is not None:  # the array has no converter of such a state to a code
        total_output = inner_output = f"{wrapped}_inner_output"
        texts["inner output"] = _output(arithmetic, inner_output)
    adder = f"{name}_adder" if design.window is None else f"{name}_aligned_adder"
    texts |= {
        "product": _product(in_mode, name),
        "step": _step(
            in_mode, arithmetic, f"{wrapped}_step", adder, inner_output, operand, f"{name}_watch", cycles=turns
        ),
    }
    folded_mode = in_mode.mode_of(arithmetic.reader_keys)
    others: dict[str, Mapping[str, str]] = {f"{name}_folded": {"present": "1'b1"} | folded_mode} if folds else {}
    if outer is not None:
        others[f"{name}_number"] = in_mode.mode_of(design.steps.reader_keys)
    elif converts:
        others[f"{name}_out_number"] = in_mode.mode_of(design.results.reader_keys)
    if folds and design.window is not None:
        texts["fold"] = _step(
            in_mode, arithmetic, f"{wrapped}_fold", f"{name}_adder", inner_output, arithmetic.operand, cycles=turns
        )
    texts["code"] = _code(in_mode, arithmetic, f"{wrapped}_code", inner_output, others, in_mode.spec.acc)
    if folds:
        ports = to_vector("value", "state", arithmetic.value) | to_vector("operand", "operand", arithmetic.operand)
        texts["folded"] = module(
            f"{wrapped}_folded",
            _state_in(arithmetic) | {"present": ("input", 1)} | _operand("output", arithmetic.operand, watched=watched),
            _unit(f"{name}_folded", {"present": "present"} | folded_mode | ports)
            + _watched(arithmetic.operand, "1'b0") * watched,
        )
    if design.loads_products:
        ports = to_vector("operand", "operand", arithmetic.operand) | to_vector("value", "state", arithmetic.value)
        texts["loaded"] = module(
            f"{wrapped}_loaded",
            {**_operand("input", operand, watched=watched), "state": ("output", width_of(arithmetic.value)), **_FLAGS},
            _unit(f"{name}_loaded", {"flags": "flags"} | ports),
        )
    if outer is not None:
        total_output = f"{name}_output"
        if converts:
            total_output = f"{wrapped}_outer_output"
            texts["outer output"] = _output(outer, total_output)
        texts["addend"] = _addend(in_mode, name, outer)
        texts["outer_step"] = _step(
            *(in_mode, outer, f"{wrapped}_outer_step", f"{name}_outer_adder", total_output, outer.operand),
            f"{name}_outer_watch",
            cycles=design.adder_cycles,
        )
        others = {f"{name}_out_number": in_mode.mode_of(design.results.reader_keys)} if converts else {}
        texts["outer_code"] = _code(
            in_mode, outer, f"{wrapped}_outer_code", total_output, others, in_mode.spec.outer_format
        )
    if design.spec.preload:
        texts["start"] = start_module(design, name, total_output)
    if converts:
        texts["result"] = result_module(in_mode, name)
    folding = arithmetic if outer is None else outer
    return StepWrapper(
        verilog="\n".join(texts.values()),
        modules={unit: f"{wrapped}_{unit}" for unit in texts if " " not in unit},
        inner=_vectors(arithmetic, operand, watched),
        folds=_vectors(folding, folding.operand, watched),
        idles=design.window is None,
        result_random_bits=design.out_random_bits,
    )


def _product(in_mode: InMode, name: str) -> str:
    """Return the module that makes what the adder of steps takes of operand codes."""
    design, narrow = in_mode.design, in_mode.spec
    spec, arithmetic = design.spec, design.steps
    exact, product = ExactNumber(design.exact_product), ExactNumber(design.product)
    body, flags, products = "", [f"{FLAG_BITS}'d0"], []
    for lane in range(spec.lanes):
        ports = {name: operand_code(in_mode, name, lane) for name in ("a", "b")}
        ports |= in_mode.mode_of(design.spec.packed)
        ports |= to_wires("product", f"exact_{lane}", exact)
        body += wires(f"exact_{lane}", exact) + _unit(f"{name}_multiplier", ports, str(lane))
        products.append(f"exact_{lane}")
        if spec.product is not None:
            flags.append(f"rounding_{lane}")
            products[-1] = f"rounded_{lane}"
            assert design.product_rounding is not None
            mode = in_mode.mode_of(design.product_rounding.rounded_sum.formats)
            ports = {"flags": flags[-1], **mode, **to_wires("number", f"exact_{lane}", exact)}
            ports |= to_wires("rounded", products[-1], product)
            body += wire(flags[-1], FLAG_BITS) + wires(products[-1], product)
            body += _unit(f"{name}_rounding", ports, str(lane))
    codes = {"a": ("input", narrow.lanes * narrow.a.width), "b": ("input", narrow.lanes * narrow.b.width)}
    if design.window is not None:
        ports = to_vector("aligned", "operand", design.operand)
        if design.terms is not None and spec.scales_lanes:
            scales = ("a_scale", "b_scale")
            codes |= dict.fromkeys(scales, ("input", design.scale_bits))
            of_terms, product = {scale: scale for scale in scales}, ExactNumber(design.terms.term)
            for lane, number in enumerate(products):
                of_terms |= to_wires(f"products__{lane}", number, exact)
            products = [f"term_{index}" for index in range(design.terms.count)]
            for index, number in enumerate(products):
                of_terms |= to_wires(f"terms__{index}", number, product)
                body += wires(number, product)
            body += _unit(f"{name}_terms", of_terms)
        for lane, number in enumerate(products):
            ports |= to_wires(f"numbers__{lane}", number, product)
        body += _unit(f"{name}_aligner", ports)
    else:
        last, total = products[0], ExactNumber(arithmetic.rounded_sum.addend)
        if design.combines_lanes:
            last = "lane_sum"
            flags.append("lane_flags")
            ports = to_wires("sum", last, total) | {"flags": flags[-1]}
            for lane, number in enumerate(products):
                ports |= to_wires(f"products__{lane}", number, product)
            body += wire(flags[-1], FLAG_BITS) + wires(last, total) + _unit(f"{name}_lanes", ports)
        ports = to_wires("product", last, total) | to_vector("operand", "operand", arithmetic.operand)
        body += _unit(f"{name}_product", {"present": "present"} | ports)
        if spec.counters is not None:
            body += wire("counts", 1) + _unit(f"{name}_counted", to_wires("number", last, total) | {"counts": "counts"})
            body += _watched(design.operand, "present & counts")
    present = {"present": ("input", 1)} if design.window is None else {}
    return module(
        f"{name}_exhaustive_product",
        codes | present | _operand("output", design.operand, watched=spec.counters is not None) | _FLAGS,
        body + f"  assign flags = {' | '.join(flags)};\n",
    )


def _step(
    in_mode: InMode,
    arithmetic: Datapath,
    name: str,
    adder: str,
    output: str,
    operand: wiring.Signature,
    watch: str | None = None,
    *,
    cycles: int,
) -> str:
    """Return the module of one addition.

    Parameters:
        cycles: that it takes.
        watch: with counters the module that tells its events.
        in_mode, arithmetic, name, adder, output, operand: what it consists of.
    """
    spec = in_mode.design.spec
    clocked = {ENABLE: "1'b1"} if spec.clock_enable and cycles > 1 else {}
    value = arithmetic.value
    inputs: Ports = {"random": ("input", arithmetic.random_bits)} if arithmetic.random_bits else {}
    agrees: Ports = {}
    if cycles > 1:
        inputs, agrees = {**inputs, "clk": ("input", 1)}, {"agrees": ("output", 1)}
    interface = "lanes" if isinstance(operand, AlignedLanes | ReferredLanes) else "operand"
    sum_ports = {port: port for port in inputs} | clocked | {"deferred_flags": "of_acc", "flags": "raised"}
    sum_ports |= to_vector("acc", "state", value) | to_vector("result", "result", value)
    sum_ports |= to_vector(interface, "operand", operand)
    sum_ports |= in_mode.mode_of(arithmetic.adder_keys)
    output_mode = in_mode.mode_of(arithmetic.reader_keys)
    body = "".join(wire(net, FLAG_BITS) for net in ("raised", "of_acc", "deferred", "deferred_before"))
    body += _unit(adder, sum_ports)
    watched = spec.counters is not None and watch is not None
    code = {"code": "prior"} if watched else {}
    of_state = {"flags": "deferred_before", **code, **output_mode, **to_vector("value", "state", value)}
    body += _unit(output, of_state, "state")
    body += _unit(output, {"flags": "deferred", **output_mode, **to_vector("value", "result", value)}, "result")
    flags, bits, right = "raised | deferred", FLAG_BITS, []
    if watched:
        width = arithmetic.rounded_sum.acc.width
        body += wire("prior", width) + wire("addend", 1) + wire("events", len(EVENTS))
        body += f"  assign addend = operand[{width_of(operand)}];\n"
        body += delayed("prior", cycles - 1, False, width) + delayed("addend", cycles - 1, False)
        ports = {"raised": "raised", "prior": f"prior_{cycles - 1}", "addend": f"addend_{cycles - 1}"}
        ports |= {"events": "events", **output_mode, **to_vector("value", "result", value)}
        body += _unit(f"{watch}", ports)
        body += f"  wire [{FLAG_BITS - 1}:0] all_raised = {flags};\n"
        flags, bits, right = "{events[2], all_raised}", FLAG_BITS + 1, ["events[1:0] == all_raised[1:0]"]
    if agrees:
        body += "  assign agrees = of_acc == deferred_before;\n"
    else:
        right.insert(0, "of_acc == deferred_before")
    condition = f"{' & '.join(f'({item})' for item in right)} ? " if right else ""
    otherwise = f" : {bits}'d{(1 << bits) - 1}" if right else ""
    body += f"  assign flags = {condition}{flags}{otherwise};\n"
    result: Ports = {"result": ("output", width_of(value)), "flags": ("output", bits)}
    taken = _operand("input", operand, watched=spec.counters is not None)
    return module(name, {**_state_in(arithmetic), **taken, **inputs, **result, **agrees}, body)


def _code(
    in_mode: InMode,
    arithmetic: Datapath,
    name: str,
    output: str,
    others: Mapping[str, Mapping[str, str]],
    narrow: Format,
) -> str:
    """Return the module that gives a state's code, inverted unless all others find the same deferred flags in it.

    Parameters:
        others: by name, with what their inputs but the state are connected to.
        in_mode, arithmetic, name, output: see `_step`.
        narrow: the accumulator's format in the mode.
    """
    state, width = to_vector("value", "state", arithmetic.value), arithmetic.rounded_sum.acc.width
    body = wire("deferred", FLAG_BITS) + wire("right", width)
    body += _unit(output, {"code": "right", "flags": "deferred", **in_mode.mode_of(arithmetic.reader_keys), **state})
    code, embeds = narrowed("right", narrow, arithmetic.rounded_sum.acc)
    same = [embeds] if embeds else []
    for index, (other, ports) in enumerate(others.items()):
        body += wire(f"deferred_{index}", FLAG_BITS) + _unit(other, {"flags": f"deferred_{index}", **ports, **state})
        same.append(f"deferred == deferred_{index}")
    body += f"  assign code = {' & '.join(same) or 1} ? {code} : ~{code};\n"
    return module(name, _state_in(arithmetic) | {"code": ("output", narrow.width)}, body)


def _addend(in_mode: InMode, name: str, outer: Datapath) -> str:
    """Return the module that makes the outer adder's operand of a chunk sum and its scales."""
    design = in_mode.design
    arithmetic, scale = design.steps, design.spec.scale if design.spec.scales_chunks else None
    number = ExactNumber(design.chunk_sum)
    ports = to_vector("value", "state", arithmetic.value) | to_wires("number", "number", number)
    body = wires("number", number) + _unit(f"{name}_number", ports | in_mode.mode_of(design.steps.reader_keys))
    scales: Ports = {}
    last, addend = "number", number
    if scale is not None:
        scales = {"a_scale": ("input", scale.width), "b_scale": ("input", scale.width)}
        addend, last = ExactNumber(outer.rounded_sum.addend), "scaled"
        ports = {port: port for port in scales} | to_wires("number", "number", number)
        body += wires("scaled", addend) + _unit(f"{name}_scaler", ports | to_wires("scaled", "scaled", addend))
    ports = to_wires("product", last, addend) | to_vector("operand", "operand", outer.operand)
    body += _unit(f"{name}_outer_operand", {"present": "1'b1"} | ports)
    watched = design.spec.counters is not None
    if watched:
        ports = to_wires("number", last, addend) | {"counts": "counts"}
        body += wire("counts", 1) + _unit(f"{name}_outer_counted", ports) + _watched(outer.operand, "counts")
    return module(
        f"{name}_exhaustive_addend",
        {**_state_in(arithmetic), **scales, **_operand("output", outer.operand, watched=watched)},
        body,
    )


def _output(arithmetic: Datapath, name: str) -> str:
    """Return a converter from states to codes that the array does not have, to see what its states mean."""
    return rtlil_to_verilog(Modules(name).convert(arithmetic.output()), name)


def _vectors(arithmetic: Datapath, operand: wiring.Signature, watched: bool) -> Vectors:
    zero, low = 0, 0
    for key, item in arithmetic.value.members.items():
        zero |= arithmetic.zero.get(key, 0) << low
        low += member_width(item)
    return Vectors(low, width_of(operand) + watched, arithmetic.random_bits, zero)


def _state_in(arithmetic: Datapath) -> dict[str, tuple[str, int]]:
    return {"state": ("input", width_of(arithmetic.value))}


def _operand(direction: str, operand: wiring.Signature, *, watched: bool) -> dict[str, tuple[str, int]]:
    return {"operand": (direction, width_of(operand) + watched)}


def _watched(operand: wiring.Signature, counts: str) -> str:
    """Return Verilog for the bit of an operand that says whether it is finite and not 0."""
    return f"  assign operand[{width_of(operand)}] = {counts};\n"


def _unit(name: str, connections: Mapping[str, str], suffix: str = "unit") -> str:
    """Return an instance of an emitted module, to whose name a suffix is put for the instance's."""
    return instance(name, f"{name}_{suffix}", connections)
