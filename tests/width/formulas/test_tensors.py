"""Criteria and costs of per-tensor fixed point, against the figures of its author's code and poster."""

import math

import pytest

from macgen.width.formulas import tensors

ACTIVATION_GAINS = (
    5.14728904e-01, 1.28971756e-01, 1.12113886e-01, 7.31080845e-02, 8.97526741e-02, 7.69944191e-02, 8.39371309e-02,
    6.37812391e-02, 1.92214891e-01, 1.54414907e-01, 1.32652089e-01, 1.12686194e-01, 8.50616097e-02, 6.56613559e-02,
    1.28648296e-01, 6.50851801e-02, 2.15582941e-02, 4.79985727e-03, 7.82166724e-04,
)  # fmt: skip
WEIGHT_GAINS = (
    2.40889087e03, 9.80265381e02, 1.22257690e03, 1.62437598e03, 1.51966980e03, 3.04983301e03, 1.46590723e03,
    2.14751270e03, 2.74122632e03, 4.96135645e03, 4.23212891e03, 4.20190332e03, 7.25191992e03, 2.98789404e03,
    2.85957227e03, 2.99552051e03, 5.01816895e03, 4.33823926e03, 1.40675171e03, 1.29727185e03, 1.07979958e02,
    8.30818844e00,
)  # fmt: skip
"""Noise gains of a ResNet-20 on CIFAR-10, as published in github.com/charbel-sakr/Fixed-Point-Training."""

ACTIVATION_OFFSETS = (5, 4, 4, 3, 3, 3, 3, 3, 4, 4, 4, 4, 3, 3, 4, 3, 2, 1, 0)
WEIGHT_OFFSETS = (11, 10, 10, 10, 10, 11, 10, 11, 11, 11, 11, 11, 12, 11, 11, 11, 11, 11, 10, 10, 9, 7)
ADDED_BITS = 3

WEIGHT_GRADIENT_BITS = (11, 12, 12, *[11] * 15, 12, 12, 14, 14)
WEIGHT_GRADIENT_RANGES = (-2, -4, -4, *[-5] * 11, *[-6] * 7, -2)
ACCUMULATORS = (9, 13, 13, 13, 13, 12, 13, 12, 12, 12, 12, 12, 11, 12, 13, 13, 13, 13, 15, 15, 18, 16)


def test_noise_gains_give_the_published_offsets():
    assert tensors.offsets((*ACTIVATION_GAINS, *WEIGHT_GAINS)) == (*ACTIVATION_OFFSETS, *WEIGHT_OFFSETS)


def test_gradients_and_rates_give_the_published_accumulators():
    found = [
        tensors.accumulator_bits(ADDED_BITS + more, tensors.update_step(0.001, reach, bits))
        for more, reach, bits in zip(WEIGHT_OFFSETS, WEIGHT_GRADIENT_RANGES, WEIGHT_GRADIENT_BITS, strict=True)
    ]
    assert tuple(found) == ACCUMULATORS


@pytest.mark.parametrize(("reach", "bits"), [*zip(WEIGHT_GRADIENT_RANGES, WEIGHT_GRADIENT_BITS, strict=True)])
def test_deviations_within_a_binade_give_the_published_ranges_and_bits(reach, bits):
    """2 sigma / sqrt(0.1) up to the range, and a quarter of sigma from the step: the ends of both binades."""
    step = reach + 1 - bits
    for most, least in (
        (2.0**reach * math.sqrt(0.1) / 2.001, 4.0 * 2.0**step),
        (2.0**reach * 0.0791, 7.99 * 2.0**step),
    ):
        assert tensors.gradient_range(most, tensors.WEIGHT_GRADIENT_CLIPPING) == reach
        assert tensors.weight_gradient_step(least) == step
        assert tensors.bits_between(reach, step) == bits


def test_gradients_of_activations_have_eight_in_place_of_two():
    assert tensors.gradient_range(0.01, tensors.ACTIVATION_GRADIENT_CLIPPING) == -1  # 8 * 0.0316 = 0.253
    assert tensors.gradient_range(0.01, tensors.WEIGHT_GRADIENT_CLIPPING) == -3  # 2 * 0.0316 = 0.0632, above 2^-4
    assert tensors.activation_gradient_step(-12, 16.0) == -14
    assert tensors.activation_gradient_step(-12, 17.0) == -15
    assert tensors.activation_gradient_step(-12, 0.25) == -11


def test_how_often_answers_differ_is_bounded_by_steps_and_gains():
    assert tensors.mismatch([3.0, 0.5], [1, 2]) == 3.0 + 0.5 / 4
    gains = (*ACTIVATION_GAINS, *WEIGHT_GAINS)
    bits = [ADDED_BITS + each for each in tensors.offsets(gains)]
    published = sum((2.0 ** (1 - width)) ** 2 * gain for gain, width in zip(gains, bits, strict=True))
    assert tensors.mismatch(gains, bits) == pytest.approx(published)
    # The three bits that the author adds are the least with which one answer in 400 differs at most.
    assert published < 1 / 400 < 4 * published
    assert tensors.least_bits(gains, 1 / 400) == ADDED_BITS


@pytest.mark.parametrize("limit", [1e-4, 0.003, 0.0125, 0.01, 0.3, 1.0])
def test_the_fewest_bits_within_a_limit(limit):
    gains = [0.2, 3.0, 0.05]
    bits = tensors.least_bits(gains, limit)

    def bound(least):
        return tensors.mismatch(gains, [least + more for more in tensors.offsets(gains)])

    assert bound(bits) <= limit
    assert bits == 1 or bound(bits - 1) > limit


CONVNET = (
    # weights, input before pooling, multiply-accumulates: valid 3x3 convolutions 64, 64, pool, 128, 128, pool, 256, 256
    (3 * 9 * 64, 3 * 32 * 32, 3 * 9 * 64 * 30 * 30),
    (64 * 9 * 64, 64 * 30 * 30, 64 * 9 * 64 * 28 * 28),
    (64 * 9 * 128, 64 * 28 * 28, 64 * 9 * 128 * 12 * 12),
    (128 * 9 * 128, 128 * 12 * 12, 128 * 9 * 128 * 10 * 10),
    (128 * 9 * 256, 128 * 10 * 10, 128 * 9 * 256 * 3 * 3),
    (256 * 9 * 256, 256 * 3 * 3, 256 * 9 * 256),
    (256 * 512, 256, 256 * 512),
    (512 * 512, 512, 512 * 512),
    (512 * 10, 512, 512 * 10),
)


def test_the_posters_costs_of_a_network_in_float():
    """CIFAR-10 ConvNet: C_W 148.1 and C_A 9.32 million bits, C_M 94.37 billion full adders, C_C 49.4 million bits."""
    found = tensors.costs([tensors.LayerBits.of_float32(*sizes) for sizes in CONVNET])
    assert sum(weights for weights, _, _ in CONVNET) == 1_542_848
    assert sum(macs for _, _, macs in CONVNET) == 59_461_376
    assert round(found.weights / 1e6, 1) == 148.1
    assert round(found.activations / 1e6, 2) == 9.32
    assert round(found.multiplications / 1e9, 2) == 94.37
    assert round(found.communication / 1e6, 1) == 49.4


def test_costs_of_a_layer_of_five_widths():
    layer = tensors.LayerBits(
        10, 20, 30, weight=2, activation=3, weight_gradient=5, activation_gradient=7, accumulator=11
    )
    assert tensors.costs([layer, layer]) == tensors.Costs(
        weights=2 * 10 * (2 + 5 + 11), activations=2 * 20 * (3 + 7), multiplications=2 * 30 * 41, communication=2 * 50
    )


def test_full_adders_of_a_dot_product():
    assert tensors.dot_product_adders(1, 8, 8) == 64
    assert tensors.dot_product_adders(5, 3, 4) == 5 * 12 + 4 * (7 + 3 - 1)
