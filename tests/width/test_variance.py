import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macgen.errors import MacgenError
from macgen.width import variance, vrr
from macgen.width.variance import knee, ln_v, loss, loss_full_swamping, min_man_bits, vrr_full_swamping

M_P = 5  # E5M2 times E5M2

# -- the theorem, term by term in rational numbers: slow, and 1 - VRR loses no digits -------------------------------


def twice_q(exponent, n):
    return Fraction(math.erfc(2.0**exponent / math.sqrt(2 * n)))


def slow_threshold(m_acc, m_p, j):
    terms = sum(2**t * (2**t - 1) * (2 ** (t + 1) - 1) for t in range(1, j))
    return Fraction(2) ** (m_acc - 3 * m_p) * terms / 3


def slow_vrr(m_acc, m_p, n):
    """Theorem 1 as printed; n is an integer or a Fraction."""
    a = slow_threshold(m_acc, m_p, m_p + 1)
    k1 = k2 = numerator = Fraction(0)
    for i in range(2, math.floor(n - 1) + 1):
        q = twice_q(m_acc, i) * (1 - twice_q(m_acc, i - 1))
        if i > a:
            k1 += q
            numerator += (i - a) * q
    for j in range(2, m_p + 1):
        shift = m_acc - m_p + j
        a_j = slow_threshold(m_acc, m_p, j)
        if n > a_j:
            q = Fraction(2) ** shift * twice_q(shift - 1, n) * (1 - twice_q(shift, n))
            k2 += q
            numerator += (n - a_j) * q
    k3 = 1 - twice_q(m_acc - m_p + 1, n)
    return (numerator + n * k3) / ((k1 + k2 + k3) * n)


def slow_lemma(m_acc, n):
    q = {i: twice_q(m_acc, i) * (1 - twice_q(m_acc, i - 1)) for i in range(2, n)}
    last = 1 - twice_q(m_acc, n)
    return (sum(i * q[i] for i in q) + n * last) / ((sum(q.values()) + last) * n)


@pytest.mark.parametrize(
    ("m_acc", "n", "expected"),
    [
        (4, 64, 0.96494622),
        (5, 256, 0.95983711),
        (6, 576, 0.99116739),
        (6, 1024, 0.94529047),
        (7, 1152, 0.99788910),
        (7, 4096, 0.92169089),
        (8, 4608, 0.99886711),
        (8, 16384, 0.89263995),
        (9, 16384, 0.99944346),
        (10, 65536, 0.99964244),
    ],
)
def test_golden_values_of_the_theorem(m_acc, n, expected):
    assert vrr(m_acc, M_P, n) == pytest.approx(expected, abs=6e-9)


@pytest.mark.parametrize(
    ("m_acc", "n", "expected"), [(6, 576, 0.93860046), (7, 1152, 0.99821657), (8, 4608, 0.99326331)]
)
def test_golden_values_of_the_lemma(m_acc, n, expected):
    assert vrr_full_swamping(m_acc, n) == pytest.approx(expected, abs=6e-9)


@pytest.mark.parametrize(("m_acc", "n", "expected"), [(6, 576, 5.0876), (7, 1152, 2.4318), (8, 4608, 5.2203)])
def test_golden_values_of_the_criterion(m_acc, n, expected):
    assert ln_v(m_acc, M_P, n) == pytest.approx(expected, abs=6e-5)


@pytest.mark.parametrize(
    ("m_acc", "n", "expected"), [(4, 256, 0.728), (5, 1024, 0.709), (6, 4096, 0.697), (7, 16384, 0.690)]
)
def test_golden_values_at_the_length_of_the_swamping_power(m_acc, n, expected):
    assert vrr(m_acc, M_P, n) == pytest.approx(expected, abs=6e-4)


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(2, 400))
def test_loss_is_the_theorem_term_by_term(m_acc, m_p, n):
    # ValueRange below the smallest double are lost in both.
    assert loss(m_acc, m_p, n) == pytest.approx(float(1 - slow_vrr(m_acc, m_p, n)), rel=1e-11, abs=1e-290)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 7), st.integers(2, 400))
def test_loss_is_the_lemma_term_by_term(m_acc, n):
    assert loss_full_swamping(m_acc, n) == pytest.approx(float(1 - slow_lemma(m_acc, n)), rel=1e-11, abs=1e-290)


@pytest.mark.parametrize(("m_acc", "m_p", "n"), [(5, 5, 4608), (6, 3, 3000), (7, 9, 4096), (3, 1, 2500)])
def test_loss_is_the_theorem_at_longer_lengths(m_acc, m_p, n):
    assert loss(m_acc, m_p, n) == pytest.approx(float(1 - slow_vrr(m_acc, m_p, n)), rel=1e-11)


# -- chunks and sparsity ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("m_acc", "n", "chunk", "second_mantissa", "second_length"),
    [
        (5, 4608, 64, 5, 72),
        (8, 100_000, 8, 8, 12_500),
        (9, 3000, 4, 7, 750),
        (9, 3001, 4, 7, 751),
        (12, 700, 6, 8, 117),
    ],
)
def test_chunks_are_two_sums(m_acc, n, chunk, second_mantissa, second_length):
    inner, outer = slow_vrr(m_acc, M_P, chunk), slow_vrr(m_acc, second_mantissa, second_length)
    assert loss(m_acc, M_P, n, chunk) == pytest.approx(float(1 - inner * outer), rel=1e-11)
    per_level = float(max(chunk * (1 - inner), second_length * (1 - outer)))
    assert ln_v(m_acc, M_P, n, chunk) == pytest.approx(per_level, rel=1e-11)
    assert ln_v(m_acc, M_P, n, chunk, reading="total") == pytest.approx(float(n * (1 - inner * outer)), rel=1e-11)


@pytest.mark.parametrize("chunk", [576, 577, 1 << 40])
def test_a_chunk_of_the_whole_length_is_none(chunk):
    for reading in variance.READINGS:
        assert ln_v(6, M_P, 576, chunk, reading=reading) == ln_v(6, M_P, 576)


def test_sparsity_shortens_the_sum():
    assert loss(6, M_P, 1000, nzr=0.5) == loss(6, M_P, 500)
    assert ln_v(6, M_P, 1000, nzr=0.5) == ln_v(6, M_P, 500)


@pytest.mark.parametrize("nzr", [0.301, 0.7331, 0.999])
def test_a_broken_length_is_kept(nzr):
    exact = Fraction(nzr * 500)
    assert exact.denominator > 1
    assert loss(5, M_P, 500, nzr=nzr) == pytest.approx(float(1 - slow_vrr(5, M_P, exact)), rel=1e-11)


def test_sparsity_shortens_both_sums_of_chunks():
    # 64 products of which 20 are not zero: ceil(log2 20) = 5 more bits in the sums of chunks; and 72 of these.
    inner, outer = slow_vrr(12, M_P, 20), slow_vrr(12, M_P + 5, Fraction(72) * Fraction(0.3125))
    assert loss(12, M_P, 4608, 64, nzr=0.3125) == pytest.approx(float(1 - inner * outer), rel=1e-11)
    total = 4608 * 0.3125 * float(1 - inner * outer)
    assert ln_v(12, M_P, 4608, 64, 0.3125, "total") == pytest.approx(total, rel=1e-11)


def test_chunks_with_less_than_one_product():
    assert loss(6, M_P, 20_000, 10, nzr=0.05) == loss(6, M_P, 100)


def test_one_addend_keeps_everything():
    assert vrr(1, 1, 1) == 1.0
    assert loss(3, M_P, 64, nzr=1 / 64) == 0.0


@given(
    st.integers(1, 64),
    st.integers(1, 64),
    st.integers(1, 1 << 40),
    st.none() | st.integers(1, 1 << 20),
    st.floats(1e-9, 1),
)
@settings(deadline=None, max_examples=100)
def test_every_accepted_argument_gives_a_ratio(m_acc, m_p, n, chunk, nzr):
    assert 0.0 <= vrr(m_acc, m_p, n, chunk, nzr) <= 1.0
    assert math.isfinite(ln_v(m_acc, m_p, n, chunk, nzr))


def test_tiny_losses_keep_their_digits():
    assert 0 < loss(12, M_P, 500) < 1e-20
    assert vrr(12, M_P, 500) == 1.0


# -- widths ----------------------------------------------------------------------------------------------------------


def test_widths_of_resnet_18_forward():
    assert [min_man_bits(n, M_P) for n in (576, 1152, 2304, 4608)] == [7, 7, 8, 9]
    assert [min_man_bits(n, M_P, 64) for n in (576, 1152, 2304, 4608)] == [5, 5, 5, 5]
    assert [min_man_bits(n, M_P, 64, reading="total") for n in (576, 1152, 2304, 4608)] == [6, 6, 7, 8]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(5.5, [7, 8, 8, 9]), (8.0, [7, 8, 8, 9]), (11.0, [7, 8, 8, 9]), (50.0, [7, 7, 8, 9])],
)
def test_the_paper_s_forward_column_of_resnet_18_follows_for_lower_limits(limit, expected):
    assert [min_man_bits(n, M_P, limit=limit) for n in (576, 1152, 2304, 4608)] == expected


@pytest.mark.parametrize(
    ("nzr", "follows"), [(0.29, False), (0.3, True), (0.4, True), (0.48, True), (0.49, False), (1.0, False)]
)
def test_the_paper_s_longest_weight_gradient_of_resnet_18_follows_for_sparse_products(nzr, follows):
    length = 256 * 112 * 112  # of the first layer, at batch 256
    assert ((min_man_bits(length, M_P, nzr=nzr), min_man_bits(length, M_P, 64, nzr)) == (15, 10)) is follows


def test_the_paper_s_first_layer_of_resnet_18_follows_from_nothing():
    """9 bits, 6 with chunks of 64, for 147 products: for no product width, non-zero ratio, limit or reading."""
    tried = itertools.product(
        (1, 3, 5, 8, 9, 12), (1.0, 0.5, 0.3, 0.1), (1.0001, 1.1, 5.5, 11.0, 50.0), variance.READINGS
    )
    for m_p, nzr, limit, reading in tried:
        chunked = min_man_bits(147, m_p, 64, nzr, reading, limit)
        assert (min_man_bits(147, m_p, nzr=nzr, limit=limit), chunked) != (9, 6)


def test_the_search_stops_at_the_first_pass():
    n = 2_200_000
    passes = {m_acc: ln_v(m_acc, M_P, n) < math.log(50) for m_acc in (14, 15, 16, 17)}
    assert passes == {14: False, 15: True, 16: False, 17: True}
    assert min_man_bits(n, M_P) == 15
    assert min_man_bits(n, M_P, least=16) == 17


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 5000),
    st.integers(1, 10),
    st.none() | st.integers(1, 200),
    st.sampled_from([1.0, 0.5, 0.1]),
    st.sampled_from(variance.READINGS),
    st.sampled_from([1.5, 50.0, 1e6]),
    st.none() | st.integers(1, 8),
)
def test_the_width_found_passes_and_those_before_do_not(n, m_p, chunk, nzr, reading, limit, least):
    first = least or (1 if chunk is None else m_p)
    found = min_man_bits(n, m_p, chunk, nzr, reading, limit, least)
    results = [ln_v(m_acc, m_p, n, chunk, nzr, reading) < math.log(limit) for m_acc in range(first, found + 1)]
    assert results == [False] * (found - first) + [True]


def test_a_strict_limit_needs_a_wide_mantissa():
    found = min_man_bits(1 << 40, 64, limit=1 + 1e-12)
    assert ln_v(found, 64, 1 << 40) < 1.001e-12
    assert found > 40


def test_knees():
    assert [knee(m_acc, M_P) for m_acc in range(3, 11)] == [33, 76, 196, 534, 1486, 3919, 10160, 26560]


@pytest.mark.parametrize(
    ("m_acc", "m_p", "limit"), [(1, 5, 50.0), (2, 2, 50.0), (3, 7, 8.0), (4, 5, 50.0), (4, 1, 1.01)]
)
def test_the_knee_is_the_largest_length_that_passes(m_acc, m_p, limit):
    result = knee(m_acc, m_p, limit)
    lengths = range(1, 8 * result + 20)
    assert max(n for n in lengths if ln_v(m_acc, m_p, n) < math.log(limit)) == result


def test_a_knee_beyond_all_lengths():
    assert knee(60, M_P) == 1 << 40


# -- refused arguments -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, -1, 65, 1.0, True, "8", None])
@pytest.mark.parametrize("field", ["m_acc", "m_p"])
def test_wrong_mantissas(field, value):
    with pytest.raises(MacgenError) as caught:
        vrr(**({"m_acc": 8, "m_p": 5, "n": 100} | {field: value}))
    assert str(caught.value) == f"{field} {value!r} is not an integer from 1 to 64"


@pytest.mark.parametrize("value", [0, -1, (1 << 40) + 1, 64.0, True, "64"])
@pytest.mark.parametrize("field", ["n", "chunk"])
def test_wrong_lengths(field, value):
    with pytest.raises(MacgenError) as caught:
        ln_v(**({"m_acc": 8, "m_p": 5, "n": 100} | {field: value}))
    assert str(caught.value) == f"{field} {value!r} is not an integer from 1 to 2^40"


@pytest.mark.parametrize("value", [0, 0.0, -0.5, 1.0001, math.nan, math.inf, True, "1", None, 10**400])
def test_wrong_sparsity(value):
    with pytest.raises(MacgenError, match=r"^nzr .* is not a number above 0 and at most 1$"):
        loss(8, M_P, 100, nzr=value)


@pytest.mark.parametrize("value", [1, 0.5, math.nan, math.inf, "50", None, 10**400])
@pytest.mark.parametrize(
    "search", [lambda limit: min_man_bits(100, M_P, limit=limit), lambda limit: knee(5, M_P, limit)]
)
def test_wrong_limits(search, value):
    with pytest.raises(MacgenError, match=r"^limit .* is not a number above 1 and at most 1e\+300$"):
        search(value)


def test_wrong_reading():
    for refused in (lambda: ln_v(8, M_P, 100, reading="both"), lambda: min_man_bits(100, M_P, reading="both")):
        with pytest.raises(MacgenError, match=r"^reading 'both' is not one of per-level, total$"):
            refused()


def test_wrong_least_and_lemma():
    with pytest.raises(MacgenError, match=r"^least 0 is not an integer from 1 to 64$"):
        min_man_bits(100, M_P, least=0)
    with pytest.raises(MacgenError, match=r"^m_acc 0 is not an integer from 1 to 64$"):
        vrr_full_swamping(0, 100)
