"""The proof of the way through a compressing unit: with elements of any values each leaves once, in order, unchanged.

One group of elements, any, is followed from register to register; the claims say what each of them holds of it.
"""

from __future__ import annotations

from collections.abc import Mapping

from macgen.compress.spec import CompressSpec
from macgen.prove.formal.harness import BEGUN, Harness, Property, clocks, harness_module
from macgen.prove.verilog_text import Ports, instance, module, wire

INDUCTION = 4
"""Cycles up to which induction is tried; one is enough for what is right."""

_UNPROVED = (
    "that the scale is the mean of the bins' largest magnitudes is tested, and exhaustively for small formats",
    "that every stall ends is tested: the proofs say what moves, not when",
    "the receiver of what learners sent is tested",
)


def way(spec: CompressSpec, name: str, modules: Mapping[str, Ports]) -> Harness:
    """Return the proof of the compressor around its elements, its memory and its division, which may be any."""
    ports = modules[f"{name}_compressor"]
    properties = (
        Property("order", "every group that is taken is kept once, in order"),
        Property("kept", "with its accumulated gradients, their flags and the layer's mark unchanged"),
        Property("choice", "it sends what is not 0 and reaches the largest magnitude of its own bin"),
        Property("sent", "what it sends leaves once, in order, with its number in its bin and its signs"),
        Property("ends", "every bin ends with one marked beat, and every layer with its own scale"),
        Property("inside", "no word is written over before it is read"),
    )
    outside = {port: bits for port, (_, bits) in ports.items() if port not in clocks(ports)}
    inputs = {port: bits for port, bits in outside.items() if ports[port][0] == "input"}
    peeked = _peeked(spec)
    body = [
        BEGUN,
        *(wire(port, bits) for port, bits in outside.items() if port not in inputs),
        *(wire(net, bits) for net, (bits, _) in peeked.items()),
        wire("memory_value", spec.lanes * spec.word_bits),
        instance(f"{name}_compressor", "dut", {**clocks(ports), **{port: port for port in outside}}),
        _watch(spec),
        _reference(spec),
        _claims(spec),
    ]
    more = {"pick": 1, "any_word": spec.lanes * spec.word_bits}
    return Harness(
        "way",
        _abstractions(spec, name, modules) + harness_module({**inputs, **more}, body, properties),
        properties,
        replaced=(f"{name}_element", f"{name}_memory", f"{name}_mean"),
        connections=(
            *((net, path) for net, (_, path) in peeked.items()),
            ("dut.buffer.memory.value", "memory_value"),
        ),
        depth=INDUCTION,
        unproved=_UNPROVED,
    )


def _abstractions(spec: CompressSpec, name: str, modules: Mapping[str, Ports]) -> str:
    """Return elements that make any values, a memory that gives what it is told, and a division that takes any time."""
    element, memory, mean = (modules[f"{name}_{unit}"] for unit in ("element", "memory", "mean"))
    outputs = {port: bits for port, (direction, bits) in element.items() if direction == "output"}
    any_values = "".join(
        f"  reg [{bits - 1}:0] any_{port};\n  (* anyseq *) wire [{bits - 1}:0] next_{port};\n"
        f"  always @(posedge clk) if (move) any_{port} <= next_{port};\n  assign {port} = any_{port};\n"
        for port, bits in outputs.items()
    )
    word = spec.lanes * spec.word_bits
    given = (
        f"  wire [{word - 1}:0] value;\n  reg [{word - 1}:0] held;\n"
        "  always @(posedge clk) if (read) held <= value;\n  assign read_data = held;\n"
    )
    divides = f"""\
  reg asked = 0;
  (* anyseq *) wire finished;
  (* anyseq *) wire [{spec.width - 1}:0] quotient;
  always @(posedge clk) asked <= ~rst & ((add & last) | (asked & ~taken));
  assign ready = asked & finished;
  assign mean = quotient;
"""
    return (
        module(f"{name}_element", element, any_values)
        + module(f"{name}_memory", memory, given)
        + module(f"{name}_mean", mean, divides)
    )


def _peeked(spec: CompressSpec) -> dict[str, tuple[int, str]]:
    """Return what the harness reads inside: width and path of each register and port."""
    lanes, width = spec.lanes, spec.width
    index, word = max((spec.groups - 1).bit_length(), 1), lanes * spec.word_bits
    top = {"valid": 3, "last": 3, "awaited": 1, "group": 1, "index": index, "ends_bin": 1, "ends_layer": 1}
    buffer = {"into": 1, "full": 2, "count": index, "so_far": width, "out_of": 1, "place": index, "take": 1, "read": 1}
    buffer |= {"step": 1, "data": word, "magnitudes": lanes * width, "read_data": word, "closed": 1, "closed_last": 1}
    for bank in range(2):
        buffer |= {f"top_{bank}": index, f"last_{bank}": 1, f"largest_{bank}": width}
    selector = {"valid": 1, "take": 1, "group_index": index, "group_end": 1, "group_last": 1, "mean_ready": 1}
    selector |= {"group_codes": lanes * width, "group_overflows": lanes, "group_sent": lanes, "group_sign": lanes}
    selector |= {"waiting_closed": 1, "waiting_last": 1, "waiting_index": index, "waiting_sent": lanes}
    selector |= {"waiting_sign": lanes, "mean_taken": 1}
    found = {f"c_{net}": (bits, f"dut.{net}") for net, bits in top.items()}
    found["c_largest"] = (width, "dut.largest")
    found |= {f"b_{net}": (bits, f"dut.buffer.{net}") for net, bits in buffer.items()}
    found |= {f"s_{net}": (bits, f"dut.selector.{net}") for net, bits in selector.items()}
    found["m_asked"] = (1, "dut.scale.asked")
    return found


def _watch(spec: CompressSpec) -> str:
    """Return Verilog that follows one group, any, on its way: `place_of` says where it is."""
    word, index = spec.lanes * spec.word_bits, max((spec.groups - 1).bit_length(), 1)
    counter = _counter(spec)
    return f"""\
  localparam NOWHERE = 4'd0, STAGE_1 = 4'd1, STAGE_2 = 4'd2, STAGE_3 = 4'd3, MEMORY = 4'd4, READ = 4'd5, CHOSEN = 4'd6;
  localparam KEPT = 4'd7, GONE = 4'd8;
  wire taken = in_valid & in_ready;
  wire kept_taken = kept_valid & kept_ready;
  wire out_taken = out_valid & out_ready;
  wire out_free = ~out_valid | out_ready;
  wire leaves = s_waiting_closed & out_free & (~s_waiting_last | s_mean_ready);
  wire some_wait = ~s_waiting_closed & |s_waiting_sent;
  wire some_sent = |s_group_sent;
  wire moves = s_valid & (~kept_valid | kept_ready) & (~s_waiting_closed | leaves)
    & (~(some_wait & some_sent) | out_free);
  wire steps = b_read & b_step;
  wire b_closes = b_take & (c_last[2] | b_count == {index}'d{spec.groups - 1});
  reg [3:0] place_of = 0;
  reg w_last, w_bank, w_end;
  reg [{index - 1}:0] w_index;
  reg [{word - 1}:0] w_data;
  // Numbers of groups: the next ones to come, to be written, to be read and to go; and each bin's first one.
  reg [{counter - 1}:0] came = 0, written = 0, fetched = 0, went = 0, first_0, first_1, w_number;
  wire is_read = place_of == MEMORY & steps & b_out_of == w_bank & b_place == w_index;
  assign memory_value = is_read ? w_data : any_word;
  always @(posedge clk) begin
    came <= ~begun ? 0 : came + {{{counter - 1}'d0, taken}};
    written <= ~begun ? 0 : written + {{{counter - 1}'d0, b_take}};
    fetched <= ~begun ? 0 : fetched + {{{counter - 1}'d0, steps}};
    went <= ~begun ? 0 : went + {{{counter - 1}'d0, kept_taken}};
    if (b_take & b_count == 0 & ~b_into) first_0 <= written;
    if (b_take & b_count == 0 & b_into) first_1 <= written;
    if (~begun) place_of <= NOWHERE;
    else case (place_of)
      NOWHERE: if (pick & taken) begin
        place_of <= STAGE_1;
        w_last <= in_last;
        w_number <= came;
      end
      STAGE_1: if (in_ready) place_of <= STAGE_2;
      STAGE_2: if (in_ready) place_of <= STAGE_3;
      STAGE_3: if (b_take) begin
        place_of <= MEMORY;
        w_bank <= b_into;
        w_index <= b_count;
        w_end <= b_closes;
        w_data <= b_data;
      end
      MEMORY: if (is_read) place_of <= READ;
      READ: if (s_take) place_of <= CHOSEN;
      CHOSEN: if (moves) place_of <= KEPT;
      KEPT: if (kept_taken) place_of <= GONE;
      default: ;
    endcase
  end
"""


def _counter(spec: CompressSpec) -> int:
    """Return the bits of a counter of groups that is ahead of another by no more than the unit holds."""
    return (2 * spec.groups + 8).bit_length() + 1


def _reference(spec: CompressSpec) -> str:
    """Return Verilog for the largest magnitude of the bin at work and of the watched group's, and its choice."""
    width, lanes, bits = spec.width, spec.lanes, spec.word_bits
    largest = "ref_so_far"
    lines = []
    for lane in range(lanes):
        magnitude = f"b_magnitudes[{(lane + 1) * width - 1}:{lane * width}]"
        lines.append(f"  wire [{width - 1}:0] ref_{lane} = {largest} < {magnitude} ? {magnitude} : {largest};\n")
        largest = f"ref_{lane}"
    codes, aheads, overflows, choice, signs = [], [], [], [], []
    for lane in reversed(range(lanes)):
        low = lane * bits
        code, ahead = f"w_data[{low + width - 1}:{low}]", f"w_data[{low + bits - 1}:{low + width + 1}]"
        codes.append(code)
        aheads.append(ahead)
        overflows.append(f"w_data[{low + width}]")
        choice.append(f"(|{code} & {ahead} >= {{1'b0, w_largest}})")
        signs.append(f"w_data[{low + width - 1}]")
    return (
        f"  reg [{width - 1}:0] ref_so_far = 0, w_largest;\n"
        + "".join(lines)
        + f"""\
  always @(posedge clk) begin
    if (~begun | b_closes) ref_so_far <= 0;
    else if (b_take) ref_so_far <= {largest};
    if (b_closes & (place_of == STAGE_3 | (place_of == MEMORY & ~(w_bank ? b_full[1] : b_full[0]))))
      w_largest <= {largest};
  end
  wire [{lanes * width - 1}:0] w_codes = {{{", ".join(codes)}}};
  wire [{lanes - 1}:0] w_overflows = {{{", ".join(overflows)}}};
  wire [{lanes - 1}:0] w_choice = {{{", ".join(choice)}}};
  wire [{lanes - 1}:0] w_sign = w_choice & {{{", ".join(signs)}}};
"""
    )


def _claims(spec: CompressSpec) -> str:
    """Return Verilog of the claims, with what makes each one follow from the cycle before."""
    counter, index, groups = _counter(spec), max((spec.groups - 1).bit_length(), 1), spec.groups
    pad = counter - index

    def wide(value: str) -> str:
        return f"{{{pad}'d0, {value}}}"

    def one(bit: str) -> str:
        return f"{{{counter - 1}'d0, {bit}}}"

    last_group = f"{index}'d{groups - 1}"
    sent_port = "out_sent" if spec.lanes > 1 else f"(out_index != {spec.index_bits}'d{groups})"
    sent_equal = "out_sent == w_choice &" if spec.lanes > 1 else ""
    extra = spec.index_bits - index
    number = f"{{{extra}'d0, w_index}}" if extra > 0 else "w_index"
    return f"""\
  wire full_out = b_out_of ? b_full[1] : b_full[0];
  wire full_other = b_out_of ? b_full[0] : b_full[1];
  wire w_full = w_bank ? b_full[1] : b_full[0];
  wire [{index - 1}:0] top_out = b_out_of ? b_top_1 : b_top_0;
  wire [{index - 1}:0] top_other = b_out_of ? b_top_0 : b_top_1;
  wire [{index - 1}:0] w_top = w_bank ? b_top_1 : b_top_0;
  wire [{counter - 1}:0] first_out = b_out_of ? first_1 : first_0;
  wire [{counter - 1}:0] first_other = b_out_of ? first_0 : first_1;
  wire [{counter - 1}:0] first_into = b_into ? first_1 : first_0;
  wire [{counter - 1}:0] after_out = first_out + {wide("top_out")} + {one("1'b1")};
  wire [{counter - 1}:0] after_other = first_other + {wide("top_other")} + {one("1'b1")};
  wire [{counter - 1}:0] filled = {wide("b_count")};
  // The buffer: which bins are full, and how far each is filled and read.
  wire tops_ok = (~b_full[0] | b_top_0 <= {last_group}) & (~b_full[1] | b_top_1 <= {last_group});
  wire numbers_follow = (full_out ? fetched == first_out + {wide("b_place")} : fetched + filled == written)
    & (~full_out | full_other | written == after_out + filled)
    & (~full_other | (first_other == after_out & written == after_other))
    & (full_other | b_count == 0 | first_into == (full_out ? after_out : fetched))
    & came == written + {one("c_valid[0]")} + {one("c_valid[1]")} + {one("c_valid[2]")}
    & fetched == went + {one("kept_valid")} + {one("s_valid")} + {one("c_group")};
  wire w_numbered =
      place_of == KEPT ? w_number == went
    : place_of == CHOSEN ? w_number == went + {one("kept_valid")}
    : place_of == READ ? w_number == went + {one("kept_valid")} + {one("s_valid")}
    : place_of == MEMORY ? w_number == (w_bank ? first_1 : first_0) + {wide("w_index")}
    : place_of == STAGE_3 ? w_number == written
    : place_of == STAGE_2 ? w_number == written + {one("c_valid[2]")}
    : w_number == written + {one("c_valid[2]")} + {one("c_valid[1]")};
  wire w_there = place_of == KEPT ? kept_valid : place_of == CHOSEN ? s_valid : place_of == READ ? c_group
    : place_of == STAGE_3 ? c_valid[2] : place_of == STAGE_2 ? c_valid[1] : place_of == STAGE_1 ? c_valid[0] : 1'b1;
  wire inside = place_of != NOWHERE & place_of != GONE;
  wire bounds_ok = (b_count <= {last_group}) & (b_place <= {last_group}) & tops_ok
    & (full_out ? b_place <= top_out : b_place == 0) & (full_out | ~full_other)
    & (full_out & ~full_other ? b_into != b_out_of : b_into == b_out_of) & (~full_other | b_count == 0)
    & b_so_far == ref_so_far;
  wire ok_order = ~begun | (bounds_ok
    & numbers_follow & place_of <= GONE & (~inside | (w_there & w_numbered)));
  // The watched group: where it is in the buffer, and what stands in the registers that it has come to.
  wire in_memory_ok = w_full ? w_index <= w_top & (w_bank != b_out_of | b_place <= w_index)
      & w_end == (w_index == w_top) & (w_index != w_top | w_last == (w_bank ? b_last_1 : b_last_0))
      & (w_index == w_top | ~w_last) & w_largest == (w_bank ? b_largest_1 : b_largest_0)
    : w_bank == b_into & w_index < b_count & ~w_last & ~w_end;
  wire ok_kept = ~begun | ((place_of != STAGE_1 | c_last[0] == w_last) & (place_of != STAGE_2 | c_last[1] == w_last)
    & (place_of != STAGE_3 | c_last[2] == w_last) & (place_of != MEMORY | in_memory_ok)
    & (place_of != READ | (b_read_data == w_data & c_index == w_index & c_ends_bin == w_end & c_ends_layer == w_last
      & c_largest == w_largest))
    & (place_of != CHOSEN | (s_group_codes == w_codes & s_group_overflows == w_overflows & s_group_last == w_last
      & s_group_index == w_index & s_group_end == w_end))
    & (place_of != KEPT | (kept_data == w_codes & kept_overflow == w_overflows & kept_last == w_last)));
  wire ok_choice = ~begun | ((place_of != CHOSEN | (s_group_sent == w_choice & s_group_sign == w_sign))
    & (place_of != KEPT | kept_sent == w_choice));
  // What is sent: where the watched group's beat is, and how many beats, ends of bins and of layers are inside.
  reg [1:0] beat_of = 0;  // 1: it waits, 2: it is offered
  reg [3:0] pushed = 0, popped = 0, closed = 0, ended = 0, w_bin;
  wire pushes = moves & some_wait & some_sent;
  wire some_out = |{sent_port};
  always @(posedge clk) begin
    pushed <= ~begun ? 0 : pushed + {{3'd0, moves & some_sent}};
    popped <= ~begun ? 0 : popped + {{3'd0, out_taken & some_out}};
    closed <= ~begun ? 0 : closed + {{3'd0, moves & s_group_end}};
    ended <= ~begun ? 0 : ended + {{3'd0, out_taken & out_end}};
    if (~begun) beat_of <= 0;
    else if (place_of == CHOSEN & moves & some_sent) begin
      beat_of <= 1;
      w_bin <= closed;
    end else if (beat_of == 1 & (leaves | pushes)) beat_of <= 2;
    else if (beat_of == 2 & out_taken) beat_of <= 0;
  end
  wire waits = |s_waiting_sent;
  wire numbers_ok = (~c_group | c_index <= {last_group}) & (~s_valid | s_group_index <= {last_group})
    & (~waits | s_waiting_index <= {last_group});
  wire ok_sent = ~begun | (numbers_ok & beat_of != 3
    & pushed == popped + {{3'd0, waits}} + {{3'd0, out_valid & some_out}}
    & (beat_of != 1 | (s_waiting_sent == w_choice & s_waiting_sign == w_sign & s_waiting_index == w_index
      & waits))
    & (beat_of != 2 | (out_valid & {sent_equal} out_sign == w_sign & out_index == {number}))
    & (beat_of == 0 | place_of == KEPT | place_of == GONE) & (beat_of == 0 | w_choice != 0));
  wire ends_ok = closed == ended + {{3'd0, s_waiting_closed}} + {{3'd0, out_valid & out_end}}
    & (beat_of != 1 | w_bin == ended + {{3'd0, out_valid & out_end}})
    & (beat_of != 2 | w_bin == ended)
    & (~out_valid | out_end | some_out) & (~out_valid | ~out_last | out_end);
  wire [3:0] layers = {{3'd0, b_full[0] & b_last_0}} + {{3'd0, b_full[1] & b_last_1}}
    + {{3'd0, c_group & c_ends_layer}} + {{3'd0, s_valid & s_group_last}}
    + {{3'd0, s_waiting_closed & s_waiting_last}};
  wire marks_ok = (~c_group | ~c_ends_layer | c_ends_bin) & (~s_valid | ~s_group_last | s_group_end);
  wire ok_ends = ~begun | (ends_ok & marks_ok & layers == {{3'd0, c_awaited}}
    & c_awaited == (m_asked | (b_closed & b_closed_last)) & ~(m_asked & b_closed & b_closed_last));
  wire ok_inside = ~begun | ~(place_of == MEMORY & b_take & b_into == w_bank & b_count == w_index);
"""
