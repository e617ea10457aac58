"""Vector kernels: the C++ text of a plan, and the blocks of a matrix product as it takes them."""

import ctypes
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen.emulate.alignment import Alignment
from macgen.emulate.carrier import FLOAT32, Carrier
from macgen.emulate.integer_plan import IntegerPlan
from macgen.emulate.kernel_cache import load
from macgen.emulate.random_numbers import States, shifts_to_next
from macgen.emulate.vector_plan import VectorPlan
from macgen.emulate.vector_rounding import Constants, Mode, RoundingPlan
from macgen.numerics import LaneSumKind, Lfsr
from macgen.spec import MacSpec

Values = NDArray[np.float64]

SLICE_MACS = 1 << 33
"""Multiply-accumulates of one call: between calls a user's interrupt is noticed."""


# -- the text --------------------------------------------------------------------------------------------------------


def kernel_text(spec: MacSpec, plan: VectorPlan | IntegerPlan, *, pairs: bool) -> str:
    """Return what a kernel is in C++, to be put into `kernel_source`; specs with the same rules have the same.

    Parameters:
        spec: the array.
        plan: how it is computed.
        pairs: whether products are those of pairs (independent dot products), not of rows with columns.
    """
    if isinstance(plan, IntegerPlan):
        return f"using Tiles = IntegerKernel<{'1, 4' if pairs else '6, 2'}, {_word(pairs)}>;\n"
    carrier, tree, place = plan.carrier, _is_tree(spec), _random_place(spec)
    lane_sum = "tree" if tree else "fused" if spec.lanes > 1 else "one"
    if spec.aligns:
        lane_sum = "aligned" if spec.exponent_bits is None else "exponents"
    rows, vectors = _tile(spec, plan, pairs)
    outer = plan.outer
    fold = "apart" if outer is not None else "none" if spec.chunk is None else "own"
    registers = "NoRegisters"
    if place != "nowhere":
        lfsr = Lfsr.of(spec.random_bits)
        taps = ", ".join(map(str, lfsr.taps[1:]))
        registers = f"Registers<{lfsr.width}, {taps}, {shifts_to_next(spec)}, {spec.random_bits}>"
    outer_carrier = carrier if outer is None else outer.carrier
    scaled = spec.scale is not None and not spec.scales_lanes
    lanes = f"LaneSum::{lane_sum}, Whole::{plan.inner.whole}, {spec.lane_sum.group}, {spec.lanes if tree else 1}"
    modes = f"Mode::{inner_mode(plan)}", f"Mode::{(outer and outer.mode) or 'nearest'}"
    return f"""constexpr int rows = {rows}, vectors = {vectors};
using Product = {_rounding_type(carrier, plan.product)};
using Sum = {_rounding_type(carrier, plan.inner)};
using Outer = {_rounding_type(outer_carrier, outer)};
using Step = Steps<{_type(carrier)}, Product, Sum, {lanes}, rows, vectors, {_word(pairs)}>;
using Tiles = Kernel<Step, rows, vectors, {_word(pairs)}, {modes[0]}, Fold::{fold}, {_type(outer_carrier)}, Outer,
                     {modes[1]}, {_word(scaled)}, RandomPlace::{place}, {registers}>;
"""


def kernel_source(texts: list[str]) -> str:
    """Return the C++ source of a library of kernels, `macgen_kernel_0` and so on."""
    parts = ['#include "vector_integers.h"\n']
    for number, text in enumerate(texts):
        parts.append(
            f"""
namespace kernel_{number} {{
using namespace macgen;
{text}}}  // namespace kernel_{number}

extern "C" void macgen_kernel_{number}(const macgen::Task* task, int64_t* sizes) {{
    using Tiles = kernel_{number}::Tiles;
    sizes[0] = Tiles::rows;
    sizes[1] = Tiles::width;
    sizes[2] = sizeof(Tiles::Sums);
    if (task) Tiles::run(*task);
}}
"""
        )
    return "".join(parts)


def _is_tree(spec: MacSpec) -> bool:
    return spec.lane_sum.kind is LaneSumKind.TREE and spec.lanes > 1


def _random_place(spec: MacSpec) -> str:
    return spec.random_place if spec.random_place in ("steps", "chunks") else "nowhere"


def _type(carrier: Carrier) -> str:
    return "float" if carrier is FLOAT32 else "double"


def _word(value: bool) -> str:
    return "true" if value else "false"


def _rounding_type(carrier: Carrier, plan: RoundingPlan | None) -> str:
    if plan is None:
        return f"Exact<{_type(carrier)}>"
    choices = ", ".join(map(_word, (plan.flush, plan.grid, plan.signed_zero, plan.odd, plan.cut)))
    return f"Rounding<{_type(carrier)}, Rule::{plan.rule}, Ends::{plan.ends}, {choices}>"


def inner_mode(plan: VectorPlan) -> Mode:
    """Return how the processor rounds while it takes steps."""
    modes = {place.mode for place in (plan.product, plan.inner) if place is not None} - {None}
    return modes.pop() or "nearest" if modes else "nearest"


def _tile(spec: MacSpec, plan: VectorPlan, pairs: bool) -> tuple[int, int]:
    """Return the rows and vectors of a tile: what registers hold, with enough sums to wait for none."""
    if pairs:
        return 1, 4
    if spec.lanes > 1 or spec.aligns or _random_place(spec) == "steps" or plan.product is not None:
        return 4, 2
    return 6, 2


# -- what C++ and Python share ---------------------------------------------------------------------------------------


def _structure(name: str, **members: Any) -> type[ctypes.Structure]:
    return type(name, (ctypes.Structure,), {"_fields_": list(members.items())})


_int64, _double, _pointer = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p
_KINDS = {"keep": ctypes.c_uint64, "random_shift": _int64}
_Constants = _structure("Constants", **{field.name: _KINDS.get(field.name, _double) for field in fields(Constants)})
_KINDS_OF_ALIGNMENT = {"inverse": ctypes.c_uint64, "least": _int64, "together": _int64}
_Alignment = _structure(
    "Alignment", **{field.name: _KINDS_OF_ALIGNMENT.get(field.name, _double) for field in fields(Alignment)}
)
_TASK_POINTERS = (
    *("left", "panels", "left_exponents", "panel_exponents", "results"),
    *("row_scales", "col_scales", "states", "carry"),
)
_TASK_NUMBERS = (
    *("rows", "columns", "left_stride", "result_row_stride", "result_col_stride", "scale_stride", "col_scale_stride"),
    *("state_row_stride", "state_col_stride", "begin", "end", "length", "chunk", "lanes", "copies"),
    *("first_tile", "tiles", "threads"),
)
_Task = _structure(
    "Task",
    **dict.fromkeys(_TASK_POINTERS, _pointer),
    **dict.fromkeys(_TASK_NUMBERS, _int64),
    product=_Constants,
    sum=_Constants,
    outer=_Constants,
    alignment=_Alignment,
)


@lru_cache(1024)
def _constants(numbers: Constants | None) -> ctypes.Structure:
    if numbers is None:
        return _Constants()
    return _Constants(*(getattr(numbers, field.name) for field in fields(Constants)))


@lru_cache(1024)
def _alignment(numbers: Alignment | None) -> ctypes.Structure:
    if numbers is None:
        return _Alignment()
    return _Alignment(*(getattr(numbers, field.name) for field in fields(Alignment)))


@dataclass(frozen=True)
class Kernel:
    """A loaded kernel.

    Attributes:
        function: computes tiles of a task.
        rows: of a tile.
        width: columns of a tile and of a panel.
        carry: bytes that a tile needs from block to block.
    """

    function: Any
    rows: int
    width: int
    carry: int

    @classmethod
    def from_library(cls, library: ctypes.CDLL, number: int) -> "Kernel":
        """Return a kernel of a library of `kernel_source`."""
        function = library[f"macgen_kernel_{number}"]
        function.argtypes, function.restype = [ctypes.c_void_p, ctypes.POINTER(_int64)], None
        sizes = (_int64 * 3)()
        function(None, sizes)
        return cls(function, *sizes)

    @classmethod
    def of(cls, spec: MacSpec, plan: VectorPlan | IntegerPlan, *, pairs: bool = False) -> "Kernel | None":
        """Return the kernel of a plan, compiled if need be; None where there is no compiler."""
        return _kernel(spec, plan, pairs)

    def tiles(self, rows: int, columns: int) -> int:
        """Return how many tiles a block has."""
        return -(-rows // self.rows) * -(-columns // self.width)

    def run(self, spec: MacSpec, plan: VectorPlan | IntegerPlan, block: "Block", *, pairs: bool, threads: int) -> None:
        """Compute a block's results, or carry its sums on to the next block of products."""
        left, panels, results = block.left, block.panels, block.results
        rows, columns = results.shape
        scales, states = block.scales, block.states
        task = _Task(
            left=left.ctypes.data,
            panels=panels.ctypes.data,
            results=results.ctypes.data,
            carry=None if block.carry is None else block.carry.ctypes.data,
            rows=rows,
            columns=columns,
            left_stride=left.strides[0] // left.itemsize,
            result_row_stride=results.strides[0] // 8,
            result_col_stride=results.strides[1] // 8,
            begin=block.begin,
            end=block.end,
            length=block.length,
            chunk=spec.chunk or block.length,
            lanes=spec.lanes,
            threads=threads,
        )
        if isinstance(plan, IntegerPlan):
            task.sum = _constants(plan.constants)
        else:
            task.copies, task.alignment = plan.copies, _alignment(plan.alignment)
            places = plan.product, plan.inner, plan.outer
            task.product, task.sum, task.outer = (_constants(place.constants if place else None) for place in places)
        if block.exponents is not None:
            task.left_exponents, task.panel_exponents = (of.ctypes.data for of in block.exponents)
        if scales is not None:
            task.row_scales, task.scale_stride = scales[0].ctypes.data, scales[0].shape[1]
            task.col_scales, task.col_scale_stride = scales[1].ctypes.data, scales[1].shape[1]
        if states is not None:
            task.states = states.ctypes.data
            task.state_row_stride, task.state_col_stride = (stride // 4 for stride in states.strides)
        total = self.tiles(rows, columns)
        together = max(SLICE_MACS // (self.rows * self.width * (block.end - block.begin)), threads)
        for first in range(0, total, together):
            task.first_tile, task.tiles = first, min(together, total - first)
            self.function(ctypes.byref(task), (_int64 * 3)())


@dataclass(frozen=True)
class Block:
    """A block of a matrix product as a kernel takes it.

    Attributes:
        left: (rows, products) in the carrier; of pairs, panels.
        panels: (panels, products, width) in the carrier.
        exponents: reference exponents of both, as `operands.reference_exponents` returns them, or those of their
            groups, (rows, groups) and (panels, groups, width); None where they are not asked for.
        results: (rows, columns) to be written.
        scales: (rows, chunks) of all chunks and (chunks, columns filled up), in the outer accumulator's carrier.
        states: (rows, columns) of random numbers.
        carry: memory for the sums, where the products come in several blocks.
        begin, end: the products of this block.
        length: all products.
    """

    left: NDArray[Any]
    panels: NDArray[Any]
    exponents: tuple[NDArray[Any], NDArray[Any]] | None
    results: Values
    scales: tuple[NDArray[Any], NDArray[Any]] | None
    states: States | None
    carry: NDArray[np.uint8] | None
    begin: int
    end: int
    length: int


_kernels: dict[str, Kernel | None] = {}


def prepare(texts: list[str]) -> None:
    """Compile kernels together, so that they need not be compiled one by one when they are used."""
    missing = [text for text in dict.fromkeys(texts) if text not in _kernels]
    if not missing:
        return
    library = load(kernel_source(missing))
    for number, text in enumerate(missing):
        _kernels[text] = None if library is None else Kernel.from_library(library, number)


@lru_cache(1024)
def _kernel(spec: MacSpec, plan: VectorPlan | IntegerPlan, pairs: bool) -> Kernel | None:
    text = kernel_text(spec, plan, pairs=pairs)
    prepare([text])
    return _kernels[text]
