// Matrices of values in any real type: read, and looked whether they are numbers of their format.
#pragma once
#include "elements.h"
#include "rounding.h"
#include <string.h>

using macgen::Half;
using macgen::Matrix;

// A number of an operand's format, or of a scale's: at most 32 bits.
struct Operand {
    uint32_t magnitude;
    int16_t exponent;
    uint8_t negative;
    uint8_t kind;
};

INLINE bool is_zero(const Operand& x) { return !x.kind && !x.magnitude; }

// Any number of those types.
struct Value {
    Word magnitude;
    int exponent;
    bool negative;
    uint8_t kind;
};

// A number of an IEEE 754 format from its code.
template <int EXP_BITS, int MAN_BITS> INLINE Value of_code(Word code)
{
    const Word mantissa = code & ((Word(1) << MAN_BITS) - 1), field = code >> MAN_BITS & ((1 << EXP_BITS) - 1);
    const bool negative = code >> (EXP_BITS + MAN_BITS) & 1;
    constexpr int LSB = 2 - (1 << (EXP_BITS - 1)) - MAN_BITS;
    if (UNLIKELY(field == (1 << EXP_BITS) - 1))
        return {0, 0, negative, uint8_t(mantissa ? QUIET : negative ? NEGATIVE_INFINITY : POSITIVE_INFINITY)};
    if (field == 0) return {mantissa, LSB, negative, 0};
    return {mantissa | Word(1) << MAN_BITS, LSB + int(field) - 1, negative, 0};
}

INLINE Value value_of(double x)
{
    Word code;
    memcpy(&code, &x, 8);
    return of_code<11, 52>(code);
}
INLINE Value value_of(float x)
{
    uint32_t code;
    memcpy(&code, &x, 4);
    return of_code<8, 23>(code);
}
INLINE Value value_of(Half x) { return of_code<5, 10>(x.code); }
template <class V> INLINE Value value_of(V x)
{
    const bool negative = x < 0;
    return {negative ? Word(0) - Word(int64_t(x)) : Word(x), 0, negative, 0};
}

// The place of the last bit that a format has of a number whose highest bit is at `top`.
INLINE int last_place(const Format& f, int top)
{
    const int lsb = int(f.lsb_exponent), of_significand = top - int(f.man_bits);
    return !f.is_fixed && of_significand > lsb ? of_significand : lsb;
}

// Makes an operand of a value; returns whether it is a number of the format.
APART inline bool take(const Format& f, const Value& v, Operand& o)
{
    o = {0, 0, uint8_t(v.negative), v.kind};
    if (UNLIKELY(v.kind)) return v.kind == QUIET ? f.has_nan : f.has_infinity;
    if (!v.magnitude) return !f.is_scale;
    const int top = v.exponent + top_bit(v.magnitude);
    if (top > f.max_exponent) return false;
    const int place = last_place(f, top), down = place - v.exponent;
    const Word kept = down > 0 ? right(v.magnitude, down) : left(v.magnitude, -down);
    o.magnitude = uint32_t(kept);
    o.exponent = int16_t(place);
    if (down > 0 && left(kept, down) != v.magnitude) return false;
    if (f.is_fixed) return kept <= fixed_limit<Word>(f, v.negative);
    if (top == f.max_exponent && kept > f.max_significand) return false;
    if (f.is_scale && v.negative) return false;
    if (f.subnormals == GRADUAL) return true;
    return top >= f.min_exponent && !(f.subnormals == NONE && top == f.min_exponent && kept == Word(1) << f.man_bits);
}

// Reads a line of `count` values, a row's or a column's, into every `to_step`-th operand; returns whether all are of
// the format.
template <class V>
bool read_line(const Format& f, const char* from, int64_t stride, int64_t count, Operand* to, int64_t to_step)
{
    bool all = true;
    for (int64_t i = 0; i < count; i++) {
        V x;
        memcpy(&x, from + i * stride, sizeof x);
        Operand& o = to[i * to_step];
        all &= take(f, value_of(x), o);
    }
    return all;
}

// The same for elements of a line from `first` on.
inline bool read(const Format& f, const Matrix& m, int64_t line, int64_t first, int64_t count, Operand* to,
                 int64_t to_step)
{
    return macgen::with_type_of(m, [&](auto element) {
        return read_line<decltype(element)>(f, m.at(line, first), m.product_stride, count, to, to_step);
    });
}

// A value of a format as sums in this format are.
template <class T> Number<T> number_of(const Format& f, double x)
{
    const Value v = value_of(x);
    if (v.kind) return special<T>(v.kind);
    if (!v.magnitude) return zero<T>(v.negative && f.has_negative_zero);
    const int place = last_place(f, v.exponent + top_bit(v.magnitude)), up = v.exponent - place;
    const T magnitude(v.magnitude);
    return finite(v.negative, up < 0 ? right(magnitude, -up) : left(magnitude, up), place);
}

// Returns whether all values of a matrix are of a format.
inline bool check(const Format& f, const Matrix& m)
{
    constexpr int64_t MOST = 1024;
    Operand unused[MOST];
    for (int64_t line = 0; line < m.lines; line++)
        for (int64_t first = 0; first < m.products; first += MOST) {
            const int64_t count = m.products - first < MOST ? m.products - first : MOST;
            if (!read(f, m, line, first, count, unused, 1)) return false;
        }
    return true;
}
