// What a step adds: products and the sums of lanes (docs/arithmetic.md sections 2 and 2a), exactly, for any spec.
#pragma once
#include "values.h"

enum LaneSum { FUSED, TREE, ALIGNED, EXPONENTS, BULK };
enum Place { NOWHERE, STEPS, CHUNKS, RESULTS };

constexpr int MAX_LANES = 64, MAX_TAPS = 4;

struct Spec {
    Format a, b, scale;
    Target product, acc, outer, out;
    int64_t rounds_products, scales_chunks, has_outer_adder, converts;
    int64_t adds_first;                     // the first chunk's sum is added, too; else it is copied
    int64_t lanes, lane_sum, aligned_bits;  // W or F
    int64_t group, block;                   // lanes of an exact sum, and of a scale; block is 0 where lanes have none
    int64_t products_lsb, terms_lsb, chunk;
    int64_t random_place, random_bits, register_width, shifts, tap[MAX_TAPS];
};

// -- products --------------------------------------------------------------------------------------------------------

// Kind of a product, not both factors of which are finite.
INLINE int kind_of_product(int x, bool x_zero, bool x_negative, int y, bool y_zero, bool y_negative)
{
    const bool zero_times_infinity = (x & INFINITE && y_zero) || (y & INFINITE && x_zero);
    if ((x | y) & SIGNALLING || zero_times_infinity) return SIGNALLING;
    if ((x | y) & QUIET) return QUIET;
    return x_negative != y_negative ? NEGATIVE_INFINITY : POSITIVE_INFINITY;
}

template <class T> INLINE Number<T> exact_product(const Operand& a, const Operand& b)
{
    if (UNLIKELY(a.kind | b.kind))
        return special<T>(kind_of_product(a.kind, is_zero(a), a.negative, b.kind, is_zero(b), b.negative));
    return finite(a.negative != b.negative, T(Word(a.magnitude) * b.magnitude), a.exponent + b.exponent);
}

template <class T> APART Number<T> rounded_product(const Spec& s, const Operand& a, const Operand& b, int& flags)
{
    return convert(s.product, exact_product<T>(a, b), 0, flags);
}

template <class T> INLINE Number<T> product(const Spec& s, const Operand& a, const Operand& b, int& flags)
{
    return s.rounds_products ? rounded_product<T>(s, a, b, flags) : exact_product<T>(a, b);
}

template <class T> inline Number<T> scaled(const Number<T>& x, const Operand& scale)
{
    if (UNLIKELY(x.kind | scale.kind))
        return special<T>(
            kind_of_product(x.kind, is_zero(x), x.negative, scale.kind, is_zero(scale), scale.negative));
    return finite(x.negative != scale.negative, x.magnitude * T(Word(scale.magnitude)), x.exponent + scale.exponent);
}

// -- sums of lanes ---------------------------------------------------------------------------------------------------

// The exact sum of products, which has no more bits than T.
template <class T> APART Number<T> fused_sum(const Spec& s, const Number<T>* products, int count)
{
    int kinds = 0;
    T sum(Word(0));
    for (int lane = 0; lane < count; lane++) {
        const Number<T>& p = products[lane];
        kinds |= p.kind;
        if (any(p.magnitude)) sum = sum + negated_if(p.negative, left(p.magnitude, p.exponent - int(s.products_lsb)));
    }
    if (UNLIKELY(kinds)) return special<T>(kinds);
    const bool negative = is_negative(sum);
    return finite(negative, negated_if(negative, sum), int(s.products_lsb));
}

template <class T> APART Number<T> tree_sum(const Spec& s, Number<T>* nodes, int count, int& flags)
{
    for (int lane = count; lane < s.lanes; lane++) nodes[lane] = zero<T>();
    for (int width = int(s.lanes); width > 1; width /= 2)
        for (int i = 0; i < width / 2; i++) nodes[i] = add_any(s.acc, nodes[2 * i], nodes[2 * i + 1], flags);
    return nodes[0];
}

template <class T> INLINE T cut_at(const Number<T>& x, int place)
{
    const int down = place - x.exponent;
    const T kept = !any(x.magnitude) ? T(Word(0)) : down >= 0 ? right(x.magnitude, down) : left(x.magnitude, -down);
    return negated_if(x.negative, kept);
}

// R of the sum of accumulator and terms, each cut at a place.
template <class T>
INLINE Number<T> cut_sum(const Spec& s, const Number<T>& acc, const Number<T>* terms, int count, int place,
                         uint32_t random, int& flags)
{
    T sum = cut_at(acc, place);
    for (int i = 0; i < count; i++) sum = sum + cut_at(terms[i], place);
    const bool negative = is_negative(sum);
    return round_float(s.acc, negative, negated_if(negative, sum), place, random, flags);
}

// R of the sum of accumulator and products, each cut W bits below the leading bit of the largest.
template <class T>
APART Number<T> aligned_step(const Spec& s, const Number<T>& acc, const Number<T>* products, int count, uint32_t random,
                             int& flags)
{
    int kinds = acc.kind, largest = -(1 << 20);
    const auto look = [&](const Number<T>& x) {
        const int top = top_bit(x.magnitude);
        if (top >= 0 && x.exponent + top > largest) largest = x.exponent + top;
    };
    look(acc);
    for (int lane = 0; lane < count; lane++) {
        kinds |= products[lane].kind;
        look(products[lane]);
    }
    if (UNLIKELY(kinds)) return sum_of_specials<T>(s.acc, kinds, flags);
    return cut_sum(s, acc, products, count, largest - int(s.aligned_bits), random, flags);
}

// -- sums aligned by exponents ---------------------------------------------------------------------------------------

// Reference exponents; finite numbers have their leading bit at man_bits, subnormal ones below it.
INLINE int zero_reference(const Format& f) { return f.min_exponent < -126 ? int(f.min_exponent) : -126; }
INLINE int reference(const Format& f, const Operand& x)
{
    return x.magnitude ? x.exponent + int(f.man_bits) : zero_reference(f);
}
template <class T> INLINE int reference(const Format& f, const Number<T>& x)
{
    return any(x.magnitude) ? x.exponent + int(f.man_bits) : zero_reference(f);
}

// The scales of a step's blocks; `step` further is the next block's.
struct Scales {
    const Operand *a, *b;
    int64_t a_step, b_step;
};

// The operand that code 0 is; of powers of two the least.
INLINE Operand code_zero(const Format& f)
{
    if (f.is_scale) return {1, int16_t(f.lsb_exponent), 0, 0};
    return {0, 0, 0, 0};
}

// Makes the terms of a step, missing lanes and blocks among them; returns how many, with the largest reference exponent.
template <class T>
APART int terms_of(const Spec& s, const Operand* a, int64_t a_step, const Operand* b, int64_t b_step, int lanes,
                   const Scales& scales, Number<T>* terms, int& largest)
{
    const Operand nothing = code_zero(s.a), no_scale = code_zero(s.scale);
    const int group = int(s.group);
    Number<T> products[MAX_LANES];
    int count = 0;
    for (int first = 0; first < s.lanes; first += group, count++) {
        int exponent = 0;
        for (int lane = first; lane < first + group; lane++) {
            const Operand& x = lane < lanes ? a[lane * a_step] : nothing;
            const Operand& y = lane < lanes ? b[lane * b_step] : nothing;
            products[lane] = exact_product<T>(x, y);
            if (group == 1) exponent = reference(s.a, x) + reference(s.b, y);
        }
        Number<T> term = group == 1 ? products[first] : fused_sum(s, products + first, group);
        if (s.block) {
            const int block = first / int(s.block);
            const bool there = block * s.block < lanes;
            const Operand& x = there ? scales.a[block * scales.a_step] : no_scale;
            const Operand& y = there ? scales.b[block * scales.b_step] : no_scale;
            term = scaled(scaled(term, x), y);
            exponent += reference(s.scale, x) + reference(s.scale, y);
        }
        terms[count] = term;
        if (exponent > largest) largest = exponent;
    }
    return count;
}

// R of the sum of accumulator and terms, each cut F bits below the largest reference exponent.
template <class T>
APART Number<T> exponents_step(const Spec& s, const Number<T>& acc, const Number<T>* terms, int count, int largest,
                               uint32_t random, int& flags)
{
    int kinds = acc.kind;
    for (int i = 0; i < count; i++) kinds |= terms[i].kind;
    if (UNLIKELY(kinds)) return sum_of_specials<T>(s.acc, kinds, flags);
    const int of_acc = reference(s.acc.format, acc);
    return cut_sum(s, acc, terms, count, (of_acc > largest ? of_acc : largest) - int(s.aligned_bits), random, flags);
}

// -- bulk normalisation ----------------------------------------------------------------------------------------------

// A number cut at a place to odd: where that changes it, its last bit becomes 1.
template <class T> INLINE T cut_to_odd(const Number<T>& x, int place)
{
    const int down = place - x.exponent;
    if (!any(x.magnitude)) return T(Word(0));
    if (down <= 0) return negated_if(x.negative, left(x.magnitude, -down));
    return negated_if(x.negative, right_sticky(x.magnitude, down));
}

// R of the sum of products, each cut to odd F bits below their largest reference exponent; missing lanes add nothing.
template <class T>
APART Number<T> bulk_sum(const Spec& s, const Operand* a, int64_t a_step, const Operand* b, int64_t b_step, int lanes,
                         int& flags)
{
    Number<T> products[MAX_LANES];
    int kinds = 0, largest = -(1 << 20);
    for (int lane = 0; lane < lanes; lane++) {
        const Operand &x = a[lane * a_step], &y = b[lane * b_step];
        products[lane] = exact_product<T>(x, y);
        kinds |= products[lane].kind;
        if (!any(products[lane].magnitude)) continue;
        const int exponent = reference(s.a, x) + reference(s.b, y);
        if (exponent > largest) largest = exponent;
    }
    if (UNLIKELY(kinds)) {
        const int both = POSITIVE_INFINITY | NEGATIVE_INFINITY;
        if ((kinds & both) == both) kinds |= SIGNALLING;  // invalid beside a quiet NaN, too
        return sum_of_specials<T>(s.acc, kinds, flags);
    }
    const int place = largest - int(s.aligned_bits);
    T sum(Word(0));
    for (int lane = 0; lane < lanes; lane++) sum = sum + cut_to_odd(products[lane], place);
    const bool negative = is_negative(sum);
    return round_float(s.acc, negative, negated_if(negative, sum), place, 0, flags);
}
