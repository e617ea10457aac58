"""RISC-V bulk normalisation in NumPy's integers: many dot products at a time, nothing of macgen's arithmetic.

What Spike (riscv-isa-sim at 55b4658d) computes, restated: no number is a float here, sums count units of 2^(E - F).
"""

import numpy as np

FORMATS = {"e4m3": (4, 3), "e5m2": (5, 2), "bf16": (8, 7)}
OVERFLOW, INVALID = 1, 4
NAN, PLUS, MINUS = 0x7FC00000, 0x7F800000, 0xFF800000


def dots(kind, n, a_codes, b_codes):
    """Return FP32 codes and flags of (T, K) codes of a format, n products a step; K is a multiple of n."""
    acc = np.zeros(len(a_codes), np.int64)
    flags = np.zeros(len(a_codes), np.int64)
    for start in range(0, a_codes.shape[1], n):
        total, raised = bulk(kind, a_codes[:, start : start + n], b_codes[:, start : start + n])
        acc, of_sum = add_to_odd(total, acc)
        flags |= raised | of_sum
    return acc, flags


def bulk(kind, a_codes, b_codes):
    """Return FP32 codes and flags of the sums of (T, n) products."""
    (negative_a, sig_a, exp_a, *kinds_a), (negative_b, sig_b, exp_b, *kinds_b) = (
        _decoded(kind, np.asarray(codes).astype(np.int64)) for codes in (a_codes, b_codes)
    )
    (inf_a, nan_a, signalling_a), (inf_b, nan_b, signalling_b) = kinds_a, kinds_b
    zero_a, zero_b = sig_a == 0, sig_b == 0
    negative = negative_a ^ negative_b
    invalid_product = (inf_a & zero_b) | (zero_a & inf_b)
    infinite = (inf_a | inf_b) & ~(nan_a | nan_b) & ~(zero_a | zero_b)
    plus, minus = (infinite & ~negative).any(axis=1), (infinite & negative).any(axis=1)
    nan = (nan_a | nan_b | invalid_product).any(axis=1) | (plus & minus)
    invalid = (invalid_product | signalling_a | signalling_b).any(axis=1) | (plus & minus)

    # Finite products: cut to odd F bits below the largest exponent, zeros left out.
    n, man_bits = a_codes.shape[1], FORMATS[kind][1]
    bits = 23 + (n - 1).bit_length()
    product, exponent = sig_a * sig_b, exp_a + exp_b
    largest = np.where(product > 0, exponent, -1000).max(axis=1)
    away = np.clip(largest[:, np.newaxis] - exponent, 0, 62)
    kept = _shift_to_odd(product << (bits - 2 * man_bits), away)
    total = np.where(negative, -kept, kept).sum(axis=1)
    code = _round_to_odd(total, largest - bits)

    over = (np.abs(total) > 0) & (code & 0x7FFFFFFF == PLUS) & ~nan & ~plus & ~minus
    code = np.where(plus, PLUS, np.where(minus, MINUS, code))
    code = np.where(nan, NAN, code)
    return code, np.where(over, OVERFLOW, 0) | np.where(invalid, INVALID, 0)


def add_to_odd(x, y):
    """Return FP32 codes of sums of two FP32 codes each, none a signalling NaN, and the flags."""
    exps = [np.maximum(code >> 23 & 255, 1) for code in (x, y)]
    sigs = [(code & 0x7FFFFF) + np.where(code >> 23 & 255, 1 << 23, 0) for code in (x, y)]
    largest = np.maximum(*exps)
    total = np.zeros(len(x), np.int64)
    for code, exp, sig in zip((x, y), exps, sigs, strict=True):
        moved = _shift_to_odd(sig << 32, np.clip(largest - exp, 0, 62))
        total += np.where(code >> 31, -moved, moved)
    found = _round_to_odd(total, largest - 150 - 32)
    nan = ((x & 0x7FFFFFFF) > PLUS) | ((y & 0x7FFFFFFF) > PLUS)
    infinite = [code & 0x7FFFFFFF == PLUS for code in (x, y)]
    conflict = infinite[0] & infinite[1] & (x != y)
    over = (found & 0x7FFFFFFF == PLUS) & ~infinite[0] & ~infinite[1] & ~nan
    found = np.where(infinite[0], x, np.where(infinite[1], y, found))
    found = np.where(nan | conflict, NAN, found)
    return found, np.where(over, OVERFLOW, 0) | np.where(conflict, INVALID, 0)


def _decoded(kind, codes):
    """Return sign, significand, exponent of its first bit, and whether infinite, NaN, signalling."""
    exp_bits, man_bits = FORMATS[kind]
    negative = codes >> (exp_bits + man_bits) & 1 == 1
    field, mantissa = codes >> man_bits & ((1 << exp_bits) - 1), codes & ((1 << man_bits) - 1)
    significand = np.where(field > 0, mantissa + (1 << man_bits), mantissa)
    exponent = np.maximum(field, 1) - ((1 << (exp_bits - 1)) - 1)
    top = field == (1 << exp_bits) - 1
    if kind == "e4m3":  # OFP8: one NaN, no infinity
        infinite, nan = np.zeros_like(top), top & (mantissa == 7)
    else:
        infinite, nan = top & (mantissa == 0), top & (mantissa > 0)
    signalling = nan & (mantissa >> (man_bits - 1) == 0) & (kind == "bf16")  # OFP8 knows none
    return negative, significand, exponent, infinite, nan, signalling


def _shift_to_odd(magnitude, down):
    kept = magnitude >> down
    return kept | (kept << down != magnitude)


def _round_to_odd(total, place):
    """Return the FP32 codes of integers times 2**place, which become infinite beyond the range; of 0 that of +0."""
    magnitude = np.abs(total)
    length = np.zeros(len(total), np.int64)
    for step in (32, 16, 8, 4, 2, 1):  # bits of the magnitude
        length += np.where(magnitude >> length >> step > 0, step, 0)
    length += magnitude > 0
    lsb = np.maximum(place + length - 24, -149)
    up = np.clip(place - lsb, 0, 62)
    kept = _shift_to_odd(magnitude << up, np.clip(lsb - place, 0, 62))
    # The code counts on from the smallest subnormal number.
    code = np.where(kept >> 23, ((lsb + 149) << 23) + kept, kept)
    code = np.minimum(code, PLUS)
    return np.where(total < 0, code | 1 << 31, code)
