// Unsigned integers of 64, 128 and more bits: what the sums of a spec are formed in.
#pragma once
#include <stdint.h>

// What the innermost loop is made of; the rest stays apart, for the compiler's time.
#ifndef INLINE
#define INLINE inline __attribute__((always_inline))
#endif
#define APART __attribute__((noinline))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

using Word = uint64_t;
using Double = unsigned __int128;

template <class T> constexpr int bits() { return 8 * int(sizeof(T)); }

// -- of one and of two words ---------------------------------------------------------------------------------------

INLINE Word low_word(Word x) { return x; }
INLINE Word low_word(Double x) { return Word(x); }

// Index of the highest bit that is set; -1 of zero.
INLINE int top_bit(Word x) { return x ? 63 - __builtin_clzll(x) : -1; }
INLINE int top_bit(Double x)
{
    const Word high = Word(x >> 64), low = Word(x);
    return high ? 127 - __builtin_clzll(high) : top_bit(low);
}

// Shifts by any number of bits from 0: beyond the width nothing is left.
INLINE Word left(Word x, int by) { return by < 64 ? x << by : 0; }
INLINE Word right(Word x, int by) { return by < 64 ? x >> by : 0; }
INLINE Double left(Double x, int by) { return by < 128 ? x << by : 0; }
INLINE Double right(Double x, int by) { return by < 128 ? x >> by : 0; }

INLINE bool any(Word x) { return x != 0; }
INLINE bool any(Double x) { return x != 0; }

// -- of more words, the lowest first -------------------------------------------------------------------------------

template <int N> struct Long {
    Word word[N];

    Long() = default;
    Long(Word low) : word{low} {}
};

template <int N> INLINE Word low_word(const Long<N>& x) { return x.word[0]; }

template <int N> inline int top_bit(const Long<N>& x)
{
    for (int i = N - 1; i >= 0; i--)
        if (x.word[i]) return 64 * i + top_bit(x.word[i]);
    return -1;
}

template <int N> inline Long<N> left(const Long<N>& x, int by)
{
    Long<N> y(0);
    const int words = by / 64, rest = by % 64;
    for (int i = N - 1; i >= words; i--) {
        y.word[i] = x.word[i - words] << rest;
        if (rest && i > words) y.word[i] |= x.word[i - words - 1] >> (64 - rest);
    }
    return y;
}

template <int N> inline Long<N> right(const Long<N>& x, int by)
{
    Long<N> y(0);
    const int words = by / 64, rest = by % 64;
    for (int i = 0; i + words < N; i++) {
        y.word[i] = x.word[i + words] >> rest;
        if (rest && i + words + 1 < N) y.word[i] |= x.word[i + words + 1] << (64 - rest);
    }
    return y;
}

template <int N> inline bool any(const Long<N>& x)
{
    Word all = 0;
    for (int i = 0; i < N; i++) all |= x.word[i];
    return all != 0;
}

template <int N> inline Long<N> operator+(const Long<N>& x, const Long<N>& y)
{
    Long<N> sum;
    Word carry = 0;
    for (int i = 0; i < N; i++) {
        const Double part = Double(x.word[i]) + y.word[i] + carry;
        sum.word[i] = Word(part);
        carry = Word(part >> 64);
    }
    return sum;
}

template <int N> inline Long<N> operator~(Long<N> x)
{
    for (int i = 0; i < N; i++) x.word[i] = ~x.word[i];
    return x;
}

template <int N> inline Long<N> operator-(const Long<N>& x, const Long<N>& y) { return x + ~y + Long<N>(1); }

template <int N> inline Long<N> operator*(const Long<N>& x, const Long<N>& y)
{
    Long<N> product(0);
    for (int i = 0; i < N; i++) {
        Word carry = 0;
        for (int j = 0; i + j < N; j++) {
            const Double part = Double(x.word[i]) * y.word[j] + product.word[i + j] + carry;
            product.word[i + j] = Word(part);
            carry = Word(part >> 64);
        }
    }
    return product;
}

template <int N> inline Long<N> operator&(Long<N> x, const Long<N>& y)
{
    for (int i = 0; i < N; i++) x.word[i] &= y.word[i];
    return x;
}

template <int N> inline Long<N> operator|(Long<N> x, const Long<N>& y)
{
    for (int i = 0; i < N; i++) x.word[i] |= y.word[i];
    return x;
}

template <int N> inline bool operator>(const Long<N>& x, const Long<N>& y)
{
    for (int i = N - 1; i >= 0; i--)
        if (x.word[i] != y.word[i]) return x.word[i] > y.word[i];
    return false;
}

template <int N> inline bool operator==(const Long<N>& x, const Long<N>& y)
{
    for (int i = 0; i < N; i++)
        if (x.word[i] != y.word[i]) return false;
    return true;
}

// -- of all ----------------------------------------------------------------------------------------------------------

// Right shift whose lowest bit also tells whether a bit fell off: rounding at any higher bit is as of the whole number.
template <class T> INLINE T right_sticky(const T& x, int by)
{
    const T kept = right(x, by);
    return kept | T(Word(!(left(kept, by) == x)));
}

template <class T> INLINE T cut_below(const T& x, int place) { return left(right(x, place), place); }

template <class T> INLINE bool is_negative(const T& x) { return low_word(right(x, bits<T>() - 1)); }

// x, or its two's complement.
template <class T> INLINE T negated_if(bool condition, const T& x)
{
    return condition ? T(Word(0)) - x : x;
}

template <class T> INLINE T ones(int count) { return left(T(Word(1)), count) - T(Word(1)); }
