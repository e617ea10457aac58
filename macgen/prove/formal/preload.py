"""Verilog harness for the proof of stream d: each PE starts from the start value of its row, turn and column."""

from __future__ import annotations

from collections.abc import Mapping

from macgen.prove.formal.array import STARTING, abstract_pe, core_instance
from macgen.prove.formal.harness import BEGUN, SOURCE_INPUTS, Harness, Property, harness_module, rounds, source
from macgen.prove.formal.starts import abstract_start
from macgen.prove.verilog_text import Ports, conjunction, delayed, joined
from macgen.rtl import Design


def start_harness(design: Design, name: str, modules: Mapping[str, Ports]) -> Harness | None:
    """Return the proof that PEs start from their start values, each from its own of its tile.

    Parameters:
        design: the array.
        name: its top module's name.
        modules: ports of the emitted modules.

    Returns:
        The proof; None for an array without preloaded accumulators.
    """
    spec = design.spec
    if not spec.preload:
        return None
    turns, cols, ports = spec.interleave, spec.cols, modules[f"{name}_pe"]
    beats, bits = spec.rows * turns, ports["start_in"][1]
    # Cycles from a beat until the PE at the end of the last row has used its start value.
    last_used = spec.rows + cols + design.start_cycles
    beat_bits, turn_bits = max((beats - 1).bit_length(), 1), max((turns - 1).bit_length(), 1)
    width = spec.outer_format.width
    codes = joined(f"{{{width}{{start_bits[{col}]}}}}" for col in reversed(range(cols)))
    body = [
        *(f"  wire [{count * each - 1}:0] {key} = 0;\n" for key, (count, each) in design.operand_vectors.items()),
        BEGUN,
        source(),
        f"  wire [{cols * width - 1}:0] d_data = {codes};\n",
        core_instance(design, name, modules),
        "  wire accept = begun & a_valid & a_ready;\n",
        rounds(turns),
        STARTING,
        f"  (* anyconst *) wire [{bits - 1}:0] pattern;\n",
        "  wire begins = accept & start, begins_last = accept & closes & start;\n",
        delayed("begins", spec.rows + cols, True),
        delayed("begins_last", last_used, True),
        f"""\
  wire given = begun & d_valid & d_ready;
  reg all_given = 0, started = 0;
  reg [{beat_bits - 1}:0] beat = 0;
  wire last_given = given & beat == {beats - 1};
  always @(posedge clk) begin
    if (given) beat <= last_given ? {beat_bits}'d0 : beat + {beat_bits}'d1;
    all_given <= (all_given | last_given) & ~begins_last_{last_used};
    started <= (started | accept & opens & start) & ~begins_last_{last_used};
  end
""",
    ]
    connections = [("loaded", "dut.preloader.loaded")]
    connections += [(f"dut.start_{col}.start_pattern", "pattern") for col in range(cols)]
    own, waves = [], []
    for row in range(spec.rows):
        for col in range(cols):
            place, pe = f"{row}_{col}", f"dut.{design.path_of_pe(row, col)}"
            connections += [
                (f"{pe}.start_pattern", "pattern"),
                (f"uses_{place}", f"{pe}.uses_start"),
                (f"held_{place}", f"{pe}.start_0"),
                (f"begins_at_{place}", f"{pe}.begins_here_0"),
            ]
            body.append(f"""\
  wire uses_{place}, held_{place}, begins_at_{place};
  reg [{turns - 1}:0] value_{place};
  reg [{turn_bits - 1}:0] turn_{place} = 0;
""")
            moves = f"turn_{place} == {turns - 1} ? {turn_bits}'d0 : turn_{place} + {turn_bits}'d1"
            body.append(f"  always @(posedge clk) if (begun & uses_{place}) turn_{place} <= {moves};\n")
            for turn in range(turns):
                body.append(
                    f"  always @(posedge clk) if (given & beat == {row * turns + turn}) "
                    f"value_{place}[{turn}] <= start_bits[{col}];\n"
                )
            value = f"value_{place}[{turns - 1}]"
            for turn in reversed(range(turns - 1)):
                value = f"turn_{place} == {turn} ? value_{place}[{turn}] : {value}"
            own.append(f"(~uses_{place} | held_{place} == ({value}))")
            waves.append(f"(begins_at_{place} == begins_{row + col + 1})")
    same = conjunction(waves)
    body.append(f"""\
  wire ok_waits = ~begun | (loaded == (all_given & ~started) & (~(accept & opens & start) | loaded));
  wire ok_own = ~begun | ({conjunction(own)} & {same});
  wire ok_released = ~begun | d_ready == ~all_given;
""")
    which = "row and column" if turns == 1 else "row, turn and column"
    properties = (
        Property("waits", "a beat starts dot products only once all of their start values are there, unused"),
        Property("own", f"each PE starts from its tile's start value of its {which}"),
        Property(
            "released",
            f"the next tile's start values are taken from {last_used + 1} cycles after the "
            f"{'beat that starts its' if turns == 1 else 'last beat that starts'} dot products, and none before",
        ),
    )
    inputs = {**SOURCE_INPUTS, "c_ready": 1, "d_valid": 1, "start_bits": cols}
    start = f"{name}_start"
    return Harness(
        name="starts",
        verilog=abstract_pe(design, name, ports)
        + abstract_start(start, modules[start], list(design.results.value.members))
        + harness_module(inputs, body, properties),
        properties=properties,
        replaced=(f"{name}_pe", start),
        connections=tuple(connections),
    )
