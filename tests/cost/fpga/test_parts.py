import pytest

from macgen.cost.fpga.parts import PARTS, find_part, larger_part
from macgen.errors import MacgenError


@pytest.mark.parametrize(
    ("family", "device", "name", "package"),
    [
        ("ecp5", None, "25k", "CABGA381"),
        ("ice40", None, "hx8k", "ct256"),
        ("ecp5", "85k", "85k", "CABGA381"),
        ("ecp5", "45K:csfbga285", "45k", "CSFBGA285"),
        ("ice40", "up5k:uwg30", "up5k", "uwg30"),
    ],
)
def test_parts_by_name(family, device, name, package):
    part, found = find_part(family, device)
    assert (part.name, found) == (name, package)


@pytest.mark.parametrize(
    ("family", "device", "sentence"),
    [
        ("ecp5", "hx8k", "device 'hx8k' is no ecp5 part that macgen knows; accepted are 25k, 12k, 45k, 85k, each with"),
        ("ecp5", "", "device '' is no ecp5 part"),
        ("ecp5", "--help", "device '--help' is no ecp5 part"),
        ("ecp5", 25, "device 25 is no ecp5 part"),
        ("ecp5", "25k:CABGA756", "device '25k:CABGA756' has no package 'CABGA756'; accepted are CABGA381, CABGA256,"),
        ("ice40", "up5k:", "device 'up5k:' has no package ''; accepted are sg48, uwg30"),
    ],
)
def test_parts_that_do_not_exist(family, device, sentence):
    with pytest.raises(MacgenError) as caught:
        find_part(family, device)
    assert str(caught.value).startswith(sentence)


def test_the_smallest_part_that_is_large_enough():
    small, large = PARTS["ecp5"][0], PARTS["ecp5"][-1]
    assert larger_part(small, luts=30_000, dsps=0, memories=0).name == "45k"
    assert larger_part(small, luts=10, dsps=100, memories=0) is large
    assert larger_part(small, luts=10, dsps=157, memories=0) is None
