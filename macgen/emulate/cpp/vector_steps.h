// Steps: how the next products are added to the accumulators of a tile.
#pragma once

#include "vector_rounding.h"

namespace macgen {

enum class LaneSum { one, fused, tree, aligned };

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

// Numbers of `aligned:W`.
struct Alignment {
    double least_binade;  // terms of smaller steps are multiples of what would be cut: nothing is
    double unit;          // 2^-W
    int64_t inverse;      // the bits of 2^W times those of 1 twice, so that less those of 2^e it is 2^(W - e)
};

template <class T_, class Product_, class Sum_, LaneSum lane_sum, int tree_lanes, int rows, int vectors, bool pairs>
struct Steps {
    using T = T_;
    using Product = Product_;
    using Sum = Sum_;
    using V = Vector<T>;
    using Source = Operands<T, rows, vectors, pairs>;
    using Tile = V[rows][vectors];
    using Numbers = States<T>[rows][vectors];

    Product product;
    Sum sum;
    V least_binade, unit;
    Bits<T> inverse;

    Steps(const Constants& product, const Constants& sum, const Alignment& alignment)
        : product(product),
          sum(sum),
          least_binade(all<V>((T)alignment.least_binade)),
          unit(all<V>((T)alignment.unit)),
          inverse(all<Bits<T>>((typename Carrier<T>::Word)alignment.inverse)) {}

    // Take the products from `first` up to `stop`, so many lanes at a time.
    template <class Random>
    INLINE void take(Tile& acc, Numbers& states, const Source& from, int64_t first, int64_t stop, int64_t lanes) const {
        if constexpr (lane_sum == LaneSum::one) {
            for (int64_t k = first; k < stop; k++) one<Random>(acc, states, from, k);
        } else {
            for (int64_t k = first; k < stop; k += lanes) {
                const int64_t end = k + lanes < stop ? k + lanes : stop;
                if constexpr (lane_sum == LaneSum::fused) fused<Random>(acc, states, from, k, end);
                if constexpr (lane_sum == LaneSum::tree) tree<Random>(acc, states, from, k, end);
                if constexpr (lane_sum == LaneSum::aligned) aligned<Random>(acc, states, from, k, end);
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
        using I = typename Carrier<T>::Signed;
        V largest[rows][vectors], inverses[rows][vectors];
        I total[rows][vectors];
        each([&](int i, int j) INLINED { largest[i][j] = magnitude<T>(acc[i][j]); });
        for (int64_t k = first; k < stop; k++)
            each_product(from, k, [&](int i, int j, V a, V b) INLINED {
                largest[i][j] = larger(largest[i][j], magnitude<T>(multiplied(a, b)));
            });
        each([&](int i, int j) INLINED {
            largest[i][j] = larger(binade<T>(largest[i][j]), least_binade);
            inverses[i][j] = (V)(inverse - (Bits<T>)largest[i][j]);
            total[i][j] = __builtin_convertvector(acc[i][j] * inverses[i][j], I);
        });
        for (int64_t k = first; k < stop; k++)
            each_product(from, k, [&](int i, int j, V a, V b) INLINED {
                total[i][j] += __builtin_convertvector(multiplied(a, b) * inverses[i][j], I);  // cuts toward zero
            });
        each([&](int i, int j) INLINED {
            const V exact_sum = __builtin_convertvector(total[i][j], V) * (largest[i][j] * unit);
            acc[i][j] = sum.round(exact_sum, as_bits<T>(Random::draw(states[i][j])));
        });
    }
};

}  // namespace macgen
