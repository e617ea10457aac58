"""AdaComp on arrays, for whole layers: written from docs/compress.md, not from `definition`."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from macgen.compress.spec import ELEMENT_BITS, CompressSpec
from macgen.errors import MacgenError, check_integer, check_type, shown
from macgen.numerics.arrays import first_index_text, plain_array

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Sent:
    """What one step of a layer sends.

    Attributes:
        signs: of each element, 1 or -1 if it is sent, else 0; in the shape of the gradients.
        scale: what a sign stands for, an integer of the format.
        bits: bits sent, bin ends and scale included.
        overflows: elements whose accumulated gradient was outside the range.
    """

    signs: NDArray[np.int8]
    scale: int
    bits: int
    overflows: int

    @property
    def compression(self) -> float:
        """How often the bits sent go into 32 bits an element."""
        return ELEMENT_BITS * self.signs.size / self.bits

    @property
    def gradients(self) -> Integers:
        """What the receiver makes of it, integers of the format."""
        return self.signs.astype(np.int64) * self.scale


class Learner:
    """A learner's side of a layer: what it keeps from step to step.

    Parameters:
        spec: format, bins, lanes.
        shape: of the layer's gradients; bins run in C order.

    Attributes:
        accumulated: G of the last step, integers of the format.
        sent: whether each element was sent in the last step.
        scale: of the last step.

    Raises:
        MacgenError: an argument is refused.
    """

    def __init__(self, spec: CompressSpec, shape: int | tuple[int, ...]) -> None:
        check_type("spec", spec, CompressSpec, "a CompressSpec, such as CompressSpec('fix4.12', 50)")
        self.spec = spec
        try:
            self.accumulated: Integers = np.zeros(shape, dtype=np.int64)
        except (TypeError, ValueError, MemoryError):
            raise MacgenError(f"shape {shown(shape)} is none; accepted are integers from 1") from None
        size, most = self.accumulated.size, spec.most_bins * spec.bin
        if not 1 <= size <= most:
            raise MacgenError(f"shape {shown(shape)} has {size} elements; accepted are 1 to {most}")
        self.sent = np.zeros(self.accumulated.shape, dtype=bool)
        self.scale = 0

    @classmethod
    def resumed(cls, spec: CompressSpec, accumulated: ArrayLike, sent: ArrayLike, scale: int) -> Self:
        """Return a learner that has kept this.

        Raises:
            MacgenError: it is not of the format, or has different shapes.
        """
        kept, flags = plain_array("accumulated", accumulated), plain_array("sent", sent)
        learner = cls(spec, kept.shape)
        if flags.shape != kept.shape:
            raise MacgenError(f"sent has the shape {flags.shape}; accepted is accumulated's, {kept.shape}")
        learner.accumulated, learner.sent = _checked(spec, "accumulated", kept), flags != 0
        learner.scale = check_integer("scale", scale, 0, spec.largest_scale)
        return learner

    @property
    def residue(self) -> Integers:
        """What is left of each element once it was sent."""
        return self.accumulated - np.where(self.sent, np.sign(self.accumulated) * self.scale, 0)

    def step(self, gradients: ArrayLike) -> Sent:
        """Add a step's gradients, send some of them and keep the rest.

        Parameters:
            gradients: integers of the format, in the layer's shape.

        Raises:
            MacgenError: they are not.
        """
        spec = self.spec
        array = plain_array("gradients", gradients)
        if array.shape != self.accumulated.shape:
            raise MacgenError(f"gradients have the shape {array.shape}; accepted is {self.accumulated.shape}")
        new = _checked(spec, "gradients", array)
        exact = self.residue + new
        accumulated = np.clip(exact, spec.lowest, -spec.lowest - 1)
        magnitudes = _in_bins(spec, np.abs(accumulated))
        largest = magnitudes.max(axis=1)
        chosen = _in_bins(spec, np.abs(accumulated + new)) >= largest[:, None]
        sent = (chosen & (magnitudes != 0)).ravel()[: new.size].reshape(new.shape)
        self.accumulated, self.sent = accumulated, sent
        self.scale = _nearest_even(int(largest.sum()), largest.size)
        signs = np.where(sent, np.sign(accumulated), 0).astype(np.int8)
        return Sent(signs, self.scale, bits_sent(spec, sent), int((accumulated != exact).sum()))

    def step_real(self, gradients: ArrayLike) -> Sent:
        """Do as `step` with real gradients: each is rounded to the nearest number of the format first.

        Ties go to even integers, and what is too large becomes the end of the range.

        Raises:
            MacgenError: one is NaN or infinite, or their shape is not the layer's.
        """
        array = plain_array("gradients", gradients)
        if array.dtype.kind not in "fiu":
            raise MacgenError(f"gradients are of type {array.dtype}; accepted are real numbers")
        real = array.astype(np.float64)
        if not np.isfinite(real).all():
            place, value = first_index_text(real, ~np.isfinite(real))
            raise MacgenError(f"gradients{place} is {value}; accepted are finite numbers")
        scaled = np.rint(np.ldexp(real, self.spec.format.frac_bits))
        return self.step(np.clip(scaled, self.spec.lowest, -self.spec.lowest - 1).astype(np.int64))


def bits_sent(spec: CompressSpec, sent: NDArray[np.bool_]) -> int:
    """Return the bits of the stream that says which elements of a layer are sent, with its scale."""
    groups = _in_bins(spec, sent.astype(np.int64)).reshape(-1, spec.groups, spec.lanes).any(axis=2).sum(axis=1)
    return int(np.maximum(groups, 1).sum()) * spec.beat_bits + spec.width


def _in_bins(spec: CompressSpec, values: Integers) -> Integers:
    """Return values as a row for each bin; the last one is filled up with 0."""
    flat = values.ravel()
    return np.pad(flat, (0, -flat.size % spec.bin)).reshape(-1, spec.bin)


def _nearest_even(total: int, count: int) -> int:
    quotient = (2 * total + count) // (2 * count)  # ties go up
    tie = (2 * total + count) % (2 * count) == 0
    return quotient - (tie and quotient % 2)


def _checked(spec: CompressSpec, field: str, values: NDArray[Any]) -> Integers:
    if values.dtype.kind not in "iub":
        raise MacgenError(f"{field} are of type {values.dtype}; accepted are integers of {spec.format}")
    outside = (values < spec.lowest) | (values > -spec.lowest - 1)
    if outside.any():
        place, value = first_index_text(values, outside)
        raise MacgenError(
            f"{field}{place} is {value}; accepted are integers of {spec.format}, {spec.lowest} to {-spec.lowest - 1}"
        )
    return values.astype(np.int64)
