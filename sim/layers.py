"""Layers to compress, and the beats of all streams as the definition says them. Needs no simulator."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from macgen.compress import CompressSpec
from macgen.compress.definition import Beat, Kept, Layer, Total, compress

Word = dict[str, int]
"""What stands on the ports of a stream in one beat, by role."""

KINDS = ("uniform", "few", "zeros", "ends", "ties", "sparse")


@dataclass(frozen=True)
class Case:
    """A step of a layer: what was kept, its scale, and new gradients.

    Attributes:
        name: what messages call it.
        kept, scale: of the step before.
        gradients: integers of the format.
    """

    name: str
    kept: tuple[Kept, ...]
    scale: int
    gradients: tuple[int, ...]

    def result(self, spec: CompressSpec) -> Layer:
        """Return what the definition makes of it."""
        return compress(spec, self.kept, self.scale, self.gradients)


# -- layers --------------------------------------------------------------------------------------------------------


def most_elements(spec: CompressSpec) -> int:
    """Return how many elements a layer may have."""
    return spec.most_bins * spec.bin


def random_case(spec: CompressSpec, rng: Random, length: int, kind: str) -> Case:
    """Return a layer of a kind, shorter than asked for where the unit takes no such layers."""
    length = min(length, most_elements(spec))
    kept = tuple(Kept(_value(spec, rng, kind), rng.random() < 0.5) for _ in range(length))
    scale = rng.choice([0, 1, spec.largest_scale, rng.randint(0, spec.largest_scale)])
    return Case(f"{kind}, {length} elements", kept, scale, tuple(_value(spec, rng, kind) for _ in range(length)))


def _value(spec: CompressSpec, rng: Random, kind: str) -> int:
    low, high = spec.lowest, -spec.lowest - 1
    match kind:
        case "few":
            return rng.randint(max(low, -2), min(high, 2))
        case "zeros":
            return 0 if rng.random() < 0.98 else rng.randint(low, high)
        case "ends":
            return rng.choice([low, low + 1, -1, 0, 1, high - 1, high])
        case "ties":
            return rng.choice([high // 2, -(high // 2), 0])
        case "sparse":
            return rng.randint(low, high) if rng.random() < 0.1 else rng.randint(max(low, -3), min(high, 3))
    return rng.randint(low, high)


def random_length(spec: CompressSpec, rng: Random, bins: int) -> int:
    """Return a length of up to some bins, often one next to a bin's end."""
    whole = spec.bin * rng.randint(0, bins)
    near = whole + rng.choice([-spec.lanes, -1, 0, 1, spec.lanes])
    return max(1, rng.choice([near, near, rng.randint(1, spec.bin * bins), rng.randint(1, 3)]))


def random_cases(spec: CompressSpec, rng: Random, count: int, bins: int = 4) -> Iterator[Case]:
    """Yield layers of all kinds; some are further steps of the layer before."""
    before: Case | None = None
    for index in range(count):
        if before is not None and rng.random() < 0.4:
            result = before.result(spec)
            kind = rng.choice(KINDS)
            gradients = tuple(_value(spec, rng, kind) for _ in before.gradients)
            before = Case(f"next step, {len(gradients)} elements", result.kept, result.scale, gradients)
        else:
            before = random_case(spec, rng, random_length(spec, rng, bins), KINDS[index % len(KINDS)])
        yield before


def corner_cases(spec: CompressSpec) -> Iterator[Case]:
    """Yield the corners of docs/compress.md; those that are too long for the unit come as several layers."""
    most = most_elements(spec)
    for case in _corners(spec):
        for start in range(0, len(case.kept), most):
            part = slice(start, start + most)
            yield Case(case.name, case.kept[part], case.scale, case.gradients[part])


def _corners(spec: CompressSpec) -> Iterator[Case]:
    """Yield zeros, ties, ends, short bins, empty bins, means between integers."""
    low, high, bin = spec.lowest, -spec.lowest - 1, spec.bin
    fresh = Kept()

    def first(name: str, gradients: Sequence[int]) -> Case:
        return Case(name, (fresh,) * len(gradients), 0, tuple(gradients))

    yield first("zeros", [0] * bin * 2)
    yield first("one element of 0", [0])
    yield first("one element", [high])
    yield first("all equal", [1] * bin)
    yield first("the lowest", [low] * (bin + 1))
    yield first("a short bin behind a full one", [1] * bin + [high])
    yield first("an empty bin between others", [1] * bin + [0] * bin + [-1] * bin)
    for total in range(1, 8):
        for bins in range(1, 5):
            if total <= high:
                yield first(f"mean of {total} in {bins} bins", [total] + [0] * (bin * bins - 1))
    yield Case("no bin sends", (Kept(high),) * bin, 0, (-1,) * bin)
    yield Case("sums beyond the ends", (Kept(high), Kept(low)), 0, (high, low))
    yield Case("G is 0 and H is large", (Kept(low), Kept(1)), 0, (high, 0))
    residues = tuple(Kept(code, True) for code in (low, low + 1, -1, 0, 1, high))
    for scale in (0, 1, spec.largest_scale - 1, spec.largest_scale):
        yield Case(f"residues with a scale of {scale}", residues, scale, (0,) * len(residues))


# -- beats ---------------------------------------------------------------------------------------------------------


def packed(values: Sequence[int], bits: int) -> int:
    """Return values side by side, the first one lowest."""
    return sum((value & (1 << bits) - 1) << place * bits for place, value in enumerate(values))


def _groups(spec: CompressSpec, count: int) -> Iterator[range]:
    for start in range(0, count, spec.lanes):
        yield range(start, min(start + spec.lanes, count))


def words_in(spec: CompressSpec, case: Case) -> list[Word]:
    """Return the beats of the elements; lanes beyond the layer's end hold 0."""
    count = len(case.kept)
    return [
        {
            "kept": packed([case.kept[item].code for item in group], spec.width),
            "sent": packed([case.kept[item].sent for item in group], 1),
            "scale": case.scale,
            "gradient": packed([case.gradients[item] for item in group], spec.width),
            "last": int(group.stop == count),
        }
        for group in _groups(spec, count)
    ]


def words_kept(spec: CompressSpec, layer: Layer) -> list[Word]:
    """Return the beats of what is kept."""
    count = len(layer.kept)
    return [
        {
            "data": packed([layer.kept[item].code for item in group], spec.width),
            "sent": packed([layer.kept[item].sent for item in group], 1),
            "overflow": packed([layer.kept[item].overflow for item in group], 1),
            "last": int(group.stop == count),
        }
        for group in _groups(spec, count)
    ]


def words_sent(spec: CompressSpec, beats: Sequence[Beat], scale: int, *, everywhere: bool = False) -> list[Word]:
    """Return the beats of what is sent; the scale with the last one, or everywhere."""
    words = []
    for beat in beats:
        word = {"index": beat.index, "sign": packed(beat.sign, 1), "end": int(beat.end), "last": int(beat.last)}
        if spec.lanes > 1:
            word["sent"] = packed(beat.sent, 1)
        if beat.last or everywhere:
            word["scale"] = scale
        words.append(word)
    return words


def words_sum(spec: CompressSpec, totals: Sequence[Total]) -> list[Word]:
    """Return the beats of the receiver's sums."""
    return [
        {"data": packed(total.sums, spec.sum_bits), "end": int(total.end), "last": int(total.last)} for total in totals
    ]


# -- what learners send --------------------------------------------------------------------------------------------


def random_streams(spec: CompressSpec, rng: Random, bins: int) -> list[list[Beat]]:
    """Return what each learner sends of a layer: any elements of each bin, none, or all."""
    return [_random_stream(spec, rng, bins) for _ in range(spec.learners)]


def _random_stream(spec: CompressSpec, rng: Random, bins: int) -> list[Beat]:
    beats: list[Beat] = []
    for bin in range(bins):
        share = rng.choice([0.0, 0.05, 0.3, 1.0])
        found = [index for index in range(spec.groups) if rng.random() < share]
        for index in found or [spec.groups]:
            sent = [bool(found) and (spec.lanes == 1 or rng.random() < 0.5) for _ in range(spec.lanes)]
            end = index == (found or [spec.groups])[-1]
            signs = tuple(each and rng.random() < 0.5 for each in sent)
            beats.append(Beat(index, tuple(sent), signs, end, end and bin == bins - 1))
    return beats


def disordered(spec: CompressSpec, rng: Random, beats: Sequence[Beat]) -> list[Beat]:
    """Return a stream with beats out of order, and marks of layers in the wrong places."""
    result = []
    for beat in beats:
        sent = beat.sent if spec.lanes > 1 else (True,)  # with one lane an index says that its element is sent
        while rng.random() < 0.3:
            index = rng.randrange(1 << spec.index_bits)
            result.append(Beat(index, sent, beat.sign, False, rng.random() < 0.1))
        index = beat.index if rng.random() < 0.7 else rng.randrange(1 << spec.index_bits)
        result.append(Beat(index, sent, beat.sign, beat.end, beat.last))
    return result
