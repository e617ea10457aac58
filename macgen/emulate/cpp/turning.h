// Rows of words turned into columns.
#pragma once

#include "vector_types.h"

namespace macgen {

// Transposes what stands where the indices of row and lane differ in one bit. For all bits, that is the whole square.
template <int bit, class Word, int count, int... i>
INLINE void turn_bit(typename Some<Word, count>::Type (&x)[count], Lanes<i...> lanes) {
    typedef typename Some<Word, count>::Type V;
    UNROLL
    for (int row = 0; row < count; row++) {
        if (row & bit) continue;
        const V a = x[row], b = x[row + bit];
        x[row] = SHUFFLED(V, a, b, (i & bit ? count + i - bit : i)...);
        x[row + bit] = SHUFFLED(V, a, b, (i & bit ? count + i : i + bit)...);
    }
    if constexpr (bit * 2 < count) turn_bit<bit * 2, Word, count>(x, lanes);
}

// to[q * stride + i] = rows[i][q]; the stride is in bytes.
template <class Word>
NO_INLINE void turn_words(const char* const* rows, int high, int count, char* to, int64_t stride) {
    constexpr int size = sizeof(Word), side = vector_bytes / size;
    typedef typename Some<Word, side>::Type V;
    for (int q = 0; q < count; q += side)
        for (int i = 0; i < high; i += side) {
            if (q + side <= count && i + side <= high) {
                V square[side];
                UNROLL
                for (int j = 0; j < side; j++) square[j] = load<V>(rows[i + j] + q * size);
                turn_bit<1, Word, side>(square, typename UpTo<side>::type());
                UNROLL
                for (int j = 0; j < side; j++) store(to + (q + j) * stride + i * size, square[j]);
                continue;
            }
            for (int k = q; k < q + side && k < count; k++)
                for (int j = i; j < i + side && j < high; j++)
                    store(to + k * stride + j * size, load<Word>(rows[j] + k * size));
        }
}

inline void turn(int size, const char* const* rows, int high, int count, char* to, int64_t stride) {
    if (size == 8)
        turn_words<uint64_t>(rows, high, count, to, stride);
    else
        turn_words<uint32_t>(rows, high, count, to, stride);
}

}  // namespace macgen
