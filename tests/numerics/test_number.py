import numpy as np
import pytest

from macgen.errors import MacgenError
from macgen.numerics import ScaleFormat, parse_format

FORMATS = [parse_format("e5m2"), parse_format("int8"), ScaleFormat()]


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_a_code_is_any_integer_of_the_width(fmt):
    assert fmt.number(np.uint8(0x3C)) == fmt.number(0x3C)
    for code, what in [
        (-1, "code -1 is not from"),
        (np.int64(256), "code 256 is not from"),
        (10**5000, "code an enormous int is not from"),
        (60.0, "code 60.0 is not an integer from"),
        ("60", "code '60' is not an integer from"),
        (None, "code None is not an integer from"),
    ]:
        with pytest.raises(MacgenError) as caught:
            fmt.number(code)
        assert str(caught.value) == f"{what} 0 to 255, the codes of {fmt}"
