"""The layers and beats of the testbench of a compressor."""

from random import Random

from macgen.compress import CompressSpec
from macgen.compress.definition import Kept, expand
from sim.layers import (
    Case,
    corner_cases,
    disordered,
    random_cases,
    random_streams,
    words_in,
    words_kept,
    words_sent,
)

SPEC = CompressSpec("int4", 4, lanes=2, learners=2)


def test_the_words_of_a_layer():
    case = Case("", (Kept(1, True), Kept(-2), Kept(0)), 3, (1, -8, 2))
    assert words_in(SPEC, case) == [
        {"kept": 0xE1, "sent": 0b01, "scale": 3, "gradient": 0x81, "last": 0},
        {"kept": 0x00, "sent": 0b00, "scale": 3, "gradient": 0x02, "last": 1},
    ]
    layer = case.result(SPEC)  # G is 1 - 3 + 1 = -1, -8 in place of -10, and 2
    assert words_kept(SPEC, layer) == [
        {"data": 0x8F, "sent": 0b10, "overflow": 0b10, "last": 0},
        {"data": 0x02, "sent": 0b00, "overflow": 0b00, "last": 1},
    ]
    (beat,) = words_sent(SPEC, layer.beats, layer.scale)
    assert beat == {"index": 0, "sent": 0b10, "sign": 0b10, "end": 1, "last": 1, "scale": 8}


def test_what_is_drawn_is_what_the_contract_takes():
    for spec in (SPEC, CompressSpec("int2", 1, learners=1, most_bins=2), CompressSpec("fix4.12", 50)):
        cases = [*corner_cases(spec), *random_cases(spec, Random(1), 12)]
        assert all(case.result(spec).beats[-1].last for case in cases)
        streams = random_streams(spec, Random(2), 5)
        totals, fault = expand(spec, streams, [1] * spec.learners)
        assert len(totals) == 5 * spec.groups
        assert not fault
        assert any(
            expand(spec, [disordered(spec, Random(seed), stream) for stream in streams], [1] * spec.learners)[1]
            for seed in range(5)
        )
