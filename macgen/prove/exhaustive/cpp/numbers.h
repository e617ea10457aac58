// Formats, specifications and exact numbers: sections 1 and 2 of docs/arithmetic.md, for model.h.

#pragma once

#include <cstdint>

#include "wide.h"

typedef __int128 i128;

enum Encoding { IEEE, FN, FNUZ, FINITE, QUIET, POWER };
enum Subnormals { GRADUAL, FLUSH, NONE };
enum Rounding { RNE, RTZ, FLOOR, ODD, DROP, STOCHASTIC };
enum Overflow { SATURATE, INFINITY_, TO_INFINITY, NAN_, WRAP };
enum LaneSum { FUSED, TREE, ALIGNED, EXPONENTS, BULK };
enum Flag : unsigned { OVERFLOWS = 1, UNDERFLOWS = 2, INVALID = 4 };

// What counters count besides the flags of an addition (section 9), as if it were one more flag.
constexpr unsigned SWAMPED = 8;
enum Kind { NUMBER, INFINITE, QUIET_NAN, SIGNALLING_NAN };

constexpr int MOST_LANES = 64;

// A number format; what the other family has is 0. All are ints here and below, so that other languages can pass arrays.
struct Format {
    int is_float, width;
    int exp_bits, man_bits, bias, encoding, subnormals;
    int frac_bits, is_signed, is_narrow;
};

// A format that numbers are rounded to, and how; `random_bits` is 0 where not at random. `to_nearest`: whether what lies
// beneath those bits is rounded to nearest even, and not cut.
struct RoundedSum {
    Format format;
    int rounding, random_bits, to_nearest, overflow;
};

// `rounds_products`: whether `product` is a format; `has_scales`: whether chunk sums have scales, of the format `scale`.
// `has_outer_adder`: folds are `outer`'s, else the accumulator's. `converts`: results are rounded to `out`.
struct Spec {
    Format a, b, scale;
    RoundedSum product, acc, outer, out;
    int rounds_products, has_scales, has_outer_adder, converts;
    int lanes, lane_sum, aligned_bits;  // the bits: W of `aligned:W`, F of the others
    int group, block;                   // G of `exponents:F/G`, else 1; lanes that have a scale, 0 where none has
};

// (-1)^negative * magnitude * 2^exponent. A signalling NaN also stands for 0 * infinity. `reference` is the number's
// reference exponent, of a code's number and of a product; of any other 0.
template <class Integer>
struct NumberOf {
    Kind kind;
    bool negative;
    Integer magnitude;
    int exponent;
    int reference = 0;
};

typedef NumberOf<u128> Number;

struct Result {
    u128 code;
    unsigned flags;
};

// The sum of an addition: a number to be rounded, as NumberOf; what lies far below every place at which a format can
// round is one sticky bit. Or already a result.
struct ExactSum {
    bool is_result;
    Result result;
    bool negative;
    u128 magnitude;
    int exponent;
};

inline u128 ones(int bits) { return bits >= 128 ? ~u128(0) : (u128(1) << bits) - 1; }

// -- section 1: formats ------------------------------------------------------------------------------------------------

// Exponent field of the smallest normal number.
inline constexpr int least_field(const Format& f) { return f.subnormals == NONE ? 0 : 1; }

inline constexpr int min_exponent(const Format& f) { return least_field(f) - f.bias; }

// Reference exponent of a zero, see section 2.
inline constexpr int zero_reference(const Format& f) { return min_exponent(f) < -126 ? min_exponent(f) : -126; }

inline constexpr int lsb_exponent(const Format& f) {
    return f.is_float ? min_exponent(f) - f.man_bits : -f.frac_bits;
}

// Whether the largest exponent field is for infinities and NaN.
inline constexpr bool is_ieee(const Format& f) { return f.encoding == IEEE || f.encoding == QUIET; }

inline u128 sign_bit(const Format& f) { return u128(1) << (f.width - 1); }

// Code of the largest finite number, without the sign.
inline u128 largest_magnitude(const Format& f) {
    const u128 top = ones(f.width - 1);
    return is_ieee(f) ? top - (u128(1) << f.man_bits) : f.encoding == FN ? top - 1 : top;
}

inline u128 largest(const Format& f, bool negative) {
    if (f.is_float) return largest_magnitude(f) | (negative ? sign_bit(f) : 0);
    if (negative) return f.is_signed ? sign_bit(f) + f.is_narrow : 0;
    return ones(f.width - f.is_signed);
}

inline bool has_nan(const Format& f) { return f.is_float && f.encoding != FINITE; }

inline bool has_infinity(const Format& f) { return f.is_float && is_ieee(f); }

inline u128 canonical_nan(const Format& f) {
    if (is_ieee(f)) return (ones(f.exp_bits) << f.man_bits) | (u128(1) << (f.man_bits - 1));
    return f.encoding == FN ? ones(f.width - 1) : sign_bit(f);
}

inline u128 infinity(const Format& f, bool negative) {
    return (ones(f.exp_bits) << f.man_bits) | (negative ? sign_bit(f) : 0);
}

inline Number decode(const Format& f, u128 code) {
    if (!f.is_float) {
        const bool negative = f.is_signed && (code >> (f.width - 1)) != 0;
        return {NUMBER, negative, negative ? (u128(1) << f.width) - code : code, -f.frac_bits};
    }
    if (f.encoding == POWER) {
        if (code == ones(f.width)) return {QUIET_NAN, false, 0, 0};
        return {NUMBER, false, 1, static_cast<int>(code) - f.bias, static_cast<int>(code) - f.bias};
    }
    const bool negative = (code >> (f.width - 1)) != 0;
    const u128 field = (code >> f.man_bits) & ones(f.exp_bits), mantissa = code & ones(f.man_bits);
    if (is_ieee(f) && field == ones(f.exp_bits)) {
        if (mantissa == 0) return {INFINITE, negative, 0, 0};
        return {f.encoding == QUIET || (mantissa >> (f.man_bits - 1)) != 0 ? QUIET_NAN : SIGNALLING_NAN, false, 0, 0};
    }
    if (f.encoding == FN && (code & ones(f.width - 1)) == ones(f.width - 1)) return {QUIET_NAN, false, 0, 0};
    if (f.encoding == FNUZ && code == sign_bit(f)) return {QUIET_NAN, false, 0, 0};
    if (field == 0 && (f.subnormals != NONE || mantissa == 0)) {
        const u128 magnitude = f.subnormals == GRADUAL ? mantissa : 0;
        return {NUMBER, negative, magnitude, lsb_exponent(f), magnitude ? min_exponent(f) : zero_reference(f)};
    }
    const int exponent = lsb_exponent(f) + static_cast<int>(field) - least_field(f);
    return {NUMBER, negative, mantissa | (u128(1) << f.man_bits), exponent, exponent + f.man_bits};
}

// -- section 2: exact products and sums --------------------------------------------------------------------------------

inline Number multiply(const Number& a, const Number& b) {
    const bool negative = a.negative != b.negative;
    if (a.kind == NUMBER && b.kind == NUMBER) {
        return {NUMBER, negative, a.magnitude * b.magnitude, a.exponent + b.exponent, a.reference + b.reference};
    }
    const bool zero_times_infinity = (a.kind == INFINITE && b.kind == NUMBER && b.magnitude == 0) ||
                                     (b.kind == INFINITE && a.kind == NUMBER && a.magnitude == 0);
    if (a.kind == SIGNALLING_NAN || b.kind == SIGNALLING_NAN || zero_times_infinity) {
        return {SIGNALLING_NAN, false, 0, 0};
    }
    if (a.kind == QUIET_NAN || b.kind == QUIET_NAN) return {QUIET_NAN, false, 0, 0};
    return {INFINITE, negative, 0, 0};
}

template <class Integer>
int top(const NumberOf<Integer>& n) {
    return n.exponent + bit_length(n.magnitude);
}

inline NumberOf<Wide> widened(const Number& n) { return {n.kind, n.negative, Wide(n.magnitude), n.exponent}; }

template <class Integer>
bool is_zero(const NumberOf<Integer>& n) {
    return n.magnitude == Integer(0);
}

// The sum of magnitudes with signs.
template <class Integer>
Integer add_signed(bool& negative, const Integer& x, bool y_negative, const Integer& y) {
    if (negative == y_negative) return x + y;
    if (!(x < y)) return x - y;
    negative = y_negative;
    return y - x;
}

// The exact sum of finite numbers, all on the grid 2^exponent or 0.
template <class Integer>
NumberOf<Integer> exact_sum(const Number* addends, int count, int exponent) {
    NumberOf<Integer> sum{NUMBER, false, Integer(0), exponent};
    for (int i = 0; i < count; ++i) {
        if (is_zero(addends[i])) continue;
        const Integer addend = Integer(addends[i].magnitude) << (addends[i].exponent - exponent);
        sum.magnitude = add_signed(sum.negative, sum.magnitude, addends[i].negative, addend);
    }
    return sum;
}

// Cut toward zero to a multiple of 2^last_place, whose last bit becomes 1 where that changes the number.
inline Number cut_to_odd(Number x, int last_place) {
    if (x.exponent >= last_place || is_zero(x)) return x;
    const int distance = last_place - x.exponent;
    const u128 kept = distance > 127 ? 0 : x.magnitude >> distance;
    const bool lost = distance > 127 || kept << distance != x.magnitude;
    x.magnitude = kept | lost;
    x.exponent = last_place;
    return x;
}

// Cut toward zero to a multiple of 2^last_place.
template <class Integer>
NumberOf<Integer> cut(NumberOf<Integer> x, int last_place) {
    if (x.exponent < last_place) {
        const int distance = last_place - x.exponent;
        x.magnitude = distance >= WIDTH<Integer> ? Integer(0) : x.magnitude >> distance;
        x.exponent = last_place;
    }
    return x;
}
