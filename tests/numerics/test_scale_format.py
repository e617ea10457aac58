import numpy as np
import pytest

from macgen.errors import MacgenError
from macgen.numerics import ScaleFormat, all_codes, all_values


def test_every_code():
    fmt = ScaleFormat()
    values = fmt.decode(all_codes(fmt))
    np.testing.assert_array_equal(values[:255], 2.0 ** np.arange(-127, 128))
    assert np.isnan(values[255])
    np.testing.assert_array_equal(fmt.encode(values), all_codes(fmt))
    np.testing.assert_array_equal(all_values(fmt), values[:255])
    assert str(fmt) == "e8m0fnu"


@pytest.mark.parametrize("value", [0.0, -1.0, 1.5, 2.0**128, 2.0**-128, np.inf])
def test_encode_refuses_what_is_no_power_of_two_in_range(value):
    with pytest.raises(MacgenError) as caught:
        ScaleFormat().encode([1.0, value])
    assert str(caught.value) == (
        f"value[1] = {float(value)!r} is not a value of format e8m0fnu; accepted are 2^-127 to 2^127 and NaN"
    )


def test_codes_that_do_not_fit():
    with pytest.raises(MacgenError, match=r"^code = 256 is not from 0 to 255, the codes of e8m0fnu$"):
        ScaleFormat().decode(256)
