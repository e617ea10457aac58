// R, the rounding of sums, and what infinities and NaN make of them (docs/arithmetic.md sections 3 and 4).
#pragma once
#include "integers.h"

// The records below are filled by exact_records.py, in this order; each member is one integer.
struct Format {
    int64_t is_fixed, is_scale;
    int64_t man_bits, min_exponent, max_exponent;  // of floats, as of scales
    Word max_significand;
    int64_t lsb_exponent;  // every finite number is a multiple of 2 to this power
    int64_t subnormals;
    int64_t has_infinity, has_nan, has_negative_zero;
    int64_t width, is_signed, is_narrow;  // of fixed point; narrow: without the lowest value
};

enum Subnormals { GRADUAL, FLUSH, NONE };
enum Rounding { TO_NEAREST, TOWARD_ZERO, DOWN, AT_RANDOM, TO_ODD };
enum Overflow { SATURATE, AS_IEEE, WRAP, TO_NAN, TO_INFINITY };

struct Target {
    Format format;
    int64_t rounding, random_bits, to_nearest;  // to nearest: beneath the random bits, where others cut
    int64_t drops;  // both terms are cut before they are added
    int64_t overflow;
};

enum Flag { OVERFLOWED = 1, UNDERFLOWED = 2, INVALID = 4 };

// Kinds of numbers, so that those of several terms can be joined; finite ones are 0.
enum Kind { SIGNALLING = 1, QUIET = 2, POSITIVE_INFINITY = 4, NEGATIVE_INFINITY = 8 };
constexpr int NAN_KINDS = SIGNALLING | QUIET, INFINITE = POSITIVE_INFINITY | NEGATIVE_INFINITY;

// (-1)^negative * magnitude * 2^exponent, unless its kind says otherwise.
template <class T> struct Number {
    T magnitude;
    int32_t exponent;
    uint8_t negative;
    uint8_t kind;
};

template <class T> INLINE Number<T> finite(bool negative, const T& magnitude, int exponent)
{
    return {magnitude, exponent, uint8_t(negative), 0};
}

template <class T> INLINE Number<T> zero(bool negative = false) { return finite(negative, T(Word(0)), 0); }

template <class T> INLINE Number<T> special(int kind)
{
    return {T(Word(0)), 0, uint8_t(kind == NEGATIVE_INFINITY), uint8_t(kind)};
}

template <class T> INLINE bool is_zero(const Number<T>& x) { return !x.kind && !any(x.magnitude); }

// -- results beyond the range, and without a value -------------------------------------------------------------------

// The largest magnitude of a sign that a fixed-point format has.
template <class T> INLINE T fixed_limit(const Format& f, bool negative)
{
    if (!f.is_signed) return negative ? T(Word(0)) : ones<T>(int(f.width));
    return negative && !f.is_narrow ? left(T(Word(1)), int(f.width) - 1) : ones<T>(int(f.width) - 1);
}

template <class T> Number<T> largest(const Format& f, bool negative)
{
    if (!f.is_fixed) return finite(negative, T(f.max_significand), int(f.max_exponent - f.man_bits));
    const T limit = fixed_limit<T>(f, negative);
    return finite(negative && any(limit), limit, int(f.lsb_exponent));
}

template <class T> Number<T> not_a_number(const Format& f, int& flags)
{
    if (f.has_nan) return special<T>(QUIET);
    flags |= INVALID;
    return largest<T>(f, false);
}

// What terms of these kinds, not all finite, add to.
template <class T> APART Number<T> sum_of_specials(const Target& t, int kinds, int& flags)
{
    if (kinds & SIGNALLING) flags |= INVALID;
    else if (!(kinds & QUIET) && (kinds & INFINITE) == INFINITE) flags |= INVALID;
    else if (!(kinds & QUIET)) {
        if (t.format.has_infinity) return special<T>(kinds);
        flags |= OVERFLOWED;
        if (t.overflow == TO_NAN) return special<T>(QUIET);
        return largest<T>(t.format, kinds & NEGATIVE_INFINITY);
    }
    return not_a_number<T>(t.format, flags);
}

// -- one rounding --------------------------------------------------------------------------------------------------

// Whether a magnitude whose places below the last are `rest`, counted in 2^-bits of a place, is rounded away from zero.
template <class T> INLINE bool rounds_up(const Target& t, bool negative, bool odd, const T& rest, uint32_t random)
{
    switch (t.rounding) {
    case TO_NEAREST: return is_negative(rest) && (odd || any(left(rest, 1)));
    case DOWN: return negative && any(rest);
    case TO_ODD: return !odd && any(rest);
    case AT_RANDOM: {
        Word first = low_word(right(rest, bits<T>() - int(t.random_bits)));
        if (t.to_nearest) {
            const T beneath = left(rest, int(t.random_bits));
            first += is_negative(beneath) && ((first & 1) || any(left(beneath, 1)));
        }
        return (first + random) >> t.random_bits;
    }
    }
    return false;
}

// A sum below the smallest normal number, after rounding: `x` has its highest bit at the top, of exponent `e`.
template <class T>
APART Number<T> round_tiny(const Target& t, bool negative, const T& x, int e, uint32_t random, int& flags)
{
    const Format& f = t.format;
    if (f.subnormals != GRADUAL) {
        flags |= UNDERFLOWED;
        return zero<T>();
    }
    const int below = int(f.lsb_exponent) - (e - bits<T>() + 1);  // bits of x that are below the grid
    const T kept = right(x, below);
    const T rest = below <= bits<T>() ? left(x, bits<T>() - below) : right_sticky(x, below - bits<T>());
    const Word rounded = low_word(kept) + rounds_up(t, negative, low_word(kept) & 1, rest, random);
    if (any(rest)) flags |= UNDERFLOWED;
    if (!rounded) return zero<T>(negative && f.has_negative_zero);
    return finite(negative, T(rounded), int(f.lsb_exponent));
}

template <class T> APART Number<T> too_large(const Target& t, bool negative, int& flags)
{
    flags |= OVERFLOWED;
    const bool away = t.rounding == TO_NEAREST || t.rounding == AT_RANDOM || (t.rounding == DOWN && negative);
    if (t.overflow == TO_INFINITY || (t.overflow == AS_IEEE && away)) return special<T>(negative ? NEGATIVE_INFINITY : POSITIVE_INFINITY);
    if (t.overflow == TO_NAN) return special<T>(QUIET);
    return largest<T>(t.format, negative);
}

// R of a sum into a float format; the lowest bit of `sum` may be a sticky one.
template <class T>
INLINE Number<T> round_float(const Target& t, bool negative, const T& sum, int exponent, uint32_t random, int& flags)
{
    const Format& f = t.format;
    const int lead = top_bit(sum), man_bits = int(f.man_bits);
    if (UNLIKELY(lead < 0)) return zero<T>();
    const T x = left(sum, bits<T>() - 1 - lead);
    const int e = exponent + lead;
    Word kept = low_word(right(x, bits<T>() - 1 - man_bits));
    kept += rounds_up(t, negative, kept & 1, left(x, man_bits + 1), random);
    const int carried = int(kept >> (man_bits + 1));
    kept >>= carried;
    const int rounded = e + carried;
    if (UNLIKELY(rounded <= f.min_exponent)) {
        const bool missing = f.subnormals == NONE && rounded == f.min_exponent && kept == Word(1) << man_bits;
        if (rounded < f.min_exponent || missing) return round_tiny(t, negative, x, e, random, flags);
    }
    if (UNLIKELY(rounded > f.max_exponent || (rounded == f.max_exponent && kept > f.max_significand)))
        return too_large<T>(t, negative, flags);
    return finite(negative, T(kept), rounded - man_bits);
}

// R of a sum into fixed point; `sum` counts units of 2^-below of the last place, its lowest bit may be a sticky one.
template <class T>
INLINE Number<T> round_fixed(const Target& t, bool negative, const T& sum, int below, uint32_t random, int& flags)
{
    const Format& f = t.format;
    T kept = right(sum, below);
    kept = kept + T(Word(rounds_up(t, negative, low_word(kept) & 1, left(sum, bits<T>() - below), random)));
    if (UNLIKELY(kept > fixed_limit<T>(f, negative))) {
        flags |= OVERFLOWED;
        if (t.overflow != WRAP) return largest<T>(f, negative);
        kept = negated_if(negative, kept) & ones<T>(int(f.width));
        negative = f.is_signed && any(right(kept, int(f.width) - 1));
        if (negative) kept = left(T(Word(1)), int(f.width)) - kept;
    }
    return finite(negative && any(kept), kept, int(f.lsb_exponent));
}

// -- sums ----------------------------------------------------------------------------------------------------------

// Places below the last of a fixed-point format that a sum keeps: those that rounding looks at, and a sticky one.
INLINE int places_below(const Target& t)
{
    const int looked_at = int(t.random_bits + t.to_nearest);
    return looked_at > 1 ? looked_at + 1 : 2;
}

template <class T>
INLINE Number<T> add_fixed(const Target& t, const Number<T>& acc, const Number<T>& x, uint32_t random, int& flags)
{
    const Format& f = t.format;
    const int below = places_below(t), up = x.exponent - int(f.lsb_exponent) + below;
    const int top = top_bit(x.magnitude);
    const T term = left(acc.magnitude, below);
    T other;
    if (up < 0) {
        other = right_sticky(x.magnitude, -up);
    } else if (LIKELY(top < 0 || top + up < bits<T>() - 2)) {
        other = left(x.magnitude, up);
    } else {  // far beyond the range, and a multiple of its last place
        flags |= OVERFLOWED;
        if (t.overflow != WRAP) return largest<T>(f, x.negative);
        const T sum = negated_if(acc.negative, acc.magnitude) + negated_if(x.negative, left(x.magnitude, up - below));
        T kept = sum & ones<T>(int(f.width));
        const bool negative = f.is_signed && any(right(kept, int(f.width) - 1));
        if (negative) kept = left(T(Word(1)), int(f.width)) - kept;
        return finite(negative, kept, int(f.lsb_exponent));
    }
    if (t.drops) other = cut_below(other, below);
    const T sum = negated_if(acc.negative, term) + negated_if(x.negative, other);
    const bool negative = is_negative(sum);
    return round_fixed(t, negative, negated_if(negative, sum), below, random, flags);
}

// The sum of two numbers in units of 2^exponent, its lowest bit a sticky one.
template <class T> struct Sum {
    T magnitude;
    int exponent;
    bool negative;
};

template <class T> INLINE Sum<T> aligned_sum(const Target& t, bool drops, const Number<T>& x, const Number<T>& y)
{
    constexpr int TOP = bits<T>() - 3;  // above it a carry and the sign
    const int top_x = top_bit(x.magnitude), top_y = top_bit(y.magnitude);
    const T up_x = left(x.magnitude, TOP - top_x), up_y = left(y.magnitude, TOP - top_y);
    const int e_x = top_x < 0 ? -(1 << 20) : x.exponent + top_x, e_y = top_y < 0 ? -(1 << 20) : y.exponent + top_y;
    const bool swapped = e_y > e_x;
    T larger = swapped ? up_y : up_x, smaller = swapped ? up_x : up_y;
    const int e = swapped ? e_y : e_x;
    int distance = swapped ? e_y - e_x : e_x - e_y;
    distance = distance < bits<T>() - 1 ? distance : bits<T>() - 1;
    if (drops) {
        int place = TOP - int(t.format.man_bits);
        const int last = int(t.format.lsb_exponent) - (e - TOP);
        if (t.format.subnormals == GRADUAL && last > place) place = last;
        if (place > bits<T>() - 1) place = bits<T>() - 1;
        larger = cut_below(larger, place);
        smaller = cut_below(right(smaller, distance), place);
    } else {
        smaller = right_sticky(smaller, distance);
    }
    const bool sign = swapped ? y.negative : x.negative;
    const T sum = larger + negated_if(x.negative != y.negative, smaller);
    const bool below_zero = is_negative(sum);  // of equal exponents the second one may be the larger
    return {negated_if(below_zero, sum), e - TOP, sign != below_zero};
}

template <class T>
INLINE Number<T> add_float(const Target& t, const Number<T>& x, const Number<T>& y, uint32_t random, int& flags)
{
    const Sum<T> sum = aligned_sum(t, t.drops, x, y);
    return round_float(t, sum.negative, sum.magnitude, sum.exponent, random, flags);
}

// R(x + y), the first a number of the target's format.
template <class T>
INLINE Number<T> add(const Target& t, const Number<T>& x, const Number<T>& y, uint32_t random, int& flags)
{
    if (UNLIKELY(x.kind | y.kind)) return sum_of_specials<T>(t, x.kind | y.kind, flags);
    return t.format.is_fixed ? add_fixed(t, x, y, random, flags) : add_float(t, x, y, random, flags);
}

// R(x + y) of any two numbers that the target's format reaches, without a random number.
template <class T> APART Number<T> add_any(const Target& t, const Number<T>& x, const Number<T>& y, int& flags)
{
    const Format& f = t.format;
    if (!f.is_fixed || (x.kind | y.kind)) return add(t, x, y, 0, flags);
    const int lsb = int(f.lsb_exponent), below = places_below(t);
    if (t.drops) {
        const int down = lsb - x.exponent;
        const T kept = down > 0 ? right(x.magnitude, down) : left(x.magnitude, -down);
        return add_fixed(t, finite(x.negative, kept, lsb), y, 0, flags);
    }
    const Sum<T> sum = aligned_sum(t, false, x, y);
    if (!any(sum.magnitude)) return zero<T>();
    return round_fixed(t, sum.negative, right_sticky(sum.magnitude, lsb - below - sum.exponent), below, 0, flags);
}

// R(0 + x), of a single term: there `drop` is `rtz`.
template <class T> INLINE Number<T> convert(const Target& t, const Number<T>& x, uint32_t random, int& flags)
{
    if (UNLIKELY(x.kind)) return sum_of_specials<T>(t, x.kind, flags);
    if (t.format.is_fixed) return add_fixed(t, zero<T>(), x, random, flags);
    return round_float(t, x.negative, x.magnitude, x.exponent, random, flags);
}
