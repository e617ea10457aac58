// Vectors of the processor's width, the few operations on them that the language lacks, and its rounding modes.
#pragma once

#include <stdint.h>

#if !(defined(__x86_64__) && defined(__SSE2__))
#include <fenv.h>
#endif

#define INLINE inline __attribute__((always_inline))
#define INLINED __attribute__((always_inline))  // of a lambda
#define NO_INLINE __attribute__((noinline))
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

namespace macgen {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64;
#elif defined(__AVX2__)
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;
#endif

// What goes with a carrier, the hardware type in whose vectors numbers are kept.
template <class T>
struct Carrier;

template <>
struct Carrier<float> {
    typedef float Vector __attribute__((vector_size(vector_bytes)));
    typedef int32_t Signed __attribute__((vector_size(vector_bytes)));
    typedef uint32_t Bits __attribute__((vector_size(vector_bytes)));
    typedef uint32_t States __attribute__((vector_size(vector_bytes)));  // of shift registers, one a number
    typedef uint32_t Word;
    static constexpr int lanes = vector_bytes / 4;
    static constexpr Word sign = 0x80000000u, exponent = 0x7f800000u;
    static constexpr int bias = 127, exponent_shift = 23;
    static constexpr float largest = 3.402823466e+38f;
};

template <>
struct Carrier<double> {
    typedef double Vector __attribute__((vector_size(vector_bytes)));
    typedef int64_t Signed __attribute__((vector_size(vector_bytes)));
    typedef uint64_t Bits __attribute__((vector_size(vector_bytes)));
    typedef uint32_t States __attribute__((vector_size(vector_bytes / 2)));
    typedef uint64_t Word;
    static constexpr int lanes = vector_bytes / 8;
    static constexpr Word sign = 0x8000000000000000u, exponent = 0x7ff0000000000000u;
    static constexpr int bias = 1023, exponent_shift = 52;
    static constexpr double largest = 1.7976931348623157e+308;
};

template <>
struct Carrier<int16_t> {
    typedef int16_t Vector __attribute__((vector_size(vector_bytes)));
    typedef int16_t Signed __attribute__((vector_size(vector_bytes)));
    typedef uint16_t Bits __attribute__((vector_size(vector_bytes)));
    static constexpr int lanes = vector_bytes / 2;
};

template <class T>
using Vector = typename Carrier<T>::Vector;
template <class T>
using Bits = typename Carrier<T>::Bits;
template <class T>
using States = typename Carrier<T>::States;

template <class T, int count>
struct Some {
    typedef T Type __attribute__((vector_size(count * sizeof(T))));
};

template <class T>
struct Type {
    using type = T;
};

template <bool first, class A, class B>
struct Either {
    using type = A;
};
template <class A, class B>
struct Either<false, A, B> {
    using type = B;
};

// All lanes the same. By the bits of floats: an addition of zero could change a zero's sign.
INLINE Vector<float> repeated(float x, Type<Vector<float>>) {
    uint32_t word;
    __builtin_memcpy(&word, &x, sizeof word);
    return (Vector<float>)(word + Bits<float>{});
}
INLINE Vector<double> repeated(double x, Type<Vector<double>>) {
    uint64_t word;
    __builtin_memcpy(&word, &x, sizeof word);
    return (Vector<double>)(word + Bits<double>{});
}
template <class V, class S>
INLINE V repeated(S x, Type<V>) {  // integers
    return x + V{};
}
template <class V, class S>
INLINE V all(S x) {
    return repeated(x, Type<V>{});
}

template <class V>
INLINE V load(const void* from) {
    V v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
}

template <class V>
INLINE void store(void* to, V v) {
    __builtin_memcpy(to, &v, sizeof v);
}

// -- across lanes -----------------------------------------------------------------------------------------------

// Lanes of two vectors, by their constant indices. By their memory they would have to be there all the time.
#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLED(Indices, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLED(Indices, a, b, ...) __builtin_shuffle(a, b, (Indices){__VA_ARGS__})
#endif

template <int... i>
struct Lanes {};
template <int count, int... i>
struct UpTo : UpTo<count - 1, count - 1, i...> {};
template <int... i>
struct UpTo<0, i...> {
    using type = Lanes<i...>;
};

template <int by, class V, int... i>
INLINE V moved_down(V x, Lanes<i...>) {
    return SHUFFLED(decltype(x < x), x, x, ((i + by) % (int)sizeof...(i))...);
}

// The sum of all lanes.
template <int lanes, int by = lanes / 2, class V>
INLINE auto total(V x) {
    if constexpr (by == 0)
        return x[0];
    else
        return total<lanes, by / 2>(x + moved_down<by>(x, typename UpTo<lanes>::type()));
}

// Whether any lane is not zero.
template <class V>
INLINE bool any_bit(V x) {
    typedef typename Some<uint64_t, sizeof(V) / 8>::Type Words;
    return total<sizeof(V) / 8>((Words)x != Words{} ? Words{} + 1 : Words{});
}

// -- numbers ----------------------------------------------------------------------------------------------------

template <class T>
INLINE Vector<T> magnitude(Vector<T> x) {
    return (Vector<T>)((Bits<T>)x & all<Bits<T>>((typename Carrier<T>::Word)~Carrier<T>::sign));
}

// Magnitude of the first, which is not negative, with the sign of the second.
template <class T>
INLINE Vector<T> with_sign(Vector<T> x, Vector<T> of) {
    return (Vector<T>)((Bits<T>)x | ((Bits<T>)of & all<Bits<T>>(Carrier<T>::sign)));
}

template <class T>
INLINE Vector<T> binade(Vector<T> x) {
    return (Vector<T>)((Bits<T>)x & all<Bits<T>>(Carrier<T>::exponent));
}

// The larger one; the second where one is NaN. As the processors' own instruction has it.
template <class V>
INLINE V larger(V x, V y) {
    return x > y ? x : y;
}

template <class V>
INLINE V smaller(V x, V y) {
    return x < y ? x : y;
}

#if defined(__clang__)
#if __has_builtin(__builtin_elementwise_trunc)
#define TRUNCATED(x) __builtin_elementwise_trunc(x)
#endif
#elif defined(__AVX2__) && !defined(__AVX512F__)
#define TRUNCATED(x) __builtin_ia32_roundpd256(x, 11)
#endif
#if !defined(TRUNCATED)
#define TRUNCATED(x) __builtin_convertvector(__builtin_convertvector(x, Carrier<double>::Signed), Vector<double>)
#endif

// Numbers without their fractions; none is as large as 2^63.
INLINE Vector<double> cut_toward_zero(Vector<double> x) { return TRUNCATED(x); }

#if defined(__clang__)
#if (defined(__FMA__) || defined(__aarch64__)) && __has_builtin(__builtin_elementwise_fma)
#define FUSED(bits) __builtin_elementwise_fma(a, b, c)
#endif
#elif defined(__AVX512F__)
#define FUSED(bits) __builtin_ia32_vfmaddp##bits##512_mask(a, b, c, -1, 4)
#elif defined(__AVX2__) && defined(__FMA__)
#define FUSED(bits) __builtin_ia32_vfmaddp##bits##256(a, b, c)
#endif
#if !defined(FUSED)
#define FUSED(bits) (a * b + c)
#endif

// a * b + c, where a * b is exact: so it does not matter whether it is rounded.
INLINE Vector<float> multiply_add(Vector<float> a, Vector<float> b, Vector<float> c) { return FUSED(s); }
INLINE Vector<double> multiply_add(Vector<double> a, Vector<double> b, Vector<double> c) { return FUSED(d); }

// -- the processor's rounding ------------------------------------------------------------------------------------

enum class Mode { nearest, toward_zero, down };

// Sets this thread's mode, with subnormal numbers as IEEE 754 has them, until the end of the scope.
class RoundingMode {
  public:
#if defined(__x86_64__) && defined(__SSE2__)
    explicit RoundingMode(Mode mode) : before(__builtin_ia32_stmxcsr()) {
        const unsigned field = mode == Mode::nearest ? 0 : mode == Mode::down ? 1 : 3;
        __builtin_ia32_ldmxcsr(0x1f80u | field << 13);
    }
    ~RoundingMode() { __builtin_ia32_ldmxcsr(before); }

  private:
    unsigned before;
#else
    explicit RoundingMode(Mode mode) {
        fegetenv(&before);
        fesetenv(FE_DFL_ENV);
        fesetround(mode == Mode::nearest ? FE_TONEAREST : mode == Mode::down ? FE_DOWNWARD : FE_TOWARDZERO);
    }
    ~RoundingMode() { fesetenv(&before); }

  private:
    fenv_t before;
#endif
    RoundingMode(const RoundingMode&) = delete;
    RoundingMode& operator=(const RoundingMode&) = delete;
};

}  // namespace macgen
