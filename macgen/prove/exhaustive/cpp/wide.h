// Unsigned integers of 128 and of 384 bits: the latter holds a sum of products of 256 bits beside any accumulator.

#pragma once

#include <cstdint>

typedef unsigned __int128 u128;

inline int bit_length(u128 x) {
    const uint64_t high = static_cast<uint64_t>(x >> 64), low = static_cast<uint64_t>(x);
    return high ? 128 - __builtin_clzll(high) : low ? 64 - __builtin_clzll(low) : 0;
}

struct Wide {
    static constexpr int WORDS = 6;
    uint64_t words[WORDS] = {};

    Wide() = default;
    Wide(u128 x) : words{static_cast<uint64_t>(x), static_cast<uint64_t>(x >> 64)} {}

    explicit operator u128() const { return (u128(words[1]) << 64) | words[0]; }

    bool operator==(const Wide& y) const { return !(*this < y) && !(y < *this); }
    bool operator!=(const Wide& y) const { return !(*this == y); }
    bool operator<(const Wide& y) const {
        for (int i = WORDS; i-- > 0;) {
            if (words[i] != y.words[i]) return words[i] < y.words[i];
        }
        return false;
    }

    Wide operator+(const Wide& y) const {
        Wide sum;
        u128 carry = 0;
        for (int i = 0; i < WORDS; ++i) {
            carry += u128(words[i]) + y.words[i];
            sum.words[i] = static_cast<uint64_t>(carry);
            carry >>= 64;
        }
        return sum;
    }

    Wide operator~() const {
        Wide inverse;
        for (int i = 0; i < WORDS; ++i) inverse.words[i] = ~words[i];
        return inverse;
    }

    Wide operator-(const Wide& y) const { return *this + ~y + Wide(1); }

    Wide operator|(const Wide& y) const {
        Wide either;
        for (int i = 0; i < WORDS; ++i) either.words[i] = words[i] | y.words[i];
        return either;
    }

    // Distances below the width.
    Wide operator<<(int distance) const {
        Wide moved;
        const int whole = distance / 64, rest = distance % 64;
        for (int i = WORDS; i-- > whole;) {
            moved.words[i] = words[i - whole] << rest;
            if (rest && i > whole) moved.words[i] |= words[i - whole - 1] >> (64 - rest);
        }
        return moved;
    }

    Wide operator>>(int distance) const {
        Wide moved;
        const int whole = distance / 64, rest = distance % 64;
        for (int i = 0; i + whole < WORDS; ++i) {
            moved.words[i] = words[i + whole] >> rest;
            if (rest && i + whole + 1 < WORDS) moved.words[i] |= words[i + whole + 1] << (64 - rest);
        }
        return moved;
    }
};

inline int bit_length(const Wide& x) {
    for (int i = Wide::WORDS; i-- > 0;) {
        if (x.words[i]) return 64 * i + 64 - __builtin_clzll(x.words[i]);
    }
    return 0;
}

template <class Integer>
constexpr int WIDTH = 8 * sizeof(Integer);

// Divide by 2^distance; what is lost leaves a one in the last bit. A negative distance multiplies.
template <class Integer>
Integer shift_right_sticky(const Integer& x, int distance) {
    if (distance <= 0) return x << -distance;
    if (distance >= WIDTH<Integer>) return Integer(x != Integer(0));
    const Integer kept = x >> distance;
    return kept | Integer((kept << distance) != x);
}
