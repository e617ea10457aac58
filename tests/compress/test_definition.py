import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macgen.compress import CompressSpec
from macgen.compress.definition import Beat, Kept, Total, compress, expand, residue
from macgen.errors import MacgenError
from tests.compress.strategies import specs, steps

SPEC = CompressSpec("int8", 4, learners=1)


def fresh(spec, gradients):
    return compress(spec, [Kept()] * len(gradients), 0, gradients)


def sent(layer):
    return [element.sent for element in layer.kept]


@pytest.mark.parametrize(
    ("gradients", "expected"),
    [
        ([0, 0, 0, 0], [False] * 4),  # a bin of zeros
        ([5, 5, -5, 5], [True] * 4),  # equal elements: ties are sent
        ([1, 0, 8, -4], [False, False, True, True]),  # |H| = 2 |D| at the start: half of the largest does
        ([3, 0, 8, 0], [False, False, True, False]),
        ([7], [True]),  # a short bin, of one element
        ([1, 2, 3, 4, 1], [False, True, True, True, True]),  # the fifth is a bin of its own
        ([-128, 63, 64, -64], [True, False, True, True]),  # |-128| = 128 is the largest
    ],
)
def test_which_elements_a_first_step_sends(gradients, expected):
    assert sent(fresh(SPEC, gradients)) == expected


def test_g_of_zero_is_not_sent_however_large_h_is():
    layer = compress(SPEC, [Kept(-100), Kept(1)], 0, [100, 0])
    assert [element.code for element in layer.kept] == [0, 1]
    assert sent(layer) == [False, True]


def test_a_bin_may_send_nothing_though_it_is_not_zero():
    layer = compress(SPEC, [Kept(100)] * 4, 0, [-10] * 4)  # |G| = 90, |H| = 80
    assert sent(layer) == [False] * 4
    assert layer.beats == (Beat(4, (False,), (False,), True, True),)
    assert layer.scale == 90


def test_a_sum_outside_the_range_is_its_end_and_says_so():
    layer = compress(SPEC, [Kept(120), Kept(-120), Kept(120)], 0, [8, -9, 7])
    assert [(element.code, element.overflow) for element in layer.kept] == [(127, True), (-128, True), (127, False)]


@pytest.mark.parametrize(
    ("gradients", "scale"),
    [
        ([3] + [0] * 4, 2),  # 3 / 2: to the even one
        ([5] + [0] * 4, 2),  # 5 / 2: to the even one
        ([7] + [0] * 4, 4),
        ([4, 0, 0, 0, 3, 0, 0, 0, 0], 2),  # 7 / 3 = 2.33
        ([4, 0, 0, 0, 4, 0, 0, 0, 0], 3),  # 8 / 3 = 2.67
        ([0] * 9, 0),
        ([1] + [0] * 4, 0),
        ([-128] * 8, 128),
    ],
)
def test_the_scale_is_the_mean_to_nearest_even_with_bins_of_zeros(gradients, scale):
    assert fresh(SPEC, gradients).scale == scale


@pytest.mark.parametrize(
    ("code", "was_sent", "scale", "expected"),
    [
        (5, True, 3, 2),
        (5, True, 9, -4),
        (-5, True, 9, 4),
        (5, False, 9, 5),
        (0, True, 9, 0),
        (-128, True, 128, 0),
        (1, True, 128, -127),
        (-1, True, 128, 127),
    ],
)
def test_the_residue(code, was_sent, scale, expected):
    assert residue(Kept(code, was_sent), scale) == expected


def test_the_stream_of_a_layer_with_lanes():
    spec = CompressSpec("int8", 4, lanes=2)
    layer = fresh(spec, [8, -8, 0, 5, 0, 0, 0, 0, -1])
    no, both = (False, False), (True, True)
    assert layer.beats == (
        Beat(0, both, (False, True), False, False),
        Beat(1, (False, True), no, True, False),
        Beat(2, no, no, True, False),
        Beat(0, (True, False), (True, False), True, True),
    )
    assert spec.beat_bits == 2 + 2 + 2 + 1
    assert layer.bits(spec) == 4 * 7 + 8


@pytest.mark.parametrize(("bin", "bits"), [(50, 8), (500, 11), (1, 3), (63, 8), (64, 9)])
def test_the_bits_of_a_beat(bin, bits):
    assert CompressSpec("fix4.12", bin).beat_bits == bits


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_what_is_sent_plus_what_is_kept_is_what_came_in(data):
    spec = data.draw(specs())
    kept, scale, gradients = data.draw(steps(spec))
    layer = compress(spec, kept, scale, gradients)
    stream, _ = expand(CompressSpec(spec.format, spec.bin, lanes=spec.lanes, learners=1), [layer.beats], [layer.scale])
    values = [value for total in stream for value in total.sums]
    assert not any(values[len(kept) :])
    for before, gradient, after, value in zip(kept, gradients, layer.kept, values, strict=False):
        came_in = residue(before, scale) + gradient
        held = min(max(came_in, spec.lowest), -spec.lowest - 1)
        assert value + residue(after, layer.scale) == held
        assert after.overflow == (held != came_in)
        assert spec.lowest <= residue(after, layer.scale) <= -spec.lowest - 1


def test_the_receiver_sums_its_learners():
    spec = CompressSpec("int8", 3, learners=2)
    one = [Beat(0, (True,), (False,), False, False), Beat(2, (True,), (True,), True, True)]
    other = [Beat(2, (True,), (True,), True, True)]
    totals, fault = expand(spec, [one, other], [5, 128])
    assert totals == [Total((5,), False, False), Total((0,), False, False), Total((-133,), True, True)]
    assert not fault


@pytest.mark.parametrize(
    "indices",
    [[(1, 0), (0, 1)], [(1, 0), (1, 1)], [(0, 0), (3, 1)], [(3, 0), (0, 1)], [(2, 0), (2, 1)], [(7, 1)]],
)
def test_beats_out_of_order_add_nothing_and_are_told(indices):
    spec = CompressSpec("int8", 3, learners=1)
    beats = [Beat(index, (True,), (False,), bool(end), bool(end)) for index, end in indices]
    totals, fault = expand(spec, [beats], [1])
    assert fault
    assert len(totals) == 3
    assert totals[-1].last


def test_learners_that_disagree_on_the_layers_end_are_told():
    spec = CompressSpec("int8", 1, learners=2)
    beats = [[Beat(0, (True,), (False,), True, last)] for last in (False, True)]
    assert expand(spec, beats, [1, 1]) == ([Total((2,), True, True)], True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"bin": 0}, "bin 0 is not an integer from 1 to 4096: two bins are buffered"),
        ({"bin": 4097}, "bin 4097 is not an integer from 1 to 4096: two bins are buffered"),
        ({"lanes": 4}, "lanes 4 does not divide bin 50; accepted are 1, 2, 5, 10"),
        ({"lanes": 0}, "lanes 0 is not an integer from 1 to 16"),
        ({"learners": 33}, "learners 33 is not an integer from 0 to 32"),
        ({"most_bins": 0}, "most_bins 0 is not an integer from 1 to 2^24 - 1"),
        ({"format": "ufix4.12"}, "format 'ufix4.12' is no format of gradients"),
        ({"format": "fix4.12narrow"}, "format 'fix4.12narrow' is no format of gradients"),
        ({"format": "bf16"}, "format 'e8m7' is no format of gradients"),
        ({"format": "int1"}, "format 'int1' is no format of gradients"),
        ({"format": "int33"}, "format 'int33' is no format of gradients"),
    ],
)
def test_refused_specs(arguments, sentence):
    with pytest.raises(MacgenError) as error:
        CompressSpec(**{"format": "fix4.12", "bin": 50, **arguments})
    assert str(error.value).startswith(sentence)


def test_refused_steps():
    for kept, gradients in (([], []), ([Kept()], [1, 2]), ([Kept()] * 5, [0] * 5)):
        with pytest.raises(MacgenError, match="accepted is the same number of both, from 1 to 4"):
            compress(CompressSpec("int8", 4, most_bins=1), kept, 0, gradients)
    with pytest.raises(MacgenError, match="scale 129 is not an integer from 0 to 128"):
        compress(SPEC, [Kept()], 129, [0])
    with pytest.raises(MacgenError, match="gradient 128 is not an integer from -128 to 127"):
        compress(SPEC, [Kept()], 0, [128])


def test_a_spec_reads_back_from_its_json_and_its_repr():
    spec = CompressSpec("fix4.12", 50, lanes=5, learners=2, most_bins=9)
    assert CompressSpec.from_dict(spec.to_dict()) == spec
    assert eval(repr(spec)) == spec
    with pytest.raises(MacgenError, match="unknown key 'acc'"):
        CompressSpec.from_dict({**spec.to_dict(), "acc": 1})
    with pytest.raises(MacgenError, match="lacks the key 'bin'"):
        CompressSpec.from_dict({"unit": "adacomp", "format": "int8"})
