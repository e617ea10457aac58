// Operands as kernels take them: checked against their format's grid, in the carrier, in rows or in panels.
#pragma once

#include "grid.h"
#include "reading.h"
#include "threads.h"
#include "turning.h"

namespace macgen {

enum class Into : int64_t { nothing, f32, f64, i16 };

// Where the operand goes. A panel holds `width` lines; the last one is filled up with zeros. Rows are panels of one.
//
// A word is a number, or two 16-bit integers: two products of a line.
struct Packed {
    char* data;
    Into into;
    int64_t width;
    int64_t stride;  // words of a line of rows, or of a line of a panel
    double scale;    // integers are values times this
    int64_t threads;
};

constexpr int run_length = 512;      // elements that are looked at together
constexpr int turned_length = 1024;  // the same, of some that are turned together: long, for memory far away
constexpr int tall = 16;             // so many

template <class C>
class Packer {
  public:
    Packer(const Matrix& m, const Grid& g, const Packed& p, Read<C> reader)
        : matrix(m), packed(p), grid(g), read(reader) {
        const bool pairs = p.into == Into::i16;
        products_of_word = pairs ? 2 : 1;
        size = p.into == Into::f64 ? 8 : 4;
        as_it_is = p.into == (same_type<C, double> ? Into::f64 : same_type<C, float> ? Into::f32 : Into::i16);
        write = p.into == Into::f64 ? write_run<double, C> : pairs ? write_run<int16_t, C> : write_run<float, C>;
    }

    void pack(Facts& facts) const {
        const bool along = distance(matrix.product_stride) <= distance(matrix.line_stride);
        const bool panels = packed.data && packed.width > 1, by_products = !along && (panels || !packed.data);
        const int64_t items = by_products ? matrix.products : matrix.lines;
        const int64_t length = by_products ? matrix.lines : matrix.products;
        const int64_t each = panels && along ? packed.width : ((1 << 15) / (length + 1) + 1) * 2;
        int64_t lock = 0;
        side_by_side((items + each - 1) / each, packed.threads, [&](int64_t index) {
            const RoundingMode set(Mode::nearest);
            const int64_t first = index * each, stop = first + each < items ? first + each : items;
            Seen<C> seen;
            double sum;
            if (by_products)
                sum = products(first, stop, seen);
            else if (panels)
                sum = panel(first, stop, seen);
            else
                sum = along ? rows(first, stop, seen) : turned_rows(first, stop, seen);
            while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE)) {
            }
            merge(facts, seen, sum);
            __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
        });
    }

  private:
    const Matrix& matrix;
    const Packed& packed;
    const GridOf<C> grid;
    const Read<C> read;
    Write<C> write;
    int size, products_of_word;  // of a word
    bool as_it_is;               // a run is what is written

    static constexpr double unknown = __builtin_inf();  // sum

    static int64_t distance(int64_t stride) { return stride < 0 ? -stride : stride; }
    static int least(int64_t left, int most) { return left < most ? (int)left : most; }
    static int rounded_up(int count, int to) { return (count + to - 1) / to * to; }

    char* to(int64_t word) const { return packed.data + word * size; }

    // A run of a line, looked at; its words if `words` is given, where they are.
    const char* run_along(int64_t line, int64_t k, int count, char* words, Seen<C>& seen, double& sum) const {
        alignas(64) C buffer[turned_length];
        const int filled = rounded_up(count, Carrier<C>::lanes);
        C* const place = words && as_it_is ? (C*)words : buffer;
        const C* const run = read(matrix.at(line, k), matrix.product_stride, count, filled, place);
        sum += inspect(run, filled, grid, seen);
        if (!words || as_it_is) return (const char*)run;
        write(run, count, packed.scale, words);
        if (count % products_of_word) ((int16_t*)words)[count] = 0;
        return words;
    }

    // A run across the lines, looked at, and filled up with zeros.
    const C* run_across(int64_t line, int64_t k, int count, int filled, C* buffer, Seen<C>& seen) const {
        const C* const run = read(matrix.at(line, k), matrix.line_stride, count, filled, buffer);
        inspect(run, filled, grid, seen);
        return run;
    }

    // One word of each of a run of lines.
    const char* words_across(int64_t line, int64_t word, int count, int filled, char* words, Seen<C>& seen) const {
        alignas(64) C first[turned_length], second[turned_length];
        if (products_of_word == 1) {
            const C* const run = run_across(line, word, count, filled, as_it_is ? (C*)words : first, seen);
            if (as_it_is) return (const char*)run;
            write(run, filled, packed.scale, words);
            return words;
        }
        const int64_t k = 2 * word;
        const C *const run = run_across(line, k, count, filled, first, seen), *next = second;
        if (k + 1 < matrix.products)
            next = run_across(line, k + 1, count, filled, second, seen);
        else
            __builtin_memset(second, 0, sizeof second);
        write_pairs(run, next, filled, packed.scale, words);
        return words;
    }

    // Lines one after the other, into rows; or only looked at.
    double rows(int64_t first, int64_t stop, Seen<C>& seen) const {
        alignas(64) char words[run_length * 8];
        double most = 0;
        for (int64_t line = first; line < stop; line++) {
            double sum = 0;
            for (int64_t k = 0; k < matrix.products; k += run_length) {
                const int count = least(matrix.products - k, run_length);
                const char* const from = run_along(line, k, count, packed.data ? words : nullptr, seen, sum);
                const int filled = (count + products_of_word - 1) / products_of_word;
                if (packed.data) __builtin_memcpy(to(line * packed.stride + k / products_of_word), from, filled * size);
            }
            if (sum > most) most = sum;
        }
        return most;
    }

    // Runs across the lines, into rows.
    double turned_rows(int64_t first, int64_t stop, Seen<C>& seen) const {
        alignas(64) char words[tall][turned_length * 8 + 64];
        const char* from[tall];
        for (int64_t line = first; line < stop; line += turned_length) {
            const int count = least(stop - line, turned_length), filled = rounded_up(count, Carrier<C>::lanes);
            for (int64_t word = 0; word < packed.stride; word += tall) {
                const int high = least(packed.stride - word, tall);
                for (int i = 0; i < high; i++) from[i] = words_across(line, word + i, count, filled, words[i], seen);
                turn(size, from, high, count, to(line * packed.stride + word), packed.stride * size);
            }
        }
        return unknown;
    }

    // One panel, of runs along its lines.
    double panel(int64_t first, int64_t stop, Seen<C>& seen) const {
        alignas(64) char words[tall][turned_length * 8 + 64];
        const char* from[tall];
        double most = 0;
        char* const start = to(first * packed.stride);
        const int64_t row = packed.width * size;
        if (stop - first < packed.width) __builtin_memset(start, 0, packed.stride * row);
        for (int64_t line = first; line < stop; line += tall) {
            const int high = least(stop - line, tall);
            double sums[tall] = {};
            for (int64_t k = 0; k < matrix.products; k += turned_length) {
                const int count = least(matrix.products - k, turned_length);
                for (int i = 0; i < high; i++) from[i] = run_along(line + i, k, count, words[i], seen, sums[i]);
                char* const target = start + k / products_of_word * row + (line - first) * size;
                turn(size, from, high, (count + products_of_word - 1) / products_of_word, target, row);
            }
            for (int i = 0; i < high; i++)
                if (sums[i] > most) most = sums[i];
        }
        return most;
    }

    // Runs across the lines, into all panels, or only looked at.
    double products(int64_t first, int64_t stop, Seen<C>& seen) const {
        alignas(64) C buffer[run_length];
        alignas(64) char words[run_length * 8];
        const int width = packed.data ? (int)packed.width : Carrier<C>::lanes;
        const int64_t row = packed.width * size;
        for (int64_t k = first; k < stop; k += products_of_word)
            for (int64_t line = 0; line < matrix.lines; line += run_length) {
                const int count = least(matrix.lines - line, run_length), filled = rounded_up(count, width);
                if (!packed.data) {
                    for (int64_t i = k; i < k + products_of_word && i < stop; i++)
                        run_across(line, i, count, filled, buffer, seen);
                    continue;
                }
                const char* const from = words_across(line, k / products_of_word, count, filled, words, seen);
                char* target = to(line * packed.stride) + k / products_of_word * row;
                for (int i = 0; i < filled; i += width, target += packed.stride * row)
                    for (int64_t byte = 0; byte < row; byte += vector_bytes)
                        store(target + byte, load<Bits<float>>(from + i * size + byte));
            }
        return unknown;
    }
};

// Looks at an operand, and packs it.
inline void pack(const Matrix& matrix, const Grid& grid, const Packed& packed, Facts& facts) {
    with_type_of(matrix, [&](auto element) {
        using S = decltype(element);
        using C = typename Checked<S>::Type;
        if constexpr (sizeof(S) < 4 && same_type<C, float> && !same_type<S, Half> && !same_type<S, uint16_t>)
            if (grid.whole && packed.scale == 1 && (packed.into == Into::i16 || !packed.data)) {
                Packer<int16_t>(matrix, grid, packed, read_run<S, int16_t>).pack(facts);
                return;
            }
        Packer<C>(matrix, grid, packed, read_run<S, C>).pack(facts);
    });
}

}  // namespace macgen
