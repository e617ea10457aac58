"""AdaComp on integers, one at a time, written sentence by sentence from docs/compress.md: normative."""

from collections.abc import Sequence
from dataclasses import dataclass

from macgen.compress.spec import CompressSpec
from macgen.errors import MacgenError, check_integer


@dataclass(frozen=True)
class Kept:
    """What a learner keeps of an element until the next step.

    Attributes:
        code: the accumulated gradient G, an integer of the format.
        sent: whether it was sent.
        overflow: whether G is the end of the range in place of a sum outside of it.
    """

    code: int = 0
    sent: bool = False
    overflow: bool = False


@dataclass(frozen=True)
class Beat:
    """A beat of a layer's stream.

    Attributes:
        index: of the group in its bin; B / L: nothing of the bin is sent.
        sent: whether each lane's element is.
        sign: whether each is negative; of one that is not sent, False.
        end: it is its bin's last one.
        last: it is its layer's last one.
    """

    index: int
    sent: tuple[bool, ...]
    sign: tuple[bool, ...]
    end: bool
    last: bool


@dataclass(frozen=True)
class Layer:
    """What one step of a layer gives.

    Attributes:
        kept: of each element.
        scale: what each sent element stands for, with its sign.
        beats: what is sent.
    """

    kept: tuple[Kept, ...]
    scale: int
    beats: tuple[Beat, ...]

    def bits(self, spec: CompressSpec) -> int:
        """Return the bits sent."""
        return len(self.beats) * spec.beat_bits + spec.width


def residue(kept: Kept, scale: int) -> int:
    """Return what is left of an element once it was sent."""
    sign = (kept.code > 0) - (kept.code < 0)
    return kept.code - int(kept.sent) * sign * scale


def compress(spec: CompressSpec, kept: Sequence[Kept], scale: int, gradients: Sequence[int]) -> Layer:
    """Return what one step gives.

    Parameters:
        spec: format, bins, lanes.
        kept: of the step before, an element each; before the first step `Kept()`.
        scale: of the step before; before the first step 0.
        gradients: the new ones, integers of the format.

    Raises:
        MacgenError: a value is refused, the lengths differ or are 0, or there are more bins than the spec allows.
    """
    most = spec.most_bins * spec.bin
    if len(kept) != len(gradients) or not 1 <= len(kept) <= most:
        raise MacgenError(
            f"{len(kept)} kept elements and {len(gradients)} gradients are given; accepted is the same number of both, "
            f"from 1 to {most}"
        )
    scale = check_integer("scale", scale, 0, spec.largest_scale)
    accumulated, following = [], []
    for before, gradient in zip(kept, gradients, strict=True):
        check_integer("kept", before.code, spec.lowest, -spec.lowest - 1)
        gradient = check_integer("gradient", gradient, spec.lowest, -spec.lowest - 1)
        total = residue(before, scale) + gradient
        code = min(max(total, spec.lowest), -spec.lowest - 1)
        accumulated.append(Kept(code, overflow=code != total))
        following.append(code + gradient)
    result: list[Kept] = []
    beats: list[Beat] = []
    largest: list[int] = []
    for start in range(0, len(kept), spec.bin):
        elements, ahead = accumulated[start : start + spec.bin], following[start : start + spec.bin]
        largest.append(max(abs(element.code) for element in elements))
        sent = [
            Kept(element.code, element.code != 0 and abs(h) >= largest[-1], element.overflow)
            for element, h in zip(elements, ahead, strict=True)
        ]
        result += sent
        beats += _beats(spec, sent, last=start + spec.bin >= len(kept))
    return Layer(tuple(result), _mean(largest), tuple(beats))


def _mean(largest: Sequence[int]) -> int:
    """Return the mean, rounded to nearest, ties to even."""
    whole, rest = divmod(sum(largest), len(largest))
    if 2 * rest > len(largest) or (2 * rest == len(largest) and whole % 2 == 1):
        whole += 1
    return whole


def _beats(spec: CompressSpec, elements: Sequence[Kept], last: bool) -> list[Beat]:
    """Return the beats of a bin."""
    found = []
    for index in range(spec.groups):
        group = list(elements[index * spec.lanes : (index + 1) * spec.lanes])
        group += [Kept()] * (spec.lanes - len(group))
        if any(element.sent for element in group):
            sent = tuple(element.sent for element in group)
            found.append(Beat(index, sent, tuple(item.sent and item.code < 0 for item in group), False, False))
    nothing = (False,) * spec.lanes
    final = found.pop() if found else Beat(spec.groups, nothing, nothing, False, False)
    return [*found, Beat(final.index, final.sent, final.sign, True, last)]


@dataclass(frozen=True)
class Total:
    """What the receiver gives for a group: the sums of its lanes, and marks."""

    sums: tuple[int, ...]
    end: bool
    last: bool


def expand(spec: CompressSpec, streams: Sequence[Sequence[Beat]], scales: Sequence[int]) -> tuple[list[Total], bool]:
    """Return the sums over learners of one layer, of all elements of every bin, and whether `fault` is raised.

    Parameters:
        spec: bins, lanes, format.
        streams: what each learner sent: bins in order, each with a beat marked `end`.
        scales: of each learner.

    Raises:
        MacgenError: the streams have different numbers of bins, or other than the spec's number of learners.
    """
    if len(streams) != spec.learners or len(scales) != spec.learners:
        raise MacgenError(f"{len(streams)} streams and {len(scales)} scales are given; accepted are {spec.learners}")
    by_learner = [_bins(stream) for stream in streams]
    if len({len(bins) for bins in by_learner}) != 1:
        raise MacgenError("the streams have different numbers of bins; accepted are those of one layer")
    totals: list[Total] = []
    fault = False
    for bins in zip(*by_learner, strict=True):
        sums = [[0] * spec.lanes for _ in range(spec.groups)]
        for beats, scale in zip(bins, scales, strict=True):
            before = -1
            for place, beat in enumerate(beats):
                if out_of_order(spec, beat, before, alone=place == 0):
                    fault = True
                elif beat.index < spec.groups:
                    for lane in range(spec.lanes):
                        if beat.sent[lane]:
                            sums[beat.index][lane] += -scale if beat.sign[lane] else scale
                    before = beat.index
        lasts = {any(beat.last for beat in beats) for beats in bins}
        fault |= len(lasts) > 1
        for index, lanes in enumerate(sums):
            end = index == spec.groups - 1
            totals.append(Total(tuple(lanes), end, end and True in lasts))
    return totals, fault


def out_of_order(spec: CompressSpec, beat: Beat, before: int, *, alone: bool) -> bool:
    """Return whether a beat is out of order.

    Parameters:
        spec: bins and lanes.
        beat: it.
        before: index of the beat before it in its bin that was in order; -1: there is none.
        alone: whether it is its bin's first one.
    """
    if beat.index == spec.groups:
        return not (alone and beat.end)
    return beat.index > spec.groups or beat.index <= before or (beat.index == spec.groups - 1 and not beat.end)


def _bins(stream: Sequence[Beat]) -> list[list[Beat]]:
    bins: list[list[Beat]] = [[]]
    for beat in stream:
        bins[-1].append(beat)
        if beat.end:
            bins.append([])
    if bins.pop():
        raise MacgenError("a stream ends inside a bin; accepted are streams whose last beat is marked end")
    return bins
