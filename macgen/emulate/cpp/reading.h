// Runs of elements as vectors' numbers, and these numbers in the types that kernels take.
#pragma once

#include "elements.h"
#include "vector_types.h"

namespace macgen {

// In what elements are looked at: a type that holds all of their values, but for 64-bit integers.
template <class S>
struct Checked {
    using Type = double;
};
template <>
struct Checked<Half> {
    using Type = float;
};
template <>
struct Checked<float> {
    using Type = float;
};
template <>
struct Checked<int8_t> {
    using Type = float;
};
template <>
struct Checked<uint8_t> {
    using Type = float;
};
template <>
struct Checked<int16_t> {
    using Type = float;
};
template <>
struct Checked<uint16_t> {
    using Type = float;
};

template <int count>
struct Some<Half, count> {
    typedef uint16_t Type __attribute__((vector_size(count * 2)));
};

template <class X, class Y>
constexpr bool same_type = false;
template <class X>
constexpr bool same_type<X, X> = true;

template <class S, class C>
INLINE Vector<C> converted(const void* from) {
    return __builtin_convertvector(load<typename Some<S, Carrier<C>::lanes>::Type>(from), Vector<C>);
}

template <>
INLINE Vector<float> converted<Half, float>(const void* from) {
    using U = Bits<float>;
    const U code = __builtin_convertvector(load<Some<Half, Carrier<float>::lanes>::Type>(from), U);
    const U bits = (code & 0x7fff) << 13;
    const U number = (U)((Vector<float>)bits * all<Vector<float>>(5.192296858534828e+33f));  // 2^112; subnormals, too
    const U special = (code & 0x7c00) == 0x7c00;
    return (Vector<float>)((special & (bits | 0x7f800000)) | (~special & number) | (code & 0x8000) << 16);
}

// Integers of more than 53 bits are rounded to odd: so they stay off the grid of any format of up to 32 bits.
template <class S>
INLINE Vector<double> rounded_to_odd(const void* from) {
    typedef typename Some<S, Carrier<double>::lanes>::Type Integers;
    constexpr S most = (S)1 << 53, lowest = (S)-1 < 0 ? 0 - most : 0;
    const Integers x = load<Integers>(from), small = (Integers)((x <= most) & (x >= lowest));
    const Integers low = x & 2047, cut = (x - low) | ((low != Integers{}) & ((S)1 << 11));
    return __builtin_convertvector((x & small) | (cut & ~small), Vector<double>);
}
template <>
INLINE Vector<double> converted<int64_t, double>(const void* from) {
    return rounded_to_odd<int64_t>(from);
}
template <>
INLINE Vector<double> converted<uint64_t, double>(const void* from) {
    return rounded_to_odd<uint64_t>(from);
}

// Reads a run of elements, filled up with zeros; returns where it is: where it was, if it need not be changed.
template <class C>
using Read = const C* (*)(const char* from, int64_t stride, int count, int filled, C* buffer);

template <class S, class C>
NO_INLINE const C* read_run(const char* from, int64_t stride, int count, int filled, C* buffer) {
    constexpr int lanes = Carrier<C>::lanes;
    int i = 0;
    if (stride == sizeof(S)) {
        if constexpr (same_type<S, C>)
            if (count == filled) return (const C*)from;
        for (; i + lanes <= count; i += lanes) store(buffer + i, converted<S, C>(from + i * sizeof(S)));
    }
    for (; i < filled; i += lanes) {
        S rest[lanes];
        __builtin_memset(rest, 0, sizeof rest);
        for (int j = 0; j < lanes && i + j < count; j++) rest[j] = load<S>(from + (i + j) * stride);
        store(buffer + i, converted<S, C>(rest));
    }
    return buffer;
}

// Writes a run in a kernel's type, times a power of two if that is an integer's.
template <class C>
using Write = void (*)(const C* run, int count, double scale, char* to);

template <class T, class C, int lanes>
INLINE typename Some<T, lanes>::Type as_type(const C* from, double scale) {
    const auto x = load<typename Some<C, lanes>::Type>(from);
    if constexpr (same_type<T, int16_t> && !same_type<C, int16_t>) {
        typedef typename Some<int32_t, lanes>::Type Integers;
        const auto scaled = x * (C)scale;
        return __builtin_convertvector(__builtin_convertvector(scaled, Integers), typename Some<T, lanes>::Type);
    } else {
        return __builtin_convertvector(x, typename Some<T, lanes>::Type);
    }
}

template <class T, class C>
NO_INLINE void write_run(const C* run, int count, double scale, char* to) {
    constexpr int most = vector_bytes / (int)sizeof(T), lanes = most < Carrier<C>::lanes ? most : Carrier<C>::lanes;
    for (int i = 0; i < count; i += lanes) {
        const auto values = as_type<T, C, lanes>(run + i, scale);
        if (i + lanes <= count)
            store(to + i * sizeof(T), values);
        else
            __builtin_memcpy(to + i * sizeof(T), &values, (count - i) * sizeof(T));
    }
}

// Writes two runs of 16-bit integers side by side: each word is one of the first and one of the second.
template <class C>
NO_INLINE void write_pairs(const C* first, const C* second, int count, double scale, char* to) {
    constexpr int lanes = sizeof(C) == 8 ? Carrier<double>::lanes : Carrier<float>::lanes;
    typedef typename Some<uint16_t, lanes>::Type Shorts;
    typedef typename Some<uint32_t, lanes>::Type Words;
    for (int i = 0; i < count; i += lanes) {
        const Shorts low = (Shorts)as_type<int16_t, C, lanes>(first + i, scale);
        const Shorts high = (Shorts)as_type<int16_t, C, lanes>(second + i, scale);
        store(to + i * 4, __builtin_convertvector(low, Words) | __builtin_convertvector(high, Words) << 16);
    }
}

}  // namespace macgen
