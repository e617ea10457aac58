"""Verilog that follows control marks as `Control` defines them, arithmetic abstracted.

Of the turns of an interleaved array one is watched, any; the others do as they like.
"""

from __future__ import annotations

from macgen.prove.formal.tables import Arithmetic, raises_with_product, scaled
from macgen.prove.verilog_text import delayed
from macgen.spec import MacSpec

MARKS = ("step", "first", "fold", "fold_first", "done", "begins")
"""Control marks in the order in which harnesses have them."""

_START = ("start_value", "start_flags", "start_known")


def begins_dot(spec: MacSpec, at: str, before: str = "") -> str:
    """Return the condition that a step is its dot product's first, by the marks with this suffix and prefix."""
    if spec.has_outer_adder:
        return f"({before}first{at} & {before}fold_first{at})"
    return f"{before}first{at}" if spec.chunk is None else f"{before}begins{at}"


def folded_before(spec: MacSpec) -> str:
    """With `fold = bubble` the total is read before the fold that goes before in the same turn has written it."""
    if spec.chunk is None:
        return ""
    return (
        "  wire folds_now = fold;\n"
        + delayed("folds_now", spec.interleave, True)
        + f"  wire folded_before = folds_now_{spec.interleave};\n"
    )


def folded_lately(spec: MacSpec) -> str:
    """With outer additions of several cycles, whether one may not have ended that a fold begins after."""
    if spec.outer_cycles == 1:
        return ""
    waits = spec.outer_cycles - 1
    return (
        "  wire chunk_ends = fold;\n"
        + delayed("chunk_ends", waits, True)
        + f"  wire folded_lately = {' | '.join(f'chunk_ends_{cycle}' for cycle in range(1, waits + 1))};\n"
    )


def interpreter(arithmetic: Arithmetic, at: str, finish: int) -> str:
    """Return Verilog that follows the marks as `Control` defines them: sums of one-bit products, one-bit states.

    `known` registers say from when on a sum does not depend on what the PE held before. Where `mine` is set, a cycle is
    the watched turn's; `tile_sum` is its sum when it is done, which it is where `ends` is set, `finish` cycles later.
    With preloaded accumulators a sum starts from the nets `start_value`, `start_flags`, `start_known`, as they are when
    its first step is taken or, with an outer adder, `finish` cycles later.

    Parameters:
        arithmetic: of the array.
        at: suffix of the marks and scales.
        finish: cycles from a mark `done` to the result.
    """
    spec, steps, flag_bits = arithmetic.spec, arithmetic.steps, arithmetic.flag_bits
    outer, chunks = spec.has_outer_adder, spec.chunk is not None
    begins = f"first{at}" if not chunks or outer or spec.fold == "overlap" else "1'b0"
    value, flags, known = _START if spec.preload and not chunks and not outer else ("1'b0", f"{flag_bits}'b0", "1'b1")
    raised = " | product_flags" if raises_with_product(spec) else ""
    text = f"""\
  reg acc, acc_known = 0;
  reg [{flag_bits - 1}:0] acc_flags;
  wire base = {begins} ? {value} : acc;
  wire sum = {steps.sum("base", "product")};
  wire [{flag_bits - 1}:0] sum_flags = ({begins} ? {flags} : acc_flags) | {steps.deferred_by("base")}
    | {steps.raised("base", "product")}{raised};
  wire sum_known = {begins} ? {known} : acc_known;
"""
    emptied = ""
    if chunks and not outer:
        # What `fold = overlap` leaves in the accumulator nobody reads: the next product starts a chunk.
        does = "acc <= 0; acc_flags <= 0; acc_known <= 1;" if spec.fold == "bubble" else "acc_known <= 0;"
        emptied = f"if (fold{at}) begin {does} end"
    text += f"""\
  always @(posedge clk) begin
    if (~begun) acc_known <= 0;
    else if (mine) begin
      {emptied}
      if (step{at}) begin acc <= sum; acc_flags <= sum_flags; acc_known <= sum_known; end
    end
  end
"""
    shown, late = {"tile_sum": "sum", "tile_flags": "sum_flags", "tile_known": "sum_known"}, 0
    if chunks or outer:
        text += _folds(arithmetic, at, finish if outer else 0)
        shown = {"tile_sum": "fold_sum", "tile_flags": "fold_flags", "tile_known": "fold_known"}
        late = finish if outer else 0
    text += f"  wire ends = mine & done{at};\n" + delayed("ends", finish, True)
    for signal, net in shown.items():
        width = flag_bits if signal == "tile_flags" else 1
        text += f"  wire [{width - 1}:0] {signal} = {net};\n" + delayed(signal, finish - late, False, width)
    text += f"  wire ended = ends_{finish};\n"
    text += "".join(
        f"  wire [{flag_bits - 1 if 'flags' in s else 0}:0] {s}_ended = {s}_{finish - late};\n" for s in shown
    )
    return text


def _folds(arithmetic: Arithmetic, at: str, late: int) -> str:
    """Return Verilog for what folds do to the total, some cycles later than their marks."""
    spec, steps, tables, flag_bits = arithmetic.spec, arithmetic.steps, arithmetic.folds, arithmetic.flag_bits
    if spec.has_outer_adder:
        what = scaled("sum", f"p{at}", f"q{at}") if spec.scales_chunks else "sum"
        chunk = {
            "chunk_sum": what,
            "chunk_known": "sum_known",
            "chunk_flags": f"sum_flags | {steps.deferred_by('sum')}",
        }
    else:
        chunk = {
            "chunk_sum": "acc",
            "chunk_known": "acc_known",
            "chunk_flags": f"acc_flags | {steps.deferred_by('acc')}",
        }
    chunk |= {"folds": f"mine & fold{at}", "starts": f"fold_first{at}"}
    if spec.preload:
        chunk["begins_total"] = f"mine & {begins_dot(spec, at)}"
    text = ""
    for signal, net in chunk.items():
        width = flag_bits if signal == "chunk_flags" else 1
        text += f"  wire [{width - 1}:0] {signal} = {net};\n"
        text += delayed(signal, late, signal in ("folds", "begins_total"), width)
    taken, taken_flags, starts = f"chunk_sum_{late}", f"chunk_flags_{late}", f"starts_{late}"
    total_flags = f"({starts} ? {flag_bits}'b0 : total_flags)"
    known, begins = f"({starts} | total_known)", ""
    if spec.preload:
        value, value_flags, value_known = _START
        begin = f"begins_total_{late}"
        begins = f"    else if ({begin}) begin total <= {value}; total_flags <= {value_flags}; "
        begins += f"total_known <= {value_known}; end\n"
    if spec.has_outer_adder:
        base = f"({starts} ? 1'b0 : total)"
        if spec.preload:
            base, known = f"({begin} ? {value} : total)", f"({begin} ? {value_known} : total_known)"
            total_flags = f"({begin} ? {value_flags} : total_flags)"
        fold_sum = tables.sum(base, taken)
        flags = f"{tables.deferred_by(base)} | {tables.raised(base, taken)}"
    else:
        fold_sum = f"{starts} ? {taken} : {tables.sum(taken, 'total')}"
        flags = f"({starts} ? {flag_bits}'b0 : {tables.deferred_by('total')} | {tables.raised(taken, 'total')})"
    return (
        text
        + f"""\
  reg total, total_known = 0;
  reg [{flag_bits - 1}:0] total_flags;
  wire fold_sum = {fold_sum};
  wire [{flag_bits - 1}:0] fold_flags = {taken_flags} | {total_flags} | {flags};
  wire fold_known = chunk_known_{late} & {known};
  always @(posedge clk) begin
    if (~begun) total_known <= 0;
    else if (folds_{late}) begin total <= fold_sum; total_flags <= fold_flags; total_known <= fold_known; end
{begins}  end
"""
    )
