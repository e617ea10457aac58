// Operands as kernels take them: checked against their format's grid, in the carrier, in rows or in panels.
#pragma once

#include "threads.h"
#include "vector_types.h"

namespace macgen {

enum class Element : int64_t { f16, f32, f64, i8, u8, i16, u16, i32, u32 };
enum class Into : int64_t { nothing, f32, f64, i16 };

// A matrix of any strides, in elements, with the bounds of its format's grid.
struct Matrix {
    const void* data;
    int64_t element;
    int64_t lines, products;  // lines: rows of the left operand, columns of the right one
    int64_t line_stride, product_stride;
    double largest, lowest;
    double least_normal;  // from here on a magnitude is on the grid if `extra` bits of its significand are zero
    double grid;          // smaller ones are, if they are left alone when this is added and subtracted
    int64_t extra;        // bits of binary64's significand that the format lacks
    int64_t infinities, nans;
};

// Where the operand goes. A panel holds `width` lines; the last one is filled up with zeros. Rows are panels of one.
struct Packed {
    void* data;
    int64_t into;
    int64_t width;
    int64_t stride;  // elements of a line of rows, of one product of a panel
    double scale;    // values times this are what is stored
    int64_t threads;
};

// What was seen.
struct Facts {
    double least, largest;  // magnitudes: the least one but zero, the largest finite one
    double sum;             // no line has a larger sum of magnitudes; infinite where lines lie across memory
    int64_t off_grid, special;
};

constexpr int run_length = 512;                      // elements that are looked at together
constexpr int run_bytes = run_length * 8 + 64 + 8;  // of one that is kept: others in the same cache set are few

template <class C>
struct Seen {  // by one thread
    Vector<C> least = (Vector<C>)all<Bits<C>>(Carrier<C>::exponent), largest = {};
    typename Carrier<C>::Signed off_grid = {}, special = {};
};

template <class C>
struct GridOf {
    Vector<C> largest, lowest, least_normal, grid;
    Bits<C> extra;
    bool infinities, nans;

    explicit GridOf(const Matrix& m)
        : largest(all<Vector<C>>((C)m.largest)),
          lowest(all<Vector<C>>((C)m.lowest)),
          least_normal(all<Vector<C>>((C)m.least_normal)),
          grid(all<Vector<C>>((C)m.grid)),
          infinities(m.infinities),
          nans(m.nans) {
        constexpr int bits = sizeof(C) == 4 ? 23 : 52;
        const int64_t fewer = m.extra - (52 - bits);
        extra = all<Bits<C>>((typename Carrier<C>::Word)(fewer > 0 ? ((uint64_t)1 << fewer) - 1 : 0));
    }
};

// Look at a run, filled up with zeros to whole vectors; returns the sum of its magnitudes.
template <class C>
INLINE double inspect(const C* run, int count, const GridOf<C>& on, Seen<C>& seen) {
    using V = Vector<C>;
    using I = typename Carrier<C>::Signed;
    const V infinity = (V)all<Bits<C>>(Carrier<C>::exponent);
    V sum = {};
    for (int i = 0; i < count; i += Carrier<C>::lanes) {
        const V x = load<V>(run + i), m = magnitude<C>(x);
        const I finite = (I)(m < infinity);
        const I normal = (I)(m >= on.least_normal) & (I)(((Bits<C>)x & on.extra) == Bits<C>{});
        const I other = (I)(m < on.least_normal) & (I)(((m + on.grid) - on.grid) == m);
        const I inside = (I)(x <= on.largest) & (I)(x >= on.lowest);
        const I infinite = (I)(m == infinity), nan = (I)(x != x);
        I fine = inside & (normal | other) & finite;
        if (on.infinities) fine |= infinite;
        if (on.nans) fine |= nan;
        seen.off_grid |= ~fine;
        seen.special |= ~finite;
        const V number = (V)((I)m & finite);
        seen.largest = larger(number, seen.largest);
        const V some = number > V{} ? number : infinity;
        seen.least = smaller(some, seen.least);
        sum += number;
    }
    double total = 0;
    for (int i = 0; i < Carrier<C>::lanes; i++) total += (double)sum[i];
    return total;
}

template <class S>
struct Checked {
    using Type = float;  // which holds all values of 16 bits
};
template <>
struct Checked<double> {
    using Type = double;
};
template <>
struct Checked<int32_t> {
    using Type = double;
};
template <>
struct Checked<uint32_t> {
    using Type = double;
};

struct Half {  // binary16
    uint16_t code;
};

template <class S, int count>
struct Some {
    typedef S Type __attribute__((vector_size(count * sizeof(S))));
};
template <int count>
struct Some<Half, count> {
    typedef uint16_t Type __attribute__((vector_size(count * 2)));
};

template <class S, class C>
INLINE Vector<C> converted(const S* from) {
    const auto x = load<typename Some<S, Carrier<C>::lanes>::Type>(from);
    return __builtin_convertvector(x, Vector<C>);
}

template <>
INLINE Vector<float> converted<Half, float>(const Half* from) {
    using U = Bits<float>;
    const U code = __builtin_convertvector(load<Some<Half, Carrier<float>::lanes>::Type>(from), U);
    const U bits = (code & 0x7fff) << 13;
    const U number = (U)((Vector<float>)bits * all<Vector<float>>(5.192296858534828e+33f));  // 2^112; subnormals, too
    const U special = (code & 0x7c00) == 0x7c00;
    return (Vector<float>)((special & (bits | 0x7f800000)) | (~special & number) | (code & 0x8000) << 16);
}

template <class C>
using Read = void (*)(const void* from, int64_t stride, int count, C* run);
template <class C>
using Write = void (*)(const C* run, int count, double scale, void* to);

// A run of elements, filled up with zeros to whole vectors.
template <class S, class C>
NO_INLINE void read_run(const void* source, int64_t stride, int count, C* run) {
    constexpr int lanes = Carrier<C>::lanes;
    const S* const from = (const S*)source;
    int i = 0;
    if (stride == 1)
        for (; i + lanes <= count; i += lanes) store(run + i, converted<S, C>(from + i));
    for (; i < count; i += lanes) {
        S rest[lanes];
        __builtin_memset(rest, 0, sizeof rest);
        for (int j = 0; j < lanes && i + j < count; j++) rest[j] = from[(i + j) * stride];
        store(run + i, converted<S, C>(rest));
    }
}

template <class T, class C>
NO_INLINE void write_run(const C* run, int count, double scale, void* target) {
    constexpr int lanes = Carrier<C>::lanes < Carrier<double>::lanes || sizeof(T) < 8 ? Carrier<C>::lanes
                                                                                      : Carrier<double>::lanes;
    typedef typename Some<T, lanes>::Type To;
    const auto factor = all<Vector<C>>((C)scale);
    for (int i = 0; i < count; i += lanes) {
        To values;
        if constexpr (sizeof(T) == 2)
            values = __builtin_convertvector(
                __builtin_convertvector(load<Vector<C>>(run + i) * factor, typename Some<int32_t, lanes>::Type), To);
        else
            values = __builtin_convertvector(load<typename Some<C, lanes>::Type>(run + i), To);
        if (i + lanes <= count)
            store((T*)target + i, values);
        else
            __builtin_memcpy((T*)target + i, &values, (count - i) * sizeof(T));
    }
}

// Write words of some runs side by side: to[q * stride + i] = runs[i][q].
template <class W>
NO_INLINE void write_turned(const char* runs, int64_t apart, int high, int count, int64_t stride, void* target) {
    W* const to = (W*)target;
    for (int q = 0; q < count; q++)
        for (int i = 0; i < high; i++) to[q * stride + i] = ((const W*)(runs + i * apart))[q];
}

template <class C>
class Packer {
  public:
    Packer(const Matrix& m, const Packed& p, Read<C> reader, int element_size)
        : matrix(m), packed(p), grid(m), read(reader), element(element_size) {
        const Into into = (Into)p.into;
        size = into == Into::f64 ? 8 : into == Into::i16 ? 2 : 4;
        write = into == Into::f64 ? write_run<double, C> : into == Into::i16 ? write_run<int16_t, C> : write_run<float, C>;
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
            if (panels)
                sum = along ? panel(first, stop, seen) : products(first, stop, seen);
            else if (along)
                sum = rows(first, stop, seen);
            else
                sum = packed.data ? turned_rows(first, stop, seen) : products(first, stop, seen);
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
    const int element;  // bytes of one that is read
    int size;           // of one that is written
    Write<C> write;

    static constexpr double unknown = __builtin_inf();  // sum

    static int64_t distance(int64_t stride) { return stride < 0 ? -stride : stride; }

    const void* at(int64_t line, int64_t product) const {
        return (const char*)matrix.data + (line * matrix.line_stride + product * matrix.product_stride) * element;
    }

    char* to(int64_t index) const { return (char*)packed.data + index * size; }

    double run_of_line(int64_t line, int64_t k, int count, C* run, Seen<C>& seen) const {
        read(at(line, k), matrix.product_stride, count, run);
        return inspect(run, count, grid, seen);
    }

    double run_of_product(int64_t line, int64_t k, int count, C* run, Seen<C>& seen) const {
        read(at(line, k), matrix.line_stride, count, run);
        return inspect(run, count, grid, seen);
    }

    // Lines one after the other, into rows; or only looked at.
    double rows(int64_t first, int64_t stop, Seen<C>& seen) const {
        C run[run_length + 16];
        double most = 0;
        for (int64_t line = first; line < stop; line++) {
            double sum = 0;
            for (int64_t k = 0; k < matrix.products; k += run_length) {
                const int count = least(matrix.products - k, run_length);
                sum += run_of_line(line, k, count, run, seen);
                if (packed.data) write(run, count, packed.scale, to(line * packed.stride + k));
            }
            if (packed.data) fill_up(line);
            if (sum > most) most = sum;
        }
        return most;
    }

    // Runs across the lines, into rows.
    double turned_rows(int64_t first, int64_t stop, Seen<C>& seen) const {
        constexpr int tall = 32;
        C run[run_length + 16];
        alignas(8) char values[tall][run_bytes];
        for (int64_t line = first; line < stop; line += run_length) {
            const int count = least(stop - line, run_length);
            for (int64_t k = 0; k < matrix.products; k += tall) {
                const int high = least(matrix.products - k, tall);
                for (int i = 0; i < high; i++) {
                    run_of_product(line, k + i, count, run, seen);
                    write(run, count, packed.scale, values[i]);
                }
                turn(size, values[0], sizeof values[0], high, count, packed.stride, to(line * packed.stride + k));
            }
        }
        for (int64_t line = first; line < stop; line++) fill_up(line);
        return unknown;
    }

    // One panel, of runs along its lines. Of 16-bit integers, two products of a line are one word.
    double panel(int64_t first, int64_t stop, Seen<C>& seen) const {
        constexpr int tall = 32;
        C run[run_length + 16];
        alignas(8) char values[tall][run_bytes];
        double most = 0;
        char* const start = to(first * packed.stride);
        if (stop - first < packed.width) __builtin_memset(start, 0, packed.stride * packed.width * size);
        const int words = size == 2 ? 2 : 1;
        for (int64_t line = first; line < stop; line += tall) {
            const int high = least(stop - line, tall);
            double sums[tall] = {};
            for (int64_t k = 0; k < matrix.products; k += run_length) {
                const int count = least(matrix.products - k, run_length);
                for (int i = 0; i < high; i++) {
                    sums[i] += run_of_line(line + i, k, count, run, seen);
                    write(run, count, packed.scale, values[i]);
                    if (size == 2) ((int16_t*)values[i])[count] = 0;
                }
                char* const target = start + (k * packed.width + (line - first) * words) * size;
                turn(size * words, values[0], sizeof values[0], high, (count + words - 1) / words, packed.width, target);
            }
            for (int i = 0; i < high; i++)
                if (sums[i] > most) most = sums[i];
        }
        return most;
    }

    // Runs across the lines, into all panels, or only looked at.
    double products(int64_t first, int64_t stop, Seen<C>& seen) const {
        C run[run_length + 16];
        alignas(8) char values[2][run_bytes];
        const int together = packed.data ? run_length / (int)packed.width * (int)packed.width : run_length;
        const int parts = packed.data && size == 2 ? 2 : 1;
        for (int64_t k = first; k < stop; k += parts)
            for (int64_t line = 0; line < matrix.lines; line += together) {
                const int count = least(matrix.lines - line, together);
                for (int part = 0; part < parts; part++) {
                    if (k + part < matrix.products) {
                        run_of_product(line, k + part, count, run, seen);
                        if (packed.data) write(run, count, packed.scale, values[part]);
                    } else {
                        __builtin_memset(values[part], 0, count * size);
                    }
                }
                if (!packed.data) continue;
                for (int i = 0; i < count; i += (int)packed.width) {
                    const int some = least(count - i, (int)packed.width);
                    char* const target = to((line + i) * packed.stride + k * packed.width);
                    if (parts == 2)
                        turn(2, values[0] + i * 2, sizeof values[0], 2, some, 2, target);
                    else
                        __builtin_memcpy(target, values[0] + i * size, some * size);
                    __builtin_memset(target + some * parts * size, 0, (packed.width - some) * parts * size);
                }
            }
        return unknown;
    }

    void fill_up(int64_t line) const {
        const int64_t missing = packed.stride - matrix.products;
        if (missing > 0) __builtin_memset(to(line * packed.stride + matrix.products), 0, missing * size);
    }

    static int least(int64_t left, int most) { return left < most ? (int)left : most; }

    static void turn(int word, const char* runs, int64_t apart, int high, int count, int64_t stride, void* target) {
        if (word == 8)
            write_turned<uint64_t>(runs, apart, high, count, stride, target);
        else if (word == 4)
            write_turned<uint32_t>(runs, apart, high, count, stride, target);
        else
            write_turned<uint16_t>(runs, apart, high, count, stride, target);
    }

    static void merge(Facts& facts, const Seen<C>& seen, double sum) {
        for (int i = 0; i < Carrier<C>::lanes; i++) {
            if ((double)seen.least[i] < facts.least) facts.least = (double)seen.least[i];
            if ((double)seen.largest[i] > facts.largest) facts.largest = (double)seen.largest[i];
            if (seen.off_grid[i]) facts.off_grid = 1;
            if (seen.special[i]) facts.special = 1;
        }
        if (sum > facts.sum) facts.sum = sum;
    }
};

template <class S>
inline void pack_from(const Matrix& matrix, const Packed& packed, Facts& facts) {
    using C = typename Checked<S>::Type;
    Packer<C>(matrix, packed, read_run<S, C>, sizeof(S)).pack(facts);
}

inline void pack(const Matrix& matrix, const Packed& packed, Facts& facts) {
    switch ((Element)matrix.element) {
        case Element::f16: return pack_from<Half>(matrix, packed, facts);
        case Element::f32: return pack_from<float>(matrix, packed, facts);
        case Element::f64: return pack_from<double>(matrix, packed, facts);
        case Element::i8: return pack_from<int8_t>(matrix, packed, facts);
        case Element::u8: return pack_from<uint8_t>(matrix, packed, facts);
        case Element::i16: return pack_from<int16_t>(matrix, packed, facts);
        case Element::u16: return pack_from<uint16_t>(matrix, packed, facts);
        case Element::i32: return pack_from<int32_t>(matrix, packed, facts);
        case Element::u32: return pack_from<uint32_t>(matrix, packed, facts);
    }
}

}  // namespace macgen
