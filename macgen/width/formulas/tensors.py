"""Per-tensor fixed point: the five criteria and the costs (Sakr and Shanbhag, ICLR 2019, arXiv 1812.11732)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

KEPT_OF_CLIPPED = 0.1
"""Share of the gradients' variance in the bound on clipping: the deviation is divided by its root (criterion 2)."""

WEIGHT_GRADIENT_CLIPPING, ACTIVATION_GRADIENT_CLIPPING = 2.0, 8.0
"""How many corrected deviations a range has, of the gradients of weights and of activations (criterion 2)."""

BIAS_SHARE = 0.25
"""Step of a weight gradient in its smallest deviation (criterion 3)."""

FLOAT_STORED, FLOAT_MULTIPLIED = 32, 23
"""Bits of a float32 where it is stored, and in a multiplier."""


def ceil_log2(x: float) -> int:
    """Return the exponent of the smallest power of two that is no smaller than a positive, finite number."""
    assert 0 < x < math.inf  # frexp gives these the exponent 0
    fraction, exponent = math.frexp(x)
    return exponent - (fraction == 0.5)


def floor_log2(x: float) -> int:
    """Return the exponent of the largest power of two that is no larger than a positive, finite number."""
    assert 0 < x < math.inf
    return math.frexp(x)[1] - 1


# -- criterion 1: weights and activations ------------------------------------------------------------------------------


def offsets(gains: Sequence[float]) -> tuple[int, ...]:
    """Return how many bits each tensor needs more than the one of the smallest noise gain: round(log2 sqrt(E/E_min)).

    Parameters:
        gains: E of each tensor, above 0: the mean over examples of sum |d(Z_i - Z_y)/dh|^2 / (24 |Z_i - Z_y|^2), over
            the tensor's elements h and the outputs i other than the chosen one y.
    """
    least = min(gains)
    return tuple(round(math.log2(gain / least) / 2) for gain in gains)


def mismatch(gains: Sequence[float], bits: Sequence[int]) -> float:
    """Return the bound on how often the quantised network answers otherwise than in float: sum of step^2 E.

    Parameters:
        gains: as for `offsets`.
        bits: of each tensor; its values span 2, so its step is 2^(1 - bits).
    """
    return math.fsum(4.0 ** (1 - width) * gain for gain, width in zip(gains, bits, strict=True))


def least_bits(gains: Sequence[float], limit: float) -> int:
    """Return B_min: the fewest bits of the tensor of the smallest gain with which the bound is at most a limit.

    Parameters:
        gains: as for `offsets`.
        limit: of `mismatch`, above 0.
    """
    more = offsets(gains)
    return 1 + max(0, math.ceil(math.log2(mismatch(gains, [1 + each for each in more]) / limit) / 2))


# -- criteria 2 to 5: gradients, and the accumulators of updates -------------------------------------------------------


def gradient_range(deviation: float, clipping: float) -> int:
    """Return the exponent of a gradient's range, 2^ceil(log2(clipping sigma_max / sqrt(0.1))) (criterion 2).

    Parameters:
        deviation: largest standard deviation in training.
        clipping: `WEIGHT_GRADIENT_CLIPPING` or `ACTIVATION_GRADIENT_CLIPPING`.
    """
    return ceil_log2(clipping * deviation / math.sqrt(KEPT_OF_CLIPPED))


def weight_gradient_step(deviation: float) -> int:
    """Return the exponent of a weight gradient's step, 2^floor(log2(sigma_min / 4)) (criterion 3).

    Parameters:
        deviation: smallest standard deviation in training.
    """
    return floor_log2(BIAS_SHARE * deviation)


def activation_gradient_step(weight_step: int, singular_value: float) -> int:
    """Return the exponent of an activation gradient's step, 2^floor(log2(step / sqrt(singular value))) (criterion 4).

    Parameters:
        weight_step: exponent of the step of the weight gradient that follows from it.
        singular_value: the largest one of the squared Jacobian, each element squared, of that weight gradient.
    """
    return floor_log2(2.0**weight_step / math.sqrt(singular_value))


def bits_between(range_exponent: int, step_exponent: int) -> int:
    """Return the bits of signed numbers of a range and a step, powers of two: log2(range / step) + 1, at least 1."""
    return max(1, range_exponent - step_exponent + 1)


def update_step(rate: float, range_exponent: int, bits: int) -> int:
    """Return the exponent of the step in which updates are accumulated, 2^floor(log2(rate range 2^(1 - B))).

    Parameters:
        rate: smallest learning rate of the training.
        range_exponent: of the weight gradient's range.
        bits: of the weight gradient.
    """
    return floor_log2(rate * 2.0 ** (range_exponent + 1 - bits))


def accumulator_bits(weight_bits: int, step: int, weight_range: int = 0) -> int:
    """Return the bits of the accumulator of updates, at least 1: 1 + log2(range 2^-B_W / step) (criterion 5).

    It holds what is below half a step of the weight, and a sign.

    Parameters:
        weight_bits: of the weight.
        step: exponent of the accumulator's step, from `update_step`.
        weight_range: exponent of the weight's range; 0: weights are from -1 to 1.
    """
    return max(1, 1 + weight_range - weight_bits - step)


# -- costs -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LayerBits:
    """Sizes of a layer for one example, and the bits of its tensors.

    Attributes:
        weights: elements.
        activations: elements of the layer's input.
        macs: multiply-accumulates of the forward GEMM; each of the two others has as many.
        weight, activation, weight_gradient, activation_gradient, accumulator: bits of an element.
        factors: bits of weight, activation and activation gradient in a multiplier; None: those that are stored.
    """

    weights: int
    activations: int
    macs: int
    weight: int
    activation: int
    weight_gradient: int
    activation_gradient: int
    accumulator: int
    factors: tuple[int, int, int] | None = None

    @classmethod
    def of_float32(cls, weights: int, activations: int, macs: int) -> "LayerBits":
        """Return the same sizes in float32."""
        bits = FLOAT_STORED
        return cls(weights, activations, macs, bits, bits, bits, bits, bits, (FLOAT_MULTIPLIED,) * 3)


@dataclass(frozen=True)
class Costs:
    """What training costs, for one example.

    Attributes:
        weights: C_W, bits of weights, their gradients and their accumulators.
        activations: C_A, bits of activations and their gradients.
        multiplications: C_M, full adders of all multiplications.
        communication: C_C, bits of the weight gradients.
    """

    weights: int
    activations: int
    multiplications: int
    communication: int


def costs(layers: Sequence[LayerBits]) -> Costs:
    """Return the costs of layers: C_W, C_A, C_M and C_C of the authors' poster on the paper."""
    multiplications = 0
    for layer in layers:
        w, a, g = layer.factors or (layer.weight, layer.activation, layer.activation_gradient)
        multiplications += layer.macs * (w * a + w * g + a * g)
    return Costs(
        weights=sum(each.weights * (each.weight + each.weight_gradient + each.accumulator) for each in layers),
        activations=sum(each.activations * (each.activation + each.activation_gradient) for each in layers),
        multiplications=multiplications,
        communication=sum(each.weights * each.weight_gradient for each in layers),
    )


def dot_product_adders(length: int, a_bits: int, b_bits: int) -> int:
    """Return the full adders of one dot product (Sakr, Kim and Shanbhag, ICML 2017): its products and its sum.

    D B_A B_W + (D - 1)(B_A + B_W + ceil(log2 D) - 1); `Costs.multiplications` has the products alone.

    Parameters:
        length: D, products.
        a_bits, b_bits: of the operands.
    """
    return length * a_bits * b_bits + (length - 1) * (a_bits + b_bits + ceil_log2(length) - 1)
