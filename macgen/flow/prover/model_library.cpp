// The model as functions on arrays, for tests. A spec is the ints of `Spec`; codes are pairs of 64-bit words, low first.

#include "model.h"

static u128 wide(const uint64_t* words) { return (u128(words[1]) << 64) | words[0]; }

static void put(const Result& result, uint64_t* code, uint8_t* flags) {
    code[0] = static_cast<uint64_t>(result.code);
    code[1] = static_cast<uint64_t>(result.code >> 64);
    *flags = static_cast<uint8_t>(result.flags);
}

extern "C" void model_steps(const int* spec, long count, const uint64_t* acc, const uint32_t* a, const uint32_t* b,
                            uint64_t* codes, uint8_t* flags) {
    const Spec& s = *reinterpret_cast<const Spec*>(spec);
    for (long i = 0; i < count; ++i) put(step(s, wide(acc + 2 * i), a[i], b[i]), codes + 2 * i, flags + i);
}

extern "C" void model_folds(const int* spec, long count, const uint64_t* outer, const uint64_t* inner, uint64_t* codes,
                            uint8_t* flags) {
    const Spec& s = *reinterpret_cast<const Spec*>(spec);
    for (long i = 0; i < count; ++i) put(fold(s, wide(outer + 2 * i), wide(inner + 2 * i)), codes + 2 * i, flags + i);
}
