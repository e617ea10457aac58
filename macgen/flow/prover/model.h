// The numeric contract of docs/arithmetic.md, sections 1 to 5, for one step or fold: codes in, code and flags out.
// Written from that page, not from the golden model or the hardware; tests hold it against the golden model.
//
// Limits: operands of up to 32 bits, float accumulators of up to 64 bits, fixed-point ones of up to 120.

#pragma once

#include <cstdint>
#include <initializer_list>

typedef unsigned __int128 u128;
typedef __int128 i128;

enum Encoding { IEEE, FN, FNUZ, FINITE };
enum Rounding { RNE, RTZ, DROP };
enum Overflow { SATURATE, INFINITY_, WRAP };
enum Flag : unsigned { OVERFLOWS = 1, UNDERFLOWS = 2, INVALID = 4 };
enum Kind { NUMBER, INFINITE, QUIET_NAN, SIGNALLING_NAN };

// A number format; what the other family has is 0. An array of ints, so that other languages can pass one.
struct Format {
    int is_float, width;
    int exp_bits, man_bits, bias, encoding, flush;
    int frac_bits, is_signed;
};

struct Spec {
    Format a, b, acc;
    int rounding, overflow;
};

// A decoded code or a product: (-1)^negative * magnitude * 2^exponent. A signalling NaN also stands for 0 * infinity.
struct Number {
    Kind kind;
    bool negative;
    u128 magnitude;
    int exponent;
};

struct Result {
    u128 code;
    unsigned flags;
};

inline int bit_length(u128 x) {
    const uint64_t high = static_cast<uint64_t>(x >> 64), low = static_cast<uint64_t>(x);
    return high ? 128 - __builtin_clzll(high) : low ? 64 - __builtin_clzll(low) : 0;
}

inline u128 ones(int bits) { return bits >= 128 ? ~u128(0) : (u128(1) << bits) - 1; }

// -- section 1: formats ------------------------------------------------------------------------------------------------

inline constexpr int min_exponent(const Format& f) { return 1 - f.bias; }

inline constexpr int lsb_exponent(const Format& f) {
    return f.is_float ? 1 - f.bias - f.man_bits : -f.frac_bits;
}

inline u128 sign_bit(const Format& f) { return u128(1) << (f.width - 1); }

// Code of the largest finite number, without the sign.
inline u128 largest_magnitude(const Format& f) {
    const u128 top = ones(f.width - 1);
    return f.encoding == IEEE ? top - (u128(1) << f.man_bits) : f.encoding == FN ? top - 1 : top;
}

inline u128 largest(const Format& f, bool negative) {
    if (f.is_float) return largest_magnitude(f) | (negative ? sign_bit(f) : 0);
    if (negative) return f.is_signed ? sign_bit(f) : 0;
    return ones(f.width - f.is_signed);
}

inline bool has_nan(const Format& f) { return f.is_float && f.encoding != FINITE; }

inline bool has_infinity(const Format& f) { return f.is_float && f.encoding == IEEE; }

inline u128 canonical_nan(const Format& f) {
    if (f.encoding == IEEE) return (ones(f.exp_bits) << f.man_bits) | (u128(1) << (f.man_bits - 1));
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
    const bool negative = (code >> (f.width - 1)) != 0;
    const u128 field = (code >> f.man_bits) & ones(f.exp_bits), mantissa = code & ones(f.man_bits);
    if (f.encoding == IEEE && field == ones(f.exp_bits)) {
        if (mantissa == 0) return {INFINITE, negative, 0, 0};
        return {(mantissa >> (f.man_bits - 1)) != 0 ? QUIET_NAN : SIGNALLING_NAN, false, 0, 0};
    }
    if (f.encoding == FN && (code & ones(f.width - 1)) == ones(f.width - 1)) return {QUIET_NAN, false, 0, 0};
    if (f.encoding == FNUZ && code == sign_bit(f)) return {QUIET_NAN, false, 0, 0};
    if (field == 0) return {NUMBER, negative, f.flush ? 0 : mantissa, lsb_exponent(f)};
    return {NUMBER, negative, mantissa | (u128(1) << f.man_bits), lsb_exponent(f) + static_cast<int>(field) - 1};
}

// -- section 2: the exact product --------------------------------------------------------------------------------------

inline Number multiply(const Number& a, const Number& b) {
    const bool negative = a.negative != b.negative;
    if (a.kind == NUMBER && b.kind == NUMBER) {
        return {NUMBER, negative, a.magnitude * b.magnitude, a.exponent + b.exponent};
    }
    const bool zero_times_infinity = (a.kind == INFINITE && b.kind == NUMBER && b.magnitude == 0) ||
                                     (b.kind == INFINITE && a.kind == NUMBER && a.magnitude == 0);
    if (a.kind == SIGNALLING_NAN || b.kind == SIGNALLING_NAN || zero_times_infinity) {
        return {SIGNALLING_NAN, false, 0, 0};
    }
    if (a.kind == QUIET_NAN || b.kind == QUIET_NAN) return {QUIET_NAN, false, 0, 0};
    return {INFINITE, negative, 0, 0};
}

// -- section 3: rounding -----------------------------------------------------------------------------------------------

// Divide by 2^distance and round; a negative distance multiplies.
inline u128 shift_right(u128 x, int distance, bool to_nearest, bool& inexact) {
    if (distance <= 0) {
        inexact = false;
        return x << -distance;
    }
    if (distance > 127) {  // x is below 2^126: less than half a unit
        inexact = x != 0;
        return 0;
    }
    const u128 kept = x >> distance, dropped = x & ones(distance), half = u128(1) << (distance - 1);
    inexact = dropped != 0;
    return kept + (to_nearest && (dropped > half || (dropped == half && (kept & 1))));
}

// Divide by 2^distance; what is lost leaves a one in the last bit.
inline u128 shift_right_sticky(u128 x, int distance) {
    if (distance <= 0) return x << -distance;
    if (distance > 127) return x != 0;
    return (x >> distance) | ((x & ones(distance)) != 0);
}

inline Result round_to_float(const Spec& spec, bool negative, u128 magnitude, int exponent) {
    const Format& f = spec.acc;
    const bool to_nearest = spec.rounding == RNE;
    const u128 sign = negative ? sign_bit(f) : 0;
    bool inexact;
    int lsb = exponent + bit_length(magnitude) - 1 - f.man_bits;
    u128 significand = shift_right(magnitude, lsb - exponent, to_nearest, inexact);
    if (significand >> (f.man_bits + 1)) {
        significand >>= 1;
        ++lsb;
    }
    if (lsb + f.man_bits < min_exponent(f)) {
        if (f.flush) return {0, UNDERFLOWS};
        significand = shift_right(magnitude, lsb_exponent(f) - exponent, to_nearest, inexact);
        if (significand == 0 && f.encoding == FNUZ) return {0, UNDERFLOWS};
        return {significand | sign, inexact ? UNDERFLOWS : 0u};
    }
    // The field counts binades from the smallest normal number's, which has 1; the hidden bit is not stored.
    const int field = lsb + f.man_bits - min_exponent(f) + 1;
    const bool beyond = field >= 1 << f.exp_bits;
    const u128 code = beyond ? 0 : (u128(field) << f.man_bits) | (significand & ones(f.man_bits));
    if (beyond || code > largest_magnitude(f)) {
        const bool to_infinity = spec.overflow == INFINITY_ && to_nearest;
        return {to_infinity ? infinity(f, negative) : largest(f, negative), OVERFLOWS};
    }
    return {code | sign, 0};
}

inline Number cut(Number x, int last_place) {
    if (x.exponent < last_place) {
        const int distance = last_place - x.exponent;
        x.magnitude = distance > 127 ? 0 : x.magnitude >> distance;
        x.exponent = last_place;
    }
    return x;
}

// Magnitudes below 2^64. The larger one's top bit is put at bit 123; what of the smaller one falls out below bit 0
// lies at least 60 bits below the result's last place, where a sticky bit stands for it.
inline Result add_to_float(const Spec& spec, Number x, Number y) {
    const Format& f = spec.acc;
    if (x.magnitude == 0 && y.magnitude == 0) return {0, 0};
    if (spec.rounding == DROP) {
        int binade = f.flush ? INT32_MIN : min_exponent(f);
        for (const Number* n : {&x, &y}) {
            const int top = n->exponent + bit_length(n->magnitude) - 1;
            if (n->magnitude != 0 && top > binade) binade = top;
        }
        x = cut(x, binade - f.man_bits);
        y = cut(y, binade - f.man_bits);
    }
    int x_top = x.exponent + bit_length(x.magnitude), y_top = y.exponent + bit_length(y.magnitude);
    if (x.magnitude == 0 || (y.magnitude != 0 && y_top > x_top)) {
        const Number n = x;
        x = y;
        y = n;
        x_top = y_top;
    }
    if (x.magnitude == 0) return {0, 0};
    const int lsb = x_top - 124;
    const i128 large = x.magnitude << (x.exponent - lsb);
    const i128 small = y.magnitude == 0 ? 0 : shift_right_sticky(y.magnitude, lsb - y.exponent);
    const i128 sum = (x.negative ? -large : large) + (y.negative ? -small : small);
    if (sum == 0) return {0, 0};
    return round_to_float(spec, sum < 0, sum < 0 ? -sum : sum, lsb);
}

// Sums are formed with two bits below the accumulator's last one, of which the lower is sticky.
inline Result add_to_fixed(const Spec& spec, const Number& x, const Number& y) {
    const Format& f = spec.acc;
    const int lsb = -f.frac_bits - 2;
    i128 sum = 0;
    for (const Number* n : {&x, &y}) {
        if (n->magnitude == 0) continue;
        i128 term = shift_right_sticky(n->magnitude, lsb - n->exponent);
        if (spec.rounding == DROP) term &= ~i128(3);
        sum += n->negative ? -term : term;
    }
    bool inexact;
    const i128 magnitude = shift_right(sum < 0 ? -sum : sum, 2, spec.rounding == RNE, inexact);
    const i128 integer = sum < 0 ? -magnitude : magnitude;
    const i128 highest = ones(f.width - f.is_signed), lowest = f.is_signed ? -(i128(1) << (f.width - 1)) : 0;
    if (lowest <= integer && integer <= highest) return {u128(integer) & ones(f.width), 0};
    return {spec.overflow == WRAP ? u128(integer) & ones(f.width) : largest(f, integer < 0), OVERFLOWS};
}

// -- section 4: infinities and NaN -------------------------------------------------------------------------------------

inline Result not_a_number(const Spec& spec, unsigned flags) {
    if (has_nan(spec.acc)) return {canonical_nan(spec.acc), flags};
    return {largest(spec.acc, false), INVALID};
}

inline Result add(const Spec& spec, const Number& acc, const Number& addend) {
    if (acc.kind == NUMBER && addend.kind == NUMBER) {
        return spec.acc.is_float ? add_to_float(spec, acc, addend) : add_to_fixed(spec, acc, addend);
    }
    if (acc.kind == SIGNALLING_NAN || addend.kind == SIGNALLING_NAN) return not_a_number(spec, INVALID);
    if (acc.kind == QUIET_NAN || addend.kind == QUIET_NAN) return not_a_number(spec, 0);
    if (acc.kind == INFINITE && addend.kind == INFINITE && acc.negative != addend.negative) {
        return not_a_number(spec, INVALID);
    }
    const bool negative = acc.kind == INFINITE ? acc.negative : addend.negative;
    if (has_infinity(spec.acc)) return {infinity(spec.acc, negative), 0};
    return {largest(spec.acc, negative), OVERFLOWS};
}

inline Result step(const Spec& spec, u128 acc, u128 a, u128 b) {
    return add(spec, decode(spec.acc, acc), multiply(decode(spec.a, a), decode(spec.b, b)));
}

inline Result fold(const Spec& spec, u128 outer, u128 inner) {
    return add(spec, decode(spec.acc, outer), decode(spec.acc, inner));
}
