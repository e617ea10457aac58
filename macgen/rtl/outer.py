"""What comes after the inner accumulator: an outer one with an adder of its own, results in another format."""

from itertools import pairwise
from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics import FixedFormat, Lfsr
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.parts.hierarchy import submodule
from macgen.rtl.parts.interfaces import clock_in, connect_members, registers
from macgen.rtl.parts.pipeline import delayed
from macgen.rtl.random_source import RandomSource
from macgen.rtl.units.conversion import conversion, conversion_random_bits
from macgen.rtl.units.datapath import Datapath, datapath, datapath_of
from macgen.rtl.units.exact_number import Addend, Addition
from macgen.rtl.units.multiplier import Scaler
from macgen.spec import MacSpec


def outer_cycles(spec: MacSpec) -> int:
    """Return the cycles from the one that ends a chunk to the one in which the addition of its sum ends."""
    return 1 + spec.interleave


def adds_integers(spec: MacSpec) -> bool:
    """Return whether the outer adder takes chunk sums as signed integers."""
    fixed = isinstance(spec.acc, FixedFormat) and isinstance(spec.outer_format, FixedFormat)
    return fixed and spec.scale is None


def outer_datapath(spec: MacSpec) -> Datapath:
    """Return the datapath of the outer accumulator's own adder, which adds chunk sums times scales."""
    sums, fmt = datapath(spec).sums(integer=adds_integers(spec)), spec.outer_format
    if spec.scale is not None:
        scales = Addend.of_scale(spec.scale)
        sums = sums.times(scales).times(scales)
    return datapath_of(Addition(sums, fmt, spec.fold_rounding, spec.overflow_into(fmt), folds=False, prefix="outer_"))


def result_datapath(spec: MacSpec) -> Datapath:
    """Return the datapath whose states leave the PEs."""
    return outer_datapath(spec) if spec.has_outer_adder else datapath(spec)


def out_rounding(spec: MacSpec) -> Addition | None:
    """Return the rounding of results to `out`; None where that is their format already."""
    fmt = spec.out_format
    if fmt == spec.outer_format:
        return None
    sums = result_datapath(spec).sums(integer=isinstance(fmt, FixedFormat))
    return Addition(sums, fmt, spec.fold_rounding, spec.overflow_into(fmt), folds=False, prefix="out_")


def pe_random_bits(spec: MacSpec) -> int:
    """Return the bits of the random numbers that a PE takes, 0 where it takes none."""
    return outer_datapath(spec).random_bits if spec.random_place == "chunks" else datapath(spec).random_bits


def out_random_bits(spec: MacSpec) -> int:
    """Return the bits of the random numbers that the conversion of results takes, 0 where it takes none."""
    rounding = out_rounding(spec)
    return conversion_random_bits(rounding) if rounding is not None else 0


class OuterAccumulator(wiring.Component):
    """Sum the chunk sums of a PE: take one, convert and scale it, add it in the cycle after that.

    Members:
        value, flags: a chunk sum and its flags.
        fold: they are taken.
        fold_first: it is the dot product's first chunk: the outer accumulator restarts from 0.
        done: it is the last.
            With `interleave` = I each I-th cycle is a turn's, and so it is with the result.
        a_scale, b_scale: its scales.
        seed: where chunk sums are rounded at random; constant.
        result, result_flags: the outer accumulator after the addition, when `result_done`; the state tells flags, too.
    """

    def __init__(self, spec: MacSpec) -> None:
        self._spec = spec
        self._arithmetic = outer_datapath(spec)
        members: dict[str, Any] = {
            "value": In(datapath(spec).value),
            "flags": In(FLAG_BITS),
            "fold": In(1),
            "fold_first": In(1),
            "done": In(1),
        }
        if spec.scale is not None:
            members |= {"a_scale": In(spec.scale.width), "b_scale": In(spec.scale.width)}
        if self._arithmetic.random_bits:
            members["seed"] = In(Lfsr.of(self._arithmetic.random_bits).width)
        members |= {"result": Out(self._arithmetic.value), "result_flags": Out(FLAG_BITS), "result_done": Out(1)}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, arithmetic = self._spec, self._arithmetic
        taken = {name: Signal(name=f"taken_{name}") for name in ("fold", "fold_first", "done")}
        adding = {name: Signal(name=f"adding_{name}") for name in ("fold", "done")}
        m.d.sync += [mark.eq(getattr(self, name)) for name, mark in taken.items()]
        m.d.sync += [mark.eq(taken[name]) for name, mark in adding.items()]
        turns = spec.interleave
        ended = dict(adding)
        for cycle in range(turns - 1):
            for name, mark in ended.items():
                ended[name] = Signal(name=f"ended_{name}_{cycle}")
                m.d.sync += ended[name].eq(mark)

        chunk = registers(self.value.signature, "chunk")
        chunk_flags = Signal(FLAG_BITS, reset_less=True)
        integer = adds_integers(spec)
        number = submodule(m, platform, "number", "number", lambda: datapath(spec).number(integer=integer))
        connect_members(m, number.value, chunk)
        with m.If(self.fold):
            clock_in(m, chunk, self.value)
            m.d.sync += chunk_flags.eq(self.flags)
        addend = number.number
        if (scale := spec.scale) is not None:
            sums = datapath(spec).sums(integer=integer)
            scaler = submodule(m, platform, "scaler", "scaler", lambda: Scaler(sums, scale))
            connect_members(m, scaler.number, addend)
            for name in ("a_scale", "b_scale"):
                register = Signal(scale.width, name=f"chunk_{name}", reset_less=True)
                with m.If(self.fold):
                    m.d.sync += register.eq(getattr(self, name))
                m.d.comb += getattr(scaler, name).eq(register)
            addend = scaler.scaled

        product = submodule(m, platform, "operand", "outer_operand", arithmetic.product)
        adder = submodule(m, platform, "adder", "outer_adder", lambda: arithmetic.adder(turns))
        connect_members(m, product.product, addend)
        m.d.comb += product.present.eq(1)
        operand = registers(arithmetic.operand, "operand")
        clock_in(m, operand, product.operand)
        connect_members(m, adder.operand, operand)
        operand_flags = Signal(FLAG_BITS, reset_less=True)
        m.d.sync += operand_flags.eq(chunk_flags | number.flags)

        # The totals go round: the last is that of the turn whose addition begins, the first of the one where it ends
        # and of the one after `taken`. A total is 0 when a new sum starts.
        restart = Signal()
        m.d.comb += restart.eq(taken["fold"] & taken["fold_first"])
        total_flags = [Signal(FLAG_BITS, reset_less=True, name=f"total_{turn}_flags") for turn in range(turns)]
        raised = delayed(m, "before", total_flags[-1] | operand_flags | adder.settled, turns - 1)
        m.d.comb += self.result_flags.eq(raised | adder.flags)
        connect_members(m, self.result, adder.result)
        rings: list[tuple[list[Signal], Value, int]] = [(total_flags, self.result_flags, 0)]
        for name, item in arithmetic.value.members.items():
            totals = [Signal(item.shape, name=f"total_{turn}_{name}", reset_less=True) for turn in range(turns)]
            m.d.comb += getattr(adder.acc, name).eq(totals[-1])
            rings.append((totals, getattr(adder.result, name), arithmetic.zero.get(name, 0)))
        for totals, result, zero in rings:
            m.d.sync += [to.eq(source) for to, source in pairwise(totals)]
            with m.If(restart):
                m.d.sync += totals[-1].eq(zero)
            with m.Elif(ended["fold"]):
                m.d.sync += totals[-1].eq(result)
            with m.Else():
                m.d.sync += totals[-1].eq(totals[0])
        if arithmetic.random_bits:
            source = submodule(m, platform, "random", "random", lambda: RandomSource(spec))
            m.d.comb += [source.seed.eq(self.seed), source.adds.eq(ended["fold"]), adder.random.eq(source.number)]
        m.d.comb += self.result_done.eq(ended["done"])
        return m


class Result(wiring.Component):
    """Convert what leaves a column to a code of the results' format.

    Members:
        value: a state of `result_datapath`.
        taken: the code is taken; present with random numbers.
        seed: of the column's random numbers, if it takes any; constant.
        code: the result.
        flags: raised by the conversion, and by the addition before it, if not among that one's.
    """

    def __init__(self, spec: MacSpec) -> None:
        self._spec = spec
        random: dict[str, Any] = {}
        if bits := out_random_bits(spec):
            random = {"taken": In(1), "seed": In(Lfsr.of(bits).width)}
        super().__init__(
            {
                "value": In(result_datapath(spec).value),
                **random,
                "code": Out(spec.out_format.width),
                "flags": Out(FLAG_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, arithmetic = self._spec, result_datapath(self._spec)
        rounding = out_rounding(spec)
        assert rounding is not None
        integer = isinstance(spec.out_format, FixedFormat)
        number = submodule(m, platform, "number", "out_number", lambda: arithmetic.number(integer=integer))
        unit = submodule(m, platform, "conversion", "out_conversion", lambda: conversion(rounding))
        connect_members(m, number.value, self.value)
        connect_members(m, unit.number, number.number)
        m.d.comb += [self.code.eq(unit.code), self.flags.eq(number.flags | unit.flags)]
        if out_random_bits(spec):
            source = submodule(m, platform, "random", "random", lambda: RandomSource(spec))
            m.d.comb += [source.seed.eq(self.seed), source.adds.eq(self.taken), unit.random.eq(source.number)]
        return m
