"""A whole array as gates, driven in many independent lanes: gaps, back-pressure, restarts, resets, nasty operands.

Every lane has its own beats and its own handshakes. What comes out is compared with the golden model afterwards.
"""

from dataclasses import dataclass

import numpy as np

from macgen.golden import Model, draws
from macgen.golden.model import random_numbers
from macgen.numerics import FixedFormat, ScaleFormat
from macgen.numerics.flags import FLAG_BITS
from tests.strategies import corner_codes


class DifferenceError(AssertionError):
    """The array did something else than the contract says."""


# -- operands --------------------------------------------------------------------------------------------------------


def near(fmt, exponents, rng):
    """Return codes of random numbers with about these leading exponents, few significand bits set as often as many."""
    shape = exponents.shape
    sign = rng.integers(0, 2, shape)
    if isinstance(fmt, FixedFormat):
        top = fmt.width - fmt.signed
        high = np.clip(exponents + fmt.frac_bits, 0, top - 1) if top else np.zeros(shape, np.int64)
        magnitude = (1 << high) | (few_bits(top, rng, shape) & ((1 << high) - 1) if top else 0)
        return np.where(sign * fmt.signed == 1, -magnitude, magnitude) & ((1 << fmt.width) - 1)
    field = np.clip(exponents + fmt.bias, 0, (1 << fmt.exp_bits) - 1)
    magnitude = np.minimum(field << fmt.man_bits | few_bits(fmt.man_bits, rng, shape), fmt.max_code)
    return magnitude | sign << (fmt.width - 1)


def few_bits(width, rng, shape):
    """Return random integers of a width: uniform ones, sparse ones, dense ones."""
    if width == 0:
        return np.zeros(shape, np.int64)
    x, y, z = (rng.integers(0, 1 << width, shape) for _ in range(3))
    kind = rng.integers(0, 4, shape)
    return np.choose(kind, [x, x & y & z, x | y | z, (x & 1) << rng.integers(0, width, shape)])


def operands(spec, rng, lanes, beats):
    """Return codes of both operands, (lanes, rows, beats) and (lanes, cols, beats).

    Each lane has a kind: all codes alike; few corner codes; products about one exponent, often the accumulator's ends;
    products of a few exponents.
    """
    acc, (a, b) = spec.acc, spec.port_formats
    lowest, highest = a.lsb_exponent + b.lsb_exponent, a.max_exponent + b.max_exponent
    ends = [acc.lsb_exponent, acc.max_exponent]
    if not isinstance(acc, FixedFormat):
        ends += [acc.min_exponent, acc.min_exponent - 1]
    a_codes = np.empty((lanes, spec.rows, beats), np.int64)
    b_codes = np.empty((lanes, spec.cols, beats), np.int64)
    for lane in range(lanes):
        kind = lane % 8
        sides = ((a, a_codes[lane]), (b, b_codes[lane]))
        if kind == 0:
            for fmt, codes in sides:
                codes[:] = rng.integers(0, 1 << fmt.width, codes.shape)
        elif kind in (1, 2):
            for fmt, codes in sides:
                pool = np.array(corner_codes(fmt))
                if kind == 2:  # finite ones and few, so that sums are ties and cancel
                    pool = np.array([code for code in pool.tolist() if fmt.number(code).kind == "finite"])
                    pool = rng.choice(pool, min(len(pool), 4), replace=False)
                codes[:] = rng.choice(pool, codes.shape)
        else:
            target = (
                int(np.clip(rng.choice(ends), lowest, highest)) if kind < 6 else int(rng.integers(lowest, highest + 1))
            )
            spread = int(rng.choice([0, 1, 2, acc.width, 2 * acc.width]))
            left = max(a.lsb_exponent, target - b.max_exponent)
            right = min(a.max_exponent, target - b.lsb_exponent)
            middle = int(rng.integers(left, right + 1)) if left <= right else left
            wobble = rng.integers(-spread, spread + 1, beats) if spread else np.zeros(beats, np.int64)
            a_codes[lane] = near(a, np.full((spec.rows, beats), middle), rng)
            b_codes[lane] = near(b, np.broadcast_to(target - middle + wobble, (spec.cols, beats)), rng)
            if kind == 7:  # a special code here and there
                for fmt, codes in sides:
                    rare = rng.random(codes.shape) < 0.02
                    codes[rare] = rng.choice(corner_codes(fmt), int(rare.sum()))
    return a_codes, b_codes


# -- beats -----------------------------------------------------------------------------------------------------------


@dataclass
class Beats:
    """What the lanes are to be fed: codes (lanes, rows or cols, elements), marks (lanes, beats), and of each beat's
    elements how many count, the others being 0; scales (lanes, rows or
    cols, beats), as many in a beat as blocks of lanes have.
    """

    a: np.ndarray
    b: np.ndarray
    first: np.ndarray
    last: np.ndarray
    used: np.ndarray
    a_scale: np.ndarray | None = None
    b_scale: np.ndarray | None = None


def beats_of(spec, rng, lanes, beats):
    """Return beats whose dot products end, and are dropped, about the ends of chunks as often as anywhere.

    With interleaving there are as many beats in each of the turns; only turn 0's marks count, so the others are random.
    """
    width, turns = spec.lanes, spec.interleave
    a, b = operands(spec, rng, lanes, beats * turns * width)
    used = np.full((lanes, beats * turns), width)
    all_first, all_last = rng.integers(0, 2, (2, lanes, beats * turns)).astype(bool)
    first, last = all_first[:, ::turns], all_last[:, ::turns]
    first[:], last[:] = False, False
    chunk = min((spec.chunk or 7 * width) // width, beats)
    for lane in range(lanes):
        start = 0
        while start < beats:
            around = chunk * int(rng.integers(0, 3)) + int(rng.integers(-1, 2))
            length = int(rng.choice([1, 2, around, int(rng.integers(1, 3 * chunk + 2)), int(rng.integers(1, 20))]))
            end = min(start + max(length, 1), beats)
            dropped = rng.random() < 0.15 and end < beats
            last[lane, end - 1] = not dropped
            # The beat after a last one is first, marked or not.
            first[lane, start] = rng.random() < 0.5 or (start > 0 and not last[lane, start - 1])
            if not dropped and width > 1:
                for beat in range((end - 1) * turns, end * turns):
                    used[lane, beat] = rng.integers(1, width + 1)
                    for codes in (a, b):
                        codes[lane, :, beat * width + used[lane, beat] : (beat + 1) * width] = 0
            start = end
    if spec.scale is None:
        return Beats(a, b, all_first, all_last, used)
    shape = (beats * turns, spec.scales_in_beat)
    sides = [scales(spec, rng, (lanes, side, beats * turns * shape[1])) for side in (spec.rows, spec.cols)]
    if spec.scales_lanes:  # blocks without an element have scales of code 0
        empty = np.arange(shape[1]) * spec.block >= used[:, :, np.newaxis]
        for codes in sides:
            codes[np.broadcast_to(empty.reshape(lanes, 1, -1), codes.shape)] = 0
    return Beats(a, b, all_first, all_last, used, *sides)


def scales(spec, rng, shape):
    """Return codes of scales: all codes alike, ones about 1, corner codes, by lane."""
    width = spec.scale.width
    anything = rng.integers(0, 1 << width, shape)
    if isinstance(spec.scale, ScaleFormat):
        corners = np.array([0, 1, spec.scale.nan_code - 1, spec.scale.nan_code])
        near_one = np.clip(rng.integers(spec.scale.bias - 3, spec.scale.bias + 4, shape), 0, spec.scale.nan_code)
    else:
        corners = np.array(corner_codes(spec.scale))
        near_one = near(spec.scale, rng.integers(-2, 3, shape), rng)
    kind = np.broadcast_to((np.arange(shape[0]) % 4)[:, None, None], shape)
    rare = np.where(rng.random(shape) < 0.1, rng.choice(corners, shape), near_one)
    return np.choose(kind, [near_one, near_one, rare, anything])


# -- simulation ------------------------------------------------------------------------------------------------------


@dataclass
class Log:
    """What happened: per cycle and lane, whether a beat was taken, a reset, and each lane's results in order."""

    taken: np.ndarray
    reset: np.ndarray
    results: list


def play(gates, spec, beats, rng, *, resets=True):
    """Feed all beats to an array and take all results; return the Log.

    Registers start at random; handshakes are random in each lane, from never a gap to mostly gaps.

    Raises:
        DifferenceError: the handshakes break a rule of the streams, or something hangs.
    """
    lanes, count = beats.last.shape
    state = gates.random_state(lanes, rng)
    index = np.zeros(lanes, np.int64)
    everyone, width = np.arange(lanes), spec.lanes
    rates = {name: rng.choice([1, 0.9, 0.5, 0.3], lanes) for name in ("a", "b", "c")}
    offered = {name: np.zeros(lanes, bool) for name in ("a", "b")}
    reset_rate = np.where(rng.random(lanes) < 0.3, 0.01, 0) if resets else np.zeros(lanes)
    taken_log, reset_log, results = [], [], [[] for _ in range(lanes)]
    waiting = None  # c's payload, where it was valid and not taken
    quiet = 0
    patience = 60 + 6 * spec.interleave + 4 * (spec.rows + spec.cols)
    cycle = 0
    while quiet < patience:
        finished = index == count
        reset = np.full(lanes, True) if cycle < 2 else (rng.random(lanes) < reset_rate) & ~finished
        ready = (rng.random(lanes) < rates["c"]) & ~reset
        for name in ("a", "b"):
            offered[name] |= rng.random(lanes) < rates[name]
            offered[name] &= ~finished
        at = np.minimum(index, count - 1)
        inputs = {
            "rst": reset,
            "a_valid": offered["a"],
            "b_valid": offered["b"],
            # What stands on a stream that offers nothing must not matter.
            "a_first": np.where(offered["a"], beats.first[everyone, at], rng.integers(0, 2, lanes)),
            "a_last": np.where(offered["a"], beats.last[everyone, at], rng.integers(0, 2, lanes)),
            "a_data": [beats.a[everyone, row, at * width + i] for row in range(spec.rows) for i in range(width)],
            "b_data": [beats.b[everyone, col, at * width + i] for col in range(spec.cols) for i in range(width)],
            "c_ready": ready,
        }
        if each := spec.scales_in_beat:
            inputs |= {
                name: [codes[everyone, place, at * each + i] for place in range(codes.shape[1]) for i in range(each)]
                for name, codes in (("a_scale", beats.a_scale), ("b_scale", beats.b_scale))
            }
        inputs = {name: value for name, value in inputs.items() if name in gates.inputs}
        parts = {"c_data": spec.cols, "c_flags": spec.cols}
        out, state = gates.clock(lanes, inputs, state, parts)
        a_moves, b_moves = offered["a"] & (out["a_ready"] == 1), offered["b"] & (out["b_ready"] == 1)
        running = ~reset
        if (a_moves != b_moves)[running].any():
            raise DifferenceError(f"{spec}: cycle {cycle}: a beat moves on one operand stream only")
        taken = a_moves & running
        taken_log.append(taken)
        reset_log.append(reset)
        index += taken
        offered["a"] &= ~taken
        offered["b"] &= ~taken
        valid = (out["c_valid"] == 1) & running
        payload = [*out["c_data"], *out["c_flags"], out["c_first"], out["c_last"]]
        if waiting is not None:
            held, before = waiting
            held = held & running
            if (held & ~valid).any() or any((x != y)[held].any() for x, y in zip(payload, before, strict=True)):
                raise DifferenceError(f"{spec}: cycle {cycle}: results change while they wait to be taken")
        moved = valid & ready
        waiting = (valid & ~ready, payload)
        for lane in np.flatnonzero(moved).tolist():
            results[lane].append((cycle, *(int(part[lane]) for part in payload)))
        quiet = 0 if taken.any() or moved.any() or (not finished.all() and cycle < 40 * count) else quiet + 1
        cycle += 1
    if not (index == count).all():
        raise DifferenceError(f"{spec}: lane {int(np.argmin(index))} stopped after {int(index.min())} of {count} beats")
    return Log(np.array(taken_log), np.array(reset_log), results)


def check(spec, beats, log):
    """Compare a Log with the golden model; return the number of dot products compared.

    Raises:
        DifferenceError: at the first difference.
    """
    model, compared, turns = port_model(spec), 0, spec.interleave
    for lane in range(len(log.results)):
        results = iter(log.results[lane])
        pending = next(results, None)
        index, added, due = 0, 0, []  # added: additions of each of a PE's turns since the reset
        beats_since, taken = 0, [[] for _ in range(turns)]  # since the reset; of each turn's dot product
        for cycle in range(len(log.taken)):
            if log.reset[cycle, lane]:
                beats_since, taken, due, added = 0, [[] for _ in range(turns)], [], 0  # what was in flight is gone
            if log.taken[cycle, lane]:
                turn = beats_since % turns
                if turn == 0:
                    last = beats.last[lane, index]
                    if beats.first[lane, index]:
                        added += draws(spec, len(taken[0]) * spec.lanes, complete=False)
                        taken = [[] for _ in range(turns)]
                taken[turn].append(index)
                index, beats_since = index + 1, beats_since + 1
                if last and turn == turns - 1:
                    due += [(row, each, taken[each], added) for row in range(spec.rows) for each in range(turns)]
                    added += draws(spec, len(taken[0]) * spec.lanes)
                    taken = [[] for _ in range(turns)]
            if pending is not None and pending[0] == cycle:
                if not due:
                    raise DifferenceError(f"{spec}: lane {lane}: a result in cycle {cycle} that nothing was fed for")
                row, turn, places, before = due.pop(0)
                _, *found = pending
                # After a reset within a round a beat with lanes to spare may be one in the middle.
                used = [spec.lanes] * (len(places) - 1) + [beats.used[lane, places[-1]]]
                elements = [
                    place * spec.lanes + element
                    for place, count in zip(places, used, strict=True)
                    for element in range(count)
                ]
                a = beats.a[lane, row, elements].tolist()
                columns = [beats.b[lane, col, elements].tolist() for col in range(spec.cols)]
                dots = [
                    model.dot(
                        a,
                        b,
                        numbers_of(spec, row, col, before, turn),
                        *_scales(spec, beats, lane, row, col, places, used),
                    )
                    for col, b in enumerate(columns)
                ]
                wanted = [code for code, _ in dots] + [flags for _, flags in dots]
                wanted += [int((row, turn) == (0, 0)), int((row, turn) == (spec.rows - 1, turns - 1))]
                if found != wanted:
                    raise DifferenceError(
                        f"{spec}: lane {lane}, cycle {cycle}, row {row}, turn {turn}: codes, flags, first, last are "
                        f"{found}, not {wanted}, for a {a} and the columns of b {columns}"
                    )
                compared += spec.cols
                pending = next(results, None)
        if due:
            raise DifferenceError(f"{spec}: lane {lane}: {len(due)} rows of results never came")
    return compared


def port_model(spec):
    """Return the golden model of the array, whose ports take the lowest value that narrow operands lack."""
    model = Model(spec)
    model._decode_a, model._decode_b = (fmt.number for fmt in spec.port_formats)
    return model


def numbers_of(spec, row, col, before, turn):
    """Return the random numbers of a dot product, `before` of which have been taken."""
    if spec.random_place == "out":
        return random_numbers(spec, (0, col), before + row, turn)
    return random_numbers(spec, (row, col), before, turn)


def _scales(spec, beats, lane, row, col, places, used):
    """Return the scales of a dot product's chunks, those of the beats that end them, or of the blocks in use."""
    if spec.scale is None:
        return ()
    if spec.scales_lanes:
        each = spec.scales_in_beat
        blocks = [
            place * each + block
            for place, count in zip(places, used, strict=True)
            for block in range(-(-count // spec.block))
        ]
        return beats.a_scale[lane, row, blocks].tolist(), beats.b_scale[lane, col, blocks].tolist()
    chunk = spec.chunk // spec.lanes if spec.chunk else len(places)
    ends = [places[min(start + chunk, len(places)) - 1] for start in range(0, len(places), chunk)]
    return beats.a_scale[lane, row, ends].tolist(), beats.b_scale[lane, col, ends].tolist()


assert FLAG_BITS == 3  # as the ports are split above
