// Dot products of any spec, addition by addition (docs/arithmetic.md section 2), with flags and counts.
#pragma once
#include "lane_sums.h"
#include <stdlib.h>

// What happened in additions to an accumulator: steps first, then folds.
struct Counts {
    int64_t additions, saturated, flushed, swamped;
};

template <class T> struct State {
    Number<T> inner, outer;
    uint32_t shift_register;
    int32_t flags;
};

// The next random number of a PE's register.
INLINE uint32_t draw(const Spec& s, uint32_t& state)
{
    const Word number = state & ((Word(1) << s.random_bits) - 1), mask = (Word(1) << s.register_width) - 1;
    const int most = int(s.tap[MAX_TAPS - 1]);  // so many shifts are independent of each other
    Word now = state;
    for (int rest = int(s.shifts); rest > 0; rest -= most) {
        const int by = rest < most ? rest : most;
        Word fresh = 0;
        for (int i = 0; i < MAX_TAPS; i++) fresh ^= now >> (s.tap[i] - by);
        now = (now << by & mask) | (fresh & ((Word(1) << by) - 1));
    }
    state = uint32_t(now);
    return uint32_t(number);
}

// -- additions -------------------------------------------------------------------------------------------------------

template <class T> INLINE bool same(const Number<T>& x, const Number<T>& y)
{
    return x.magnitude == y.magnitude && x.exponent == y.exponent && x.negative == y.negative;
}

// Whether terms of any range, multiples of 2^lsb, add to zero.
template <class T> APART bool cancel(int lsb, const Number<T>* products, int count)
{
    constexpr int DIGITS = 300;  // of 32 bits: the products of four formats with values within binary64 take 266
    int64_t digit[DIGITS] = {};
    for (int lane = 0; lane < count; lane++) {
        const Number<T>& p = products[lane];
        if (!any(p.magnitude)) continue;
        const int up = p.exponent - lsb, into = up % 32;
        for (int i = up / 32, bit = -into; bit <= top_bit(p.magnitude); i++, bit += 32) {
            const T part = bit < 0 ? left(p.magnitude, -bit) : right(p.magnitude, bit);
            const int64_t value = uint32_t(low_word(part));
            digit[i] += p.negative ? -value : value;
        }
    }
    for (int i = 0; i < DIGITS - 1; i++) {
        if (uint32_t(digit[i])) return false;
        digit[i + 1] += digit[i] >> 32;
    }
    return true;
}

// Counts an addition; `is_zero_addend` is asked only where the answer matters.
template <class T, class Ask>
inline void count(Counts& counts, const Number<T>& before, const Number<T>& after, int flags, int kinds,
                  const Ask& is_zero_addend)
{
    counts.additions++;
    counts.saturated += (flags & OVERFLOWED) != 0;
    counts.flushed += (flags & UNDERFLOWED) != 0;
    if (flags || kinds || before.kind || !any(before.magnitude) || !same(before, after)) return;
    counts.swamped += !is_zero_addend();
}

// A step: takes `lanes` products, the factors of the next one `a_step` and `b_step` further.
template <class T>
INLINE void step(const Spec& s, State<T>& state, const Operand* a, int64_t a_step, const Operand* b, int64_t b_step,
                 int lanes, const Scales& scales, Counts* counts)
{
    const uint32_t random = s.random_place == STEPS ? draw(s, state.shift_register) : 0;
    const Number<T> before = state.inner;
    int flags = 0;  // of this addition
    if (s.lane_sum == ALIGNED) {
        Number<T> products[MAX_LANES];
        int kinds = 0;
        for (int lane = 0; lane < lanes; lane++) {
            products[lane] = product<T>(s, a[lane * a_step], b[lane * b_step], state.flags);
            kinds |= products[lane].kind;
        }
        state.inner = aligned_step(s, before, products, lanes, random, flags);
        if (counts) count(counts[0], before, state.inner, flags, kinds, [&] { return cancel(int(s.products_lsb), products, lanes); });
    } else if (s.lane_sum == EXPONENTS) {
        Number<T> terms[MAX_LANES];
        int largest = -(1 << 20), kinds = 0;
        const int found = terms_of(s, a, a_step, b, b_step, lanes, scales, terms, largest);
        for (int i = 0; i < found; i++) kinds |= terms[i].kind;
        state.inner = exponents_step(s, before, terms, found, largest, random, flags);
        if (counts) count(counts[0], before, state.inner, flags, kinds, [&] { return cancel(int(s.terms_lsb), terms, found); });
    } else {
        Number<T> addend;
        if (s.lane_sum == BULK) {
            addend = bulk_sum<T>(s, a, a_step, b, b_step, lanes, state.flags);
        } else if (s.lanes == 1) {
            addend = product<T>(s, *a, *b, state.flags);
        } else {
            Number<T> products[MAX_LANES];
            for (int lane = 0; lane < lanes; lane++)
                products[lane] = product<T>(s, a[lane * a_step], b[lane * b_step], state.flags);
            addend = s.lane_sum == TREE ? tree_sum(s, products, lanes, state.flags) : fused_sum(s, products, lanes);
        }
        state.inner = add(s.acc, before, addend, random, flags);
        if (counts) count(counts[0], before, state.inner, flags, addend.kind, [&] { return is_zero(addend); });
    }
    state.flags |= flags;
}

template <class T>
APART void fold(const Spec& s, State<T>& state, bool first, const Operand* a_scale, const Operand* b_scale,
                Counts* counts)
{
    if (first && !s.adds_first) {
        state.outer = state.inner;
    } else {
        const bool draws = s.random_place == (s.has_outer_adder ? CHUNKS : STEPS);
        const uint32_t random = draws ? draw(s, state.shift_register) : 0;
        Number<T> addend = state.inner;
        if (s.scales_chunks) addend = scaled(scaled(addend, *a_scale), *b_scale);
        const Number<T> before = state.outer;
        int flags = 0;
        state.outer = add(s.outer, before, addend, random, flags);
        state.flags |= flags;
        if (counts) count(counts[1], before, state.outer, flags, addend.kind, [&] { return is_zero(addend); });
    }
    state.inner = zero<T>();
}

template <class T> double to_double(const Number<T>& x)
{
    if (x.kind) return x.kind & NAN_KINDS ? __builtin_nan("") : x.negative ? -__builtin_inf() : __builtin_inf();
    const int beyond = top_bit(x.magnitude) - 63;
    const Word kept = low_word(beyond > 0 ? right_sticky(x.magnitude, beyond) : x.magnitude);
    const double magnitude = __builtin_ldexp(double(kept), x.exponent + (beyond > 0 ? beyond : 0));
    return x.negative ? -magnitude : magnitude;
}

// -- a block of dot products -----------------------------------------------------------------------------------------

// Results side by side in the innermost loop, so that their additions overlap in the processor.
constexpr int GROUP = 8;
constexpr int64_t SEGMENT = 1024;  // products of each that are read at a time, about

struct Job {
    Matrix a, b, a_scales, b_scales;  // those of b transposed
    const uint32_t* states;           // of registers; null where nothing is random
    const double* starts;             // start values; null where sums start at 0
    double* values;
    uint8_t* flags;                   // null if not asked for
    // Strides, in elements.
    int64_t states_row, states_column, starts_row, starts_column;
    int64_t values_row, values_column, flags_row, flags_column;
    int64_t length;
    int64_t pairwise;  // result i is of row i of both operands; else result (i, j) of rows i and j
};

// Operands of dot products side by side.
struct Lines {
    const Operand* data;
    int64_t step;  // to the next product's
    int64_t line;  // to the next dot product's

    const Operand* at(int64_t k, int64_t i) const { return data + k * step + i * line; }
};

// Reads `count` values from `first` on of each of some rows: groups of rows side by side, value by value.
inline void read_lines(const Format& f, const Matrix& m, int64_t row, int64_t rows, int64_t first, int64_t count,
                       int64_t group, Operand* to)
{
    for (int64_t i = 0; i < rows; i++)
        read(f, m, row + i, first, count, to + i / group * group * count + i % group, group);
}

// Some products of `length`, from the first one up to the last one, and the chunks or blocks with scales among them.
struct Segment {
    int64_t length, first, last, chunk, scaled;  // how many products have a scale
    int64_t first_scale() const { return first / scaled; }
    int64_t scales() const { return (last - 1) / scaled - first_scale() + 1; }
};

// Takes a segment's products into the sums of a few dot products; the scales' steps are those from chunk to chunk.
template <class T>
inline void take_segment(const Spec& s, const Segment& segment, State<T>* states, int width, Lines a, Lines b,
                         Lines a_scales, Lines b_scales, Counts* counts)
{
    for (int64_t k = segment.first; k < segment.last; k += s.lanes) {
        const int lanes = int(segment.last - k < s.lanes ? segment.last - k : s.lanes);
        const Operand *of_a = a.data + (k - segment.first) * a.step, *of_b = b.data + (k - segment.first) * b.step;
        const int64_t block = s.block ? k / s.block - segment.first_scale() : 0;
        for (int i = 0; i < width; i++) {
            const Scales scales = {a_scales.at(block, i), b_scales.at(block, i), a_scales.step, b_scales.step};
            step(s, states[i], of_a + i * a.line, a.step, of_b + i * b.line, b.step, lanes, scales, counts);
        }
        if (k + lanes != segment.length && (k + lanes) % segment.chunk) continue;
        const int64_t chunk = k / segment.chunk, here = chunk - segment.first_scale();
        for (int i = 0; i < width; i++)
            fold(s, states[i], chunk == 0, a_scales.at(here, i), b_scales.at(here, i), counts);
    }
}

template <class T> void finish(const Spec& s, const Job& job, State<T>& state, int64_t row, int64_t column)
{
    int flags = state.flags;
    Number<T> result = state.outer;
    if (s.converts) {
        const uint32_t random = s.random_place == RESULTS ? draw(s, state.shift_register) : 0;
        result = convert(s.out, result, random, flags);
    }
    job.values[row * job.values_row + column * job.values_column] = to_double(result);
    if (job.flags) job.flags[row * job.flags_row + column * job.flags_column] = uint8_t(flags);
}

// The state before the first step: the start value is in the accumulator that holds the whole sum.
template <class T> State<T> begin(const Spec& s, const Job& job, int64_t row, int64_t column)
{
    State<T> state = {zero<T>(), zero<T>(), 0, 0};
    if (job.states) state.shift_register = job.states[row * job.states_row + column * job.states_column];
    if (job.starts) {
        const double start = job.starts[row * job.starts_row + column * job.starts_column];
        (s.adds_first ? state.outer : state.inner) = number_of<T>(s.outer.format, start);
    }
    return state;
}

INLINE int64_t smaller_of(int64_t x, int64_t y) { return x < y ? x : y; }
INLINE int64_t rounded_up(int64_t x, int64_t to) { return (x + to - 1) / to * to; }

// Computes the results of `rows` rows of a and `columns` rows of b (pairwise: of so many rows of both, from `row` on).
// Returns 0, or 1 where there is not enough memory.
template <class T>
int64_t compute(const Spec& s, const Job& job, int64_t row, int64_t rows, int64_t column, int64_t columns,
                Counts* counts)
{
    const bool pairwise = job.pairwise;
    if (pairwise) columns = 1;
    const int64_t K = job.length, chunk = s.chunk ? s.chunk : K, most = smaller_of(SEGMENT / s.lanes * s.lanes, K);
    const int64_t b_row = pairwise ? row : column, b_rows = pairwise ? rows : columns;
    const int64_t a_group = pairwise ? GROUP : 1, scaled = s.block ? s.block : chunk;
    const bool has_scales = s.scales_chunks || s.block;
    const int64_t most_scales = has_scales ? most / scaled + 2 : 1;
    const int64_t a_room = rounded_up(rows, a_group), b_room = rounded_up(b_rows, GROUP);
    State<T>* states = (State<T>*)malloc(rows * columns * sizeof(State<T>));
    Operand* a = (Operand*)malloc((a_room + b_room) * most * sizeof(Operand));
    Operand* a_scales = (Operand*)malloc((a_room + b_room) * most_scales * sizeof(Operand));
    const bool enough = states && a && a_scales;
    if (enough) {
        Operand *b = a + a_room * most, *b_scales = a_scales + a_room * most_scales;
        for (int64_t i = 0; i < rows * columns; i++)
            states[i] = begin<T>(s, job, row + i / columns, column + i % columns);
        for (int64_t first = 0; first < K; first += most) {
            const Segment segment = {K, first, smaller_of(first + most, K), chunk, scaled};
            const int64_t count = segment.last - first, of_scales = has_scales ? segment.scales() : 0;
            read_lines(s.a, job.a, row, rows, first, count, a_group, a);
            read_lines(s.b, job.b, b_row, b_rows, first, count, GROUP, b);
            if (has_scales) {
                read_lines(s.scale, job.a_scales, row, rows, segment.first_scale(), of_scales, a_group, a_scales);
                read_lines(s.scale, job.b_scales, b_row, b_rows, segment.first_scale(), of_scales, GROUP, b_scales);
            }
            for (int64_t i = 0; i < (pairwise ? 1 : rows); i++)
                for (int64_t j = 0; j < b_rows; j += GROUP) {
                    const int64_t line = pairwise ? j : i;
                    const auto of_a = [&](const Operand* all, int64_t n) {
                        return Lines{all + line * n, a_group, pairwise};
                    };
                    const auto of_b = [&](const Operand* all, int64_t n) { return Lines{all + j * n, GROUP, 1}; };
                    const int width = int(smaller_of(b_rows - j, GROUP));
                    take_segment(s, segment, states + i * columns + j, width, of_a(a, count), of_b(b, count),
                                 of_a(a_scales, of_scales), of_b(b_scales, of_scales), counts);
                }
        }
        for (int64_t i = 0; i < rows * columns; i++) finish(s, job, states[i], row + i / columns, column + i % columns);
    }
    free(states);
    free(a);
    free(a_scales);
    return !enough;
}

// The functions of a kernel whose sums are formed in T.
#define EXACT_KERNEL(T)                                                                                                \
    extern "C" {                                                                                                       \
    int64_t spec_size() { return sizeof(Spec); }                                                                       \
    int64_t job_size() { return sizeof(Job); }                                                                         \
    int64_t check_values(const Format* f, const Matrix* m) { return check(*f, *m); }                                   \
    int64_t dot_products(const Spec* s, const Job* job, int64_t row, int64_t rows, int64_t column, int64_t columns,    \
                         Counts* counts)                                                                               \
    {                                                                                                                  \
        return compute<T>(*s, *job, row, rows, column, columns, counts);                                               \
    }                                                                                                                  \
    }
