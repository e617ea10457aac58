// Reference exponents of packed operands (docs/arithmetic.md section 2), as kernels of `exponents:F` take them.
#pragma once

#include "threads.h"
#include "vector_types.h"

namespace macgen {

// Filled in by macgen/emulate/operands.py.
struct Packing {
    const char* data;      // numbers in the carrier
    int64_t size;          // bytes of a number
    int64_t lines, count;  // numbers of a line
    int64_t stride;        // from line to line, in bytes
    int64_t least, zero;   // the reference exponents of subnormal numbers and of zero
    int64_t twice;         // whether each exponent stands twice in a word
    char* exponents;       // (lines, count)
    int64_t threads;
};

template <class C>
class Referrer {
    using V = Vector<C>;
    using I = typename Carrier<C>::Signed;
    static constexpr int lanes = Carrier<C>::lanes;

  public:
    explicit Referrer(const Packing& packing)
        : of(packing),
          least((I)all<Bits<C>>((typename Carrier<C>::Word)packing.least)),
          zero((I)all<Bits<C>>((typename Carrier<C>::Word)packing.zero)) {}

    void line(int64_t index) const {
        const char* const from = of.data + index * of.stride;
        const int64_t size = of.twice ? 4 : 2;
        char* const to = of.exponents + index * of.count * size;
        for (int64_t k = 0; k < of.count; k += lanes) {
            const int64_t some = of.count - k < lanes ? of.count - k : lanes;
            V x = {};
            __builtin_memcpy(&x, from + k * sizeof(C), some * sizeof(C));
            const I field = (I)(((Bits<C>)x & all<Bits<C>>(Carrier<C>::exponent)) >> Carrier<C>::exponent_shift);
            const I exponent = larger(field - Carrier<C>::bias, least);
            const I found = x == V{} ? zero : exponent;
            const auto words = __builtin_convertvector(found & 0xffff, States<C>);
            const auto pairs = words | words << 16;
            const auto halves = __builtin_convertvector(words, typename Some<uint16_t, lanes>::Type);
            __builtin_memcpy(to + k * size, of.twice ? (const void*)&pairs : (const void*)&halves, some * size);
        }
    }

  private:
    const Packing& of;
    const I least, zero;
};

template <class C>
void refer(const Packing& packing) {
    const Referrer<C> referrer(packing);
    const int64_t each = (1 << 15) / (packing.count + 1) + 1;
    side_by_side((packing.lines + each - 1) / each, packing.threads, [&](int64_t index) {
        const int64_t last = (index + 1) * each, stop = last < packing.lines ? last : packing.lines;
        for (int64_t line = index * each; line < stop; line++) referrer.line(line);
    });
}

}  // namespace macgen
