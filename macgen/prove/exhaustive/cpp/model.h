// The numeric contract of docs/arithmetic.md, sections 1 to 5 and 11: codes in, codes and flags out.
// Written from that page, not from the golden model or the hardware; tests hold it against the golden model.
//
// An addition is formed exactly first, then rounded: with one random number or, in turn, with several.
//
// Limits: operands and scales of up to 32 bits, products' and accumulators' significands of up to 64, or fixed-point
// accumulators that have 120 bits together with those of the random number, of the lanes' carries and of scales'
// significands.

#pragma once

#include "rounding.h"

// -- one addition ------------------------------------------------------------------------------------------------------

inline ExactSum finished(u128 code, unsigned flags = 0) { return {true, {code, flags}, false, 0, 0}; }

// The exact sum of two numbers; what far smaller ones add to it is a sticky bit. The larger one's top bit is put three
// bits below the integer's: what of the smaller one falls out below bit 0 is something only where no cancellation brings
// the sum's top bit down to it.
template <class Integer>
NumberOf<Integer> sum_of(const NumberOf<Integer>& x, const NumberOf<Integer>& y) {
    const bool swap = is_zero(x) || (!is_zero(y) && top(y) > top(x));
    const NumberOf<Integer>&larger = swap ? y : x, &smaller = swap ? x : y;
    if (is_zero(larger)) return larger;
    const int lsb = top(larger) - (WIDTH<Integer> - 4);
    NumberOf<Integer> sum{NUMBER, larger.negative, larger.magnitude << (larger.exponent - lsb), lsb};
    if (!is_zero(smaller)) {
        const Integer addend = shift_right_sticky(smaller.magnitude, lsb - smaller.exponent);
        sum.magnitude = add_signed(sum.negative, sum.magnitude, smaller.negative, addend);
    }
    return sum;
}

template <class Integer>
ExactSum add_to_float(const RoundedSum& t, NumberOf<Integer> x, NumberOf<Integer> y) {
    const Format& f = t.format;
    if (t.rounding == DROP) {
        int binade = f.subnormals == GRADUAL ? min_exponent(f) : INT32_MIN;
        for (const NumberOf<Integer>* n : {&x, &y}) {
            if (!is_zero(*n) && top(*n) - 1 > binade) binade = top(*n) - 1;
        }
        if (binade == INT32_MIN) return finished(0);
        x = cut(x, binade - f.man_bits);
        y = cut(y, binade - f.man_bits);
    }
    const NumberOf<Integer> sum = sum_of(x, y);
    if (is_zero(sum)) return finished(0);
    constexpr int extra = WIDTH<Integer> - 128;
    return {false, {}, sum.negative, static_cast<u128>(shift_right_sticky(sum.magnitude, extra)), sum.exponent + extra};
}

// Sums are formed with r + 2 bits below the accumulator's last one, of which the lowest is sticky: at most one of the
// addends is finer than that. One that is far too large has no bits there.
template <class Integer>
ExactSum add_to_fixed(const RoundedSum& t, const NumberOf<Integer>& x, const NumberOf<Integer>& y) {
    const Format& f = t.format;
    const int below = t.random_bits + 2, lsb = -f.frac_bits - below;
    bool negative = false;
    u128 sum = 0;
    for (const NumberOf<Integer>* n : {&x, &y}) {
        if (is_zero(*n)) continue;
        if (top(*n) - lsb > 126) {
            if (t.overflow != WRAP) return finished(largest(f, n->negative), OVERFLOWS);
            const int distance = n->exponent + f.frac_bits;
            const u128 addend = distance > 127 ? 0 : static_cast<u128>(n->magnitude) << distance;
            const u128 other = sum >> below;
            const u128 wrapped = (n->negative ? -addend : addend) + (negative ? -other : other);
            return finished(wrapped & ones(f.width), OVERFLOWS);
        }
        u128 addend = static_cast<u128>(shift_right_sticky(n->magnitude, lsb - n->exponent));
        if (t.rounding == DROP) addend &= ~ones(below);
        sum = add_signed(negative, sum, n->negative, addend);
    }
    if (sum == 0) return finished(0);
    return {false, {}, negative, sum, lsb};
}

// -- section 4: infinities and NaN -------------------------------------------------------------------------------------

inline ExactSum not_a_number(const RoundedSum& t, unsigned flags) {
    if (has_nan(t.format)) return finished(canonical_nan(t.format), flags);
    return finished(largest(t.format, false), INVALID);
}

// The result where not all addends are finite.
inline ExactSum add_specials(const RoundedSum& t, const Number* addends, int count) {
    bool kinds[4] = {}, signs[2] = {};
    for (int i = 0; i < count; ++i) {
        kinds[addends[i].kind] = true;
        if (addends[i].kind == INFINITE) signs[addends[i].negative] = true;
    }
    if (kinds[SIGNALLING_NAN]) return not_a_number(t, INVALID);
    if (kinds[QUIET_NAN]) return not_a_number(t, 0);
    if (signs[0] && signs[1]) return not_a_number(t, INVALID);
    if (has_infinity(t.format)) return finished(infinity(t.format, signs[1]));
    if (t.overflow == NAN_) return finished(canonical_nan(t.format), OVERFLOWS);
    return finished(largest(t.format, signs[1]), OVERFLOWS);
}

template <class Integer>
ExactSum add_finite(const RoundedSum& t, const NumberOf<Integer>& x, const NumberOf<Integer>& y) {
    return t.format.is_float ? add_to_float(t, x, y) : add_to_fixed(t, x, y);
}

// The sum of an accumulator, whose numbers are multiples of its last place, and an addend.
inline ExactSum add(const RoundedSum& t, const Number& acc, const Number& addend) {
    if (acc.kind == NUMBER && addend.kind == NUMBER) return add_finite(t, acc, addend);
    const Number addends[2] = {acc, addend};
    return add_specials(t, addends, 2);
}

// -- sections 2 to 4 for several addends -------------------------------------------------------------------------------

// The sum of an accumulator and an addend that is itself the exact sum of several.
inline ExactSum add_all(const RoundedSum& t, const Number& acc, const Number* addends, int count) {
    bool finite = acc.kind == NUMBER;
    int low = INT32_MAX, high = INT32_MIN;
    for (int i = 0; i < count; ++i) {
        finite = finite && addends[i].kind == NUMBER;
        if (is_zero(addends[i])) continue;
        if (addends[i].exponent < low) low = addends[i].exponent;
        if (top(addends[i]) > high) high = top(addends[i]);
    }
    if (!finite) {
        Number all[MOST_LANES + 1] = {acc};
        for (int i = 0; i < count; ++i) all[i + 1] = addends[i];
        return add_specials(t, all, count + 1);
    }
    if (low > high) return add_finite(t, acc, Number{NUMBER, false, 0, 0});
    if (high - low <= 114) return add_finite(t, acc, exact_sum<u128>(addends, count, low));
    return add_finite(t, widened(acc), exact_sum<Wide>(addends, count, low));
}

// `aligned:W`: all addends cut W bits below the largest one's binade.
inline ExactSum add_aligned(const RoundedSum& t, int bits, const Number* addends, int count) {
    int high = INT32_MIN;
    for (int i = 0; i < count; ++i) {
        if (addends[i].kind != NUMBER) return add_specials(t, addends, count);
        if (!is_zero(addends[i]) && top(addends[i]) > high) high = top(addends[i]);
    }
    if (high == INT32_MIN) return finished(0);
    const int place = high - 1 - bits;
    Number aligned[MOST_LANES + 1];
    for (int i = 0; i < count; ++i) aligned[i] = cut(addends[i], place);
    // The largest addend may have fewer bits than `bits`, and so a grid that is coarser than the place.
    const Number sum = exact_sum<u128>(aligned, count, place);
    return add_to_float(t, Number{NUMBER, false, 0, 0}, sum);
}

// `exponents:F`: all addends cut F bits below the largest reference exponent, zeros' too.
inline ExactSum add_by_exponents(const RoundedSum& t, int bits, const Number* addends, int count) {
    int largest_reference = INT32_MIN;
    for (int i = 0; i < count; ++i) {
        if (addends[i].kind != NUMBER) return add_specials(t, addends, count);
        if (addends[i].reference > largest_reference) largest_reference = addends[i].reference;
    }
    const int place = largest_reference - bits;
    Number aligned[MOST_LANES + 1];
    for (int i = 0; i < count; ++i) aligned[i] = cut(addends[i], place);
    const Number sum = exact_sum<u128>(aligned, count, place);
    return add_to_float(t, Number{NUMBER, false, 0, 0}, sum);
}

// `bulk:F`: products alone, cut to odd F bits below the largest reference exponent, zeros without one; their rounded sum
// and its flags. Infinities of both signs are invalid beside a quiet NaN, too.
inline Number add_in_bulk(const RoundedSum& t, int bits, const Number* products, int count, unsigned& flags) {
    bool finite = true, infinite[2] = {};
    int largest_reference = INT32_MIN;
    for (int i = 0; i < count; ++i) {
        const Number& product = products[i];
        finite = finite && product.kind == NUMBER;
        if (product.kind == INFINITE) infinite[product.negative] = true;
        if (product.kind != NUMBER || is_zero(product)) continue;
        if (product.reference > largest_reference) largest_reference = product.reference;
    }
    ExactSum sum;
    if (!finite) {
        sum = add_specials(t, products, count);
    } else if (largest_reference == INT32_MIN) {
        sum = finished(0);
    } else {
        const int place = largest_reference - bits;
        Number kept[MOST_LANES];
        for (int i = 0; i < count; ++i) kept[i] = cut_to_odd(products[i], place);
        sum = add_to_float(t, Number{NUMBER, false, 0, 0}, exact_sum<u128>(kept, count, place));
    }
    const Result result = rounded(t, sum, 0);
    flags |= result.flags;
    if (infinite[0] && infinite[1]) flags |= INVALID;
    return decode(t.format, result.code);
}

// A balanced binary tree over as many nodes as there are lanes; the flags of all nodes.
inline Number add_tree(const RoundedSum& t, Number* nodes, int count, unsigned& flags) {
    const Number nothing{NUMBER, false, 0, 0};
    for (; count > 1; count /= 2) {
        for (int i = 0; i < count / 2; ++i) {
            ExactSum sum;
            const Number &x = nodes[2 * i], &y = nodes[2 * i + 1];
            if (t.format.is_float || t.rounding == DROP || x.kind != NUMBER || y.kind != NUMBER) {
                sum = add(t, x, y);
            } else {  // both may be finer than the accumulator
                sum = add_to_fixed(t, widened(nothing), sum_of(widened(x), widened(y)));
            }
            const Result node = rounded(t, sum, 0);
            flags |= node.flags;
            nodes[i] = decode(t.format, node.code);
        }
    }
    return nodes[0];
}

// -- steps, folds, results ---------------------------------------------------------------------------------------------

// A product, rounded where the spec says so.
inline Number product_of(const Spec& spec, u128 a, u128 b, unsigned& flags) {
    const Number exact = multiply(decode(spec.a, a), decode(spec.b, b));
    if (!spec.rounds_products) return exact;
    const Result result = rounded(spec.product, add(spec.product, Number{NUMBER, false, 0, 0}, exact), 0);
    flags |= result.flags;
    return decode(spec.product.format, result.code);
}

// `exponents:F`: make of the first `count` lanes' products a step's terms; return how many. Scales are those of all
// blocks, of code 0 where a block has no element.
inline int make_terms(const Spec& spec, Number* products, int count, const uint32_t* a_scales, const uint32_t* b_scales) {
    // A lane that is missing holds two zeros.
    for (int i = count; i < spec.lanes; ++i) products[i] = multiply(decode(spec.a, 0), decode(spec.b, 0));
    const int terms = spec.lanes / spec.group, lsb = lsb_exponent(spec.a) + lsb_exponent(spec.b);
    for (int i = 0; i < terms; ++i) {
        const int lane = i * spec.group;
        Number term = spec.group > 1 ? exact_sum<u128>(products + lane, spec.group, lsb) : products[lane];
        if (spec.block) {
            const int block = lane / spec.block;
            term = multiply(multiply(term, decode(spec.scale, a_scales[block])), decode(spec.scale, b_scales[block]));
        }
        products[i] = term;
    }
    return terms;
}

// What a step adds: as many products as operands are given, or with `exponents:F` its terms; returns how many, and the
// flags of what was rounded.
inline int addends_of(const Spec& spec, const uint32_t* a, const uint32_t* b, int count, const uint32_t* a_scales,
                      const uint32_t* b_scales, Number* addends, unsigned& flags) {
    for (int i = 0; i < count; ++i) addends[i] = product_of(spec, a[i], b[i], flags);
    return spec.lane_sum == EXPONENTS ? make_terms(spec, addends, count, a_scales, b_scales) : count;
}

// A step's sum before it is rounded to the accumulator, of what it adds; the flags of what was rounded.
inline ExactSum step(const Spec& spec, const Number& acc, const Number* products, int count, unsigned& flags) {
    if (spec.lane_sum == ALIGNED || spec.lane_sum == EXPONENTS) {
        Number addends[MOST_LANES + 1] = {acc};
        for (int i = 0; i < count; ++i) addends[i + 1] = products[i];
        const auto add_cut = spec.lane_sum == ALIGNED ? add_aligned : add_by_exponents;
        return add_cut(spec.acc, spec.aligned_bits, addends, count + 1);
    }
    if (spec.lane_sum == BULK) {
        return add(spec.acc, acc, add_in_bulk(spec.acc, spec.aligned_bits, products, count, flags));
    }
    if (spec.lanes == 1) return add(spec.acc, acc, products[0]);
    if (spec.lane_sum == FUSED) return add_all(spec.acc, acc, products, count);
    Number nodes[MOST_LANES] = {};
    for (int i = 0; i < spec.lanes; ++i) nodes[i] = i < count ? products[i] : Number{NUMBER, false, 0, 0};
    return add(spec.acc, acc, add_tree(spec.acc, nodes, spec.lanes, flags));
}

inline Result step(const Spec& spec, u128 acc, const uint32_t* a, const uint32_t* b, int count, uint32_t random,
                   const uint32_t* a_scales = nullptr, const uint32_t* b_scales = nullptr) {
    unsigned flags = 0;
    Number addends[MOST_LANES];
    const int added = addends_of(spec, a, b, count, a_scales, b_scales, addends, flags);
    const ExactSum sum = step(spec, decode(spec.acc.format, acc), addends, added, flags);
    Result result = rounded(spec.acc, sum, random);
    result.flags |= flags;
    return result;
}

// Whether a number takes part in swamping: finite and not 0.
inline bool is_counted(const Number& number) { return number.kind == NUMBER && !is_zero(number); }

// Whether an addition to an accumulator, of something that counts, has left it as it was, without a flag of its own.
inline unsigned swamped(u128 before, const Number& acc, bool addend_counts, const Result& sum) {
    const bool kept = sum.code == before && !(sum.flags & (OVERFLOWS | UNDERFLOWS));
    return kept && addend_counts && is_counted(acc) ? SWAMPED : 0;
}

// What folds round to: the outer accumulator, or the inner one, whose adder does it.
inline const RoundedSum& fold_rounded_sum(const Spec& spec) { return spec.has_outer_adder ? spec.outer : spec.acc; }

// What a fold adds to the outer accumulator.
inline Number chunk_sum(const Spec& spec, const Number& inner, u128 a_scale, u128 b_scale) {
    if (!spec.has_scales) return inner;
    return multiply(multiply(inner, decode(spec.scale, a_scale)), decode(spec.scale, b_scale));
}

inline Result fold(const Spec& spec, u128 outer, u128 inner, u128 a_scale, u128 b_scale, uint32_t random) {
    const Number addend = chunk_sum(spec, decode(spec.acc.format, inner), a_scale, b_scale);
    const RoundedSum& t = fold_rounded_sum(spec);
    return rounded(t, add(t, decode(t.format, outer), addend), random);
}

// Section 11: what a start value is to the additions that follow. No sum tells its zeros apart, nor its NaNs, but that
// the addition to a signalling one is invalid.
inline Result start_value(const Spec& spec, u128 code) {
    const Format& f = fold_rounded_sum(spec).format;
    const Number number = decode(f, code);
    if (number.kind == SIGNALLING_NAN) return {canonical_nan(f), INVALID};
    if (number.kind == QUIET_NAN) return {canonical_nan(f), 0};
    return {number.kind == NUMBER && is_zero(number) ? 0 : code, 0};
}

// Where the spec converts.
inline ExactSum convert(const Spec& spec, u128 outer) {
    return add(spec.out, Number{NUMBER, false, 0, 0}, decode(spec.outer.format, outer));
}
