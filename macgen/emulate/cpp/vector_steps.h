// Steps: how the next products are added to the accumulators of a tile.
#pragma once

#include "vector_rounding.h"

namespace macgen {

enum class LaneSum { one, fused, tree, aligned, exponents };

// How numbers that were cut at one place are added, as whole numbers of its units.
enum class Whole {
    integers,  // in the carrier's signed integers; what the sum has beyond the carrier's bits, the processor rounds
    values,    // in the carrier, exactly
    halves,    // so many at a time in its signed integers, then in two halves of their bits, which the rule adds
};

// A tile's operands: rows of the left ones and a panel of the right ones, or two panels whose elements go in pairs.
template <class T, int rows, int vectors, bool pairs>
struct Operands {
    const T* left[rows];
    const T* panel;
    INLINE Vector<T> a(int i, int j, int64_t k) const {
        if constexpr (pairs) return load<Vector<T>>(left[i] + (k * vectors + j) * Carrier<T>::lanes);
        return all<Vector<T>>(left[i][k]);
    }
    INLINE Vector<T> b(int j, int64_t k) const {
        return load<Vector<T>>(panel + (k * vectors + j) * Carrier<T>::lanes);
    }
};

// Their reference exponents, or those of their groups, 16-bit integers: those of the left rows twice in a word, those
// of panels one by one.
template <int rows, int width, bool pairs>
struct Exponents {
    using Vector = typename Some<int16_t, width>::Type;

    const char* left[rows];
    const char* panel;

    INLINE Vector a(int i, int64_t k) const {
        if constexpr (pairs) return load<Vector>(left[i] + k * sizeof(Vector));
        typedef typename Some<uint32_t, width / 2>::Type Words;
        return (Vector)all<Words>(load<uint32_t>(left[i] + k * 4));
    }
    INLINE Vector b(int64_t k) const { return load<Vector>(panel + k * sizeof(Vector)); }
};

struct NoExponents {};

// The numbers of the shift registers of a tile; `shifts` from one to the next.
template <int width, int tap1, int tap2, int tap3, int shifts, int bits>
struct Registers {
    static constexpr bool used = true;

    template <class S>
    static INLINE S draw(S& state) {
        const S number = state & all<S>((uint32_t)((1ull << bits) - 1));
        state = moved<shifts>(state);
        return number;
    }

  private:
    template <int left, class S>
    static INLINE S moved(S s) {
        if constexpr (left == 0) {
            return s;
        } else {
            constexpr int n = left < tap3 ? left : tap3;  // so many new bits depend on present ones only
            constexpr uint32_t mask = (uint32_t)((1ull << width) - 1);
            const S fresh = (s >> (width - n)) ^ (s >> (tap1 - n)) ^ (s >> (tap2 - n)) ^ (s >> (tap3 - n));
            return moved<left - n>(((s << n) & all<S>(mask)) | (fresh & all<S>((uint32_t)((1ull << n) - 1))));
        }
    }
};

struct NoRegisters {
    static constexpr bool used = false;
    template <class S>
    static INLINE S draw(S& state) {
        return state;
    }
};

template <class T>
INLINE Bits<T> as_bits(States<T> number) {
    return __builtin_convertvector(number, Bits<T>);
}

// Numbers of `aligned:W` and `exponents:F`, of which both letters are W here.
struct Alignment {
    double least_binade;      // terms of smaller steps are multiples of what would be cut: nothing is
    double unit;              // 2^-W
    uint64_t inverse;         // the bits of 2^W times those of 1 twice, so that less those of 2^e it is 2^(W - e)
    int64_t least;            // the exponent of least_binade
    double zero_acc;          // 2 to the reference exponents of accumulators: of zero,
    double least_acc;         // and the least one of others
    int64_t together;         // terms whose sum an integer of the carrier holds
};

template <class T>
struct Aligner {
    Vector<T> least_binade, unit, zero_acc, least_acc;
    Bits<T> inverse;
    int16_t least;
    int64_t together;

    explicit Aligner(const Alignment& numbers)
        : least_binade(all<Vector<T>>((T)numbers.least_binade)),
          unit(all<Vector<T>>((T)numbers.unit)),
          zero_acc(all<Vector<T>>((T)numbers.zero_acc)),
          least_acc(all<Vector<T>>((T)numbers.least_acc)),
          inverse(all<Bits<T>>((typename Carrier<T>::Word)numbers.inverse)),
          least((int16_t)numbers.least),
          together(numbers.together) {}
};

struct NoAligner {
    explicit NoAligner(const Alignment&) {}
};

// `group` products are added exactly before anything is cut.
template <class T_, class Product_, class Sum_, LaneSum lane_sum, Whole whole, int group, int tree_lanes, int rows,
          int vectors, bool pairs>
struct Steps {
    using T = T_;
    using Product = Product_;
    using Sum = Sum_;
    using V = Vector<T>;
    using Source = Operands<T, rows, vectors, pairs>;
    static constexpr bool by_exponents = lane_sum == LaneSum::exponents;
    static constexpr bool aligns = by_exponents || lane_sum == LaneSum::aligned;
    static constexpr int group_size = group;
    using SourceExponents =
        typename Either<by_exponents, Exponents<rows, vectors * Carrier<T>::lanes, pairs>, NoExponents>::type;
    using Tile = V[rows][vectors];
    using Numbers = States<T>[rows][vectors];

    Product product;
    Sum sum;
    typename Either<aligns, Aligner<T>, NoAligner>::type at;

    Steps(const Constants& product, const Constants& sum, const Alignment& alignment)
        : product(product), sum(sum), at(alignment) {}

    // Take the products from `first` up to `stop`, so many lanes at a time.
    template <class Random>
    INLINE void take(Tile& acc, Numbers& states, const Source& from, const SourceExponents& of, int64_t first,
                     int64_t stop, int64_t lanes) const {
        if constexpr (lane_sum == LaneSum::one) {
            for (int64_t k = first; k < stop; k++) one<Random>(acc, states, from, k);
        } else {
            for (int64_t k = first; k < stop; k += lanes) {
                const int64_t end = k + lanes < stop ? k + lanes : stop;
                if constexpr (lane_sum == LaneSum::fused) fused<Random>(acc, states, from, k, end);
                if constexpr (lane_sum == LaneSum::tree) tree<Random>(acc, states, from, k, end);
                if constexpr (lane_sum == LaneSum::aligned) aligned<Random>(acc, states, from, k, end);
                if constexpr (by_exponents)
                    exponents<Random>(acc, states, from, of, k, end);
            }
        }
    }

  private:
    static constexpr bool exact = Product::exact;

    INLINE V multiplied(V a, V b) const {
        if constexpr (exact) return a * b;
        return product.round(a * b, Bits<T>{});
    }

    // Calls a function with every row and vector of the tile.
    template <class Function>
    static INLINE void each(const Function& function) {
        UNROLL
        for (int i = 0; i < rows; i++) {
            UNROLL
            for (int j = 0; j < vectors; j++) function(i, j);
        }
    }

    // The same, with the factors of the k-th products.
    template <class Function>
    static INLINE void each_product(const Source& from, int64_t k, const Function& function) {
        V b[vectors];
        UNROLL
        for (int j = 0; j < vectors; j++) b[j] = from.b(j, k);
        each([&](int i, int j) INLINED { function(i, j, from.a(i, j, k), b[j]); });
    }

    template <class Random>
    INLINE void one(Tile& acc, Numbers& states, const Source& from, int64_t k) const {
        each_product(from, k, [&](int i, int j, V a, V b) INLINED {
            const Bits<T> random = as_bits<T>(Random::draw(states[i][j]));
            if constexpr (exact)
                acc[i][j] = sum.add_product(acc[i][j], a, b, random);
            else
                acc[i][j] = sum.add(acc[i][j], multiplied(a, b), random);
        });
    }

    template <class Random>
    INLINE void fused(Tile& acc, Numbers& states, const Source& from, int64_t first, int64_t stop) const {
        Tile addend = {};
        for (int64_t k = first; k < stop; k++)  // exact sums
            each_product(from, k, [&](int i, int j, V a, V b) INLINED {
                if constexpr (exact)
                    addend[i][j] = multiply_add(a, b, addend[i][j]);
                else
                    addend[i][j] += multiplied(a, b);
            });
        each([&](int i, int j) INLINED {
            acc[i][j] = sum.add(acc[i][j], addend[i][j], as_bits<T>(Random::draw(states[i][j])));
        });
    }

    template <int count>
    INLINE V node(const Source& from, int i, int j, int64_t first, int64_t stop) const {
        if constexpr (count == 1) {
            return first < stop ? multiplied(from.a(i, j, first), from.b(j, first)) : V{};
        } else {
            const V left = node<count / 2>(from, i, j, first, stop);
            return sum.add(left, node<count / 2>(from, i, j, first + count / 2, stop), Bits<T>{});
        }
    }

    template <class Random>
    INLINE void tree(Tile& acc, Numbers& states, const Source& from, int64_t first, int64_t stop) const {
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < vectors; j++) {
                const V top = node<tree_lanes>(from, i, j, first, stop);
                acc[i][j] = sum.add(acc[i][j], top, as_bits<T>(Random::draw(states[i][j])));
            }
    }

    template <class Random>
    INLINE void aligned(Tile& acc, Numbers& states, const Source& from, int64_t first, int64_t stop) const {
        Tile largest;
        each([&](int i, int j) INLINED { largest[i][j] = magnitude<T>(acc[i][j]); });
        for (int64_t k = first; k < stop; k++)
            each_product(from, k, [&](int i, int j, V a, V b) INLINED {
                largest[i][j] = larger(largest[i][j], magnitude<T>(multiplied(a, b)));
            });
        each([&](int i, int j) INLINED { largest[i][j] = larger(binade<T>(largest[i][j]), at.least_binade); });
        cut_sum<Random>(acc, states, from, first, stop, largest);
    }

    // Missing lanes' terms are zero, and their exponents never above those of the lanes that are there.
    template <class Random>
    INLINE void exponents(Tile& acc, Numbers& states, const Source& from, const SourceExponents& of, int64_t first,
                          int64_t stop) const {
        using E = typename SourceExponents::Vector;
        using I = typename Carrier<T>::Signed;
        constexpr int lanes = Carrier<T>::lanes;
        E highest[rows];
        UNROLL
        for (int i = 0; i < rows; i++) highest[i] = all<E>(at.least);
        for (int64_t k = first / group; k < stop / group; k++) {
            const E b = of.b(k);
            UNROLL
            for (int i = 0; i < rows; i++) highest[i] = larger(highest[i], of.a(i, k) + b);
        }
        Tile largest;
        each([&](int i, int j) INLINED {
            typedef typename Some<int16_t, lanes>::Type Few;
            const Few few = load<Few>((const char*)&highest[i] + j * sizeof(Few));
            const I biased = __builtin_convertvector(few, I) + Carrier<T>::bias;
            const V own = larger(binade<T>(acc[i][j]), acc[i][j] == V{} ? at.zero_acc : at.least_acc);
            largest[i][j] = larger((V)(biased << Carrier<T>::exponent_shift), own);
        });
        cut_sum<Random>(acc, states, from, first, stop, largest);
    }

    // R of the sum of accumulator and products, each cut toward zero W bits below the binade of `largest`.
    template <class Random>
    INLINE void cut_sum(Tile& acc, Numbers& states, const Source& from, int64_t first, int64_t stop,
                        const Tile& largest) const {
        using I = typename Carrier<T>::Signed;
        using Total = typename Either<whole == Whole::values, V, I>::type;
        constexpr bool halved = whole == Whole::halves;
        constexpr int half = 4 * sizeof(T);
        const I low = (I)all<Bits<T>>(((typename Carrier<T>::Word)1 << half) - 1);
        const auto cut = [](V x) INLINED {
            if constexpr (whole == Whole::values)
                return cut_toward_zero(x);
            else
                return __builtin_convertvector(x, I);
        };
        V inverses[rows][vectors];
        Total totals[rows][vectors];
        I upper[halved ? rows : 1][vectors], lower[halved ? rows : 1][vectors];
        each([&](int i, int j) INLINED {
            inverses[i][j] = (V)(at.inverse - (Bits<T>)largest[i][j]);
            const Total own = cut(acc[i][j] * inverses[i][j]);
            if constexpr (halved) {
                upper[i][j] = own >> half;
                lower[i][j] = own & low;
            } else {
                totals[i][j] = own + Total{};  // not -0
            }
        });
        const int64_t most = halved ? at.together * group : stop - first;
        for (int64_t from_here = first; from_here < stop; from_here += most) {
            const int64_t end = from_here + most < stop ? from_here + most : stop;
            if constexpr (halved) each([&](int i, int j) INLINED { totals[i][j] = I{}; });
            for (int64_t k = from_here; k < end; k += group) {
                if constexpr (group == 1) {
                    each_product(from, k, [&](int i, int j, V a, V b) INLINED {
                        totals[i][j] += cut(multiplied(a, b) * inverses[i][j]);
                    });
                } else {
                    Tile together = {};
                    for (int64_t lane = k; lane < k + group; lane++)
                        each_product(from, lane, [&](int i, int j, V a, V b) INLINED {
                            together[i][j] = multiply_add(a, b, together[i][j]);
                        });
                    each([&](int i, int j) INLINED { totals[i][j] += cut(together[i][j] * inverses[i][j]); });
                }
            }
            if constexpr (halved)
                each([&](int i, int j) INLINED {
                    upper[i][j] += totals[i][j] >> half;
                    lower[i][j] += totals[i][j] & low;
                });
        }
        each([&](int i, int j) INLINED {
            const Bits<T> random = as_bits<T>(Random::draw(states[i][j]));
            const V scale = largest[i][j] * at.unit;
            V next;
            if constexpr (halved) {
                const V unit_of_upper = all<V>((T)((typename Carrier<T>::Word)1 << half)) * scale;
                next = sum.add(__builtin_convertvector(upper[i][j], V) * unit_of_upper,
                               __builtin_convertvector(lower[i][j], V) * scale, random);
            } else {
                next = sum.round(__builtin_convertvector(totals[i][j], V) * scale, random);
            }
            if constexpr (Sum::leaves_numbers)  // infinities and NaN stay
                next = magnitude<T>(acc[i][j]) <= all<V>(Carrier<T>::largest) ? next : acc[i][j];
            acc[i][j] = next;
        });
    }
};

}  // namespace macgen
