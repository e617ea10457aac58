// Matrices of values in any real type: read, and looked whether they are numbers of their format.
#pragma once
#include "rounding.h"
#include <string.h>

enum Type { FLOAT64, FLOAT32, FLOAT16, INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, UINT64 };

struct Matrix {
    const char* data;
    int64_t row_stride, column_stride;  // in bytes
    int64_t type;
};

// A number of an operand's format, or of a scale's: at most 32 bits.
struct Operand {
    uint32_t magnitude;
    int16_t exponent;
    uint8_t negative;
    uint8_t kind;
};

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

struct Half {
    uint16_t code;
};

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

// Makes an operand of a value; returns whether it is a number of the format.
APART inline bool take(const Format& f, const Value& v, Operand& o)
{
    o = {0, 0, uint8_t(v.negative), v.kind};
    if (UNLIKELY(v.kind)) return v.kind == QUIET ? f.has_nan : f.has_infinity;
    if (!v.magnitude) return !f.is_scale;
    const int top = v.exponent + top_bit(v.magnitude);
    if (top > f.max_exponent) return false;
    int place = int(f.lsb_exponent);
    if (!f.is_fixed && top - int(f.man_bits) > place) place = top - int(f.man_bits);
    const int down = place - v.exponent;
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

inline bool read(const Format& f, const Matrix& m, const char* from, int64_t stride, int64_t count, Operand* to, int64_t to_step)
{
    switch (m.type) {
    case FLOAT64: return read_line<double>(f, from, stride, count, to, to_step);
    case FLOAT32: return read_line<float>(f, from, stride, count, to, to_step);
    case FLOAT16: return read_line<Half>(f, from, stride, count, to, to_step);
    case INT8: return read_line<int8_t>(f, from, stride, count, to, to_step);
    case INT16: return read_line<int16_t>(f, from, stride, count, to, to_step);
    case INT32: return read_line<int32_t>(f, from, stride, count, to, to_step);
    case INT64: return read_line<int64_t>(f, from, stride, count, to, to_step);
    case UINT8: return read_line<uint8_t>(f, from, stride, count, to, to_step);
    case UINT16: return read_line<uint16_t>(f, from, stride, count, to, to_step);
    case UINT32: return read_line<uint32_t>(f, from, stride, count, to, to_step);
    }
    return read_line<uint64_t>(f, from, stride, count, to, to_step);
}

// Returns whether all values of a matrix are of a format.
inline bool check(const Format& f, const Matrix& m, int64_t rows, int64_t columns)
{
    Operand unused[1024];
    for (int64_t row = 0; row < rows; row++)
        for (int64_t first = 0; first < columns; first += 1024) {
            const int64_t count = columns - first < 1024 ? columns - first : 1024;
            const char* from = m.data + row * m.row_stride + first * m.column_stride;
            if (!read(f, m, from, m.column_stride, count, unused, 1)) return false;
        }
    return true;
}
