// Section 3 of docs/arithmetic.md: an exact sum rounded, with one random number or, in turn, with several; for model.h.

#pragma once

#include <initializer_list>

#include "numbers.h"

// The first r bits below a place, as an integer that a random number is added to: cut, or rounded, up to 2^r.
inline u128 first_bits(const RoundedSum& t, u128 x, int place) {
    const int beneath = place - t.random_bits;
    if (beneath > 127) return 0;
    const u128 first = (beneath >= 0 ? x >> beneath : x << -beneath) & ones(t.random_bits);
    if (!t.to_nearest || beneath <= 0) return first;
    const u128 rest = x & ones(beneath), half = u128(1) << (beneath - 1);
    return first + (rest > half || (rest == half && (first & 1)));
}

// Divide the magnitude of a number by 2^distance and round; a negative distance multiplies. `x` is below 2^126.
inline u128 shift_right(const RoundedSum& t, bool negative, u128 x, int distance, uint32_t random, bool& inexact) {
    if (distance <= 0) {
        inexact = false;
        return x << -distance;
    }
    const bool far = distance > 127;
    const u128 kept = far ? 0 : x >> distance, dropped = far ? x : x & ones(distance);
    inexact = dropped != 0;
    if (t.rounding == STOCHASTIC) return kept + ((first_bits(t, x, distance) + random) >> t.random_bits);
    if (t.rounding == FLOOR) return kept + (negative && inexact);
    if (t.rounding == ODD) return kept | inexact;
    if (t.rounding != RNE || far) return kept;
    const u128 half = u128(1) << (distance - 1);
    return kept + (dropped > half || (dropped == half && (kept & 1)));
}

// Exponent of the last place of a magnitude in a float format without limits of the exponent.
inline int last_place(const Format& f, u128 magnitude, int exponent) {
    return exponent + bit_length(magnitude) - 1 - f.man_bits;
}

inline Result round_to_float(const RoundedSum& t, bool negative, u128 magnitude, int exponent, uint32_t random) {
    const Format& f = t.format;
    const u128 sign = negative ? sign_bit(f) : 0;
    bool inexact;
    int lsb = last_place(f, magnitude, exponent);
    u128 significand = shift_right(t, negative, magnitude, lsb - exponent, random, inexact);
    if (significand >> (f.man_bits + 1)) {
        significand >>= 1;
        ++lsb;
    }
    const bool is_power = (significand & ones(f.man_bits)) == 0;
    if (f.subnormals == NONE && lsb + f.man_bits == min_exponent(f) && is_power) return {0, UNDERFLOWS};
    if (lsb + f.man_bits < min_exponent(f)) {
        if (f.subnormals != GRADUAL) return {0, UNDERFLOWS};
        significand = shift_right(t, negative, magnitude, lsb_exponent(f) - exponent, random, inexact);
        if (significand == 0 && f.encoding == FNUZ) return {0, inexact ? UNDERFLOWS : 0u};
        return {significand | sign, inexact ? UNDERFLOWS : 0u};
    }
    // The field counts binades from the smallest normal number's; the hidden bit is not stored.
    const int field = lsb + f.man_bits - min_exponent(f) + least_field(f);
    const bool beyond = field >= 1 << f.exp_bits;
    const u128 code = beyond ? 0 : (u128(field) << f.man_bits) | (significand & ones(f.man_bits));
    if (beyond || code > largest_magnitude(f)) {
        if (t.overflow == NAN_) return {canonical_nan(f), OVERFLOWS};
        const bool rounds_there = t.rounding == RNE || t.rounding == STOCHASTIC || (t.rounding == FLOOR && negative);
        const bool to_infinity = t.overflow == TO_INFINITY || (t.overflow == INFINITY_ && rounds_there);
        return {to_infinity ? infinity(f, negative) : largest(f, negative), OVERFLOWS};
    }
    return {code | sign, 0};
}

inline Result round_to_fixed(const RoundedSum& t, bool negative, u128 magnitude, int exponent, uint32_t random) {
    const Format& f = t.format;
    bool inexact;
    const i128 rounded = shift_right(t, negative, magnitude, -f.frac_bits - exponent, random, inexact);
    const i128 integer = negative ? -rounded : rounded;
    const i128 highest = ones(f.width - f.is_signed), lowest = f.is_signed ? -(i128(1) << (f.width - 1)) + f.is_narrow : 0;
    if (lowest <= integer && integer <= highest) return {u128(integer) & ones(f.width), 0};
    return {t.overflow == WRAP ? u128(integer) & ones(f.width) : largest(f, integer < 0), OVERFLOWS};
}

// R of an addition, with a random number below 2^r or 0.
inline Result rounded(const RoundedSum& t, const ExactSum& sum, uint32_t random) {
    if (sum.is_result) return sum.result;
    if (t.format.is_float) return round_to_float(t, sum.negative, sum.magnitude, sum.exponent, random);
    return round_to_fixed(t, sum.negative, sum.magnitude, sum.exponent, random);
}

constexpr int MOST_SWITCHES = 6;

// The random numbers at both sides of each at which R of this addition can change, and both ends: at most MOST_SWITCHES.
// Where rounding adds N to the r bits b below a place, it carries from 2^r - b on.
inline int switch_numbers(const RoundedSum& t, const ExactSum& sum, uint32_t* numbers) {
    int count = 0;
    auto add = [&](u128 number) {
        for (int i = 0; i < count; ++i) {
            if (numbers[i] == number) return;
        }
        numbers[count++] = static_cast<uint32_t>(number);
    };
    add(0);
    if (t.random_bits == 0) return count;
    const u128 end = u128(1) << t.random_bits;
    auto add_switch = [&](int place) {
        const int distance = place - sum.exponent;
        const u128 below = distance <= 0 ? 0 : first_bits(t, sum.magnitude, distance);
        if (below == 0 || below == end) return;
        add(end - below - 1);
        add(end - below);
    };
    if (!sum.is_result && !t.format.is_float) add_switch(-t.format.frac_bits);
    if (!sum.is_result && t.format.is_float) {
        const int place = last_place(t.format, sum.magnitude, sum.exponent);
        add_switch(place);
        if (place < lsb_exponent(t.format) && t.format.subnormals == GRADUAL) add_switch(lsb_exponent(t.format));
    }
    add(end - 1);
    return count;
}
