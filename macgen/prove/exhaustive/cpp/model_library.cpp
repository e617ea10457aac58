// The model as functions on arrays, for tests. A spec is the ints of `Spec`; codes are pairs of 64-bit words, low first.

#include "model.h"

static u128 wide(const uint64_t* words) { return (u128(words[1]) << 64) | words[0]; }

static const Spec& spec_of(const int* spec) { return *reinterpret_cast<const Spec*>(spec); }

static void put(const Result& result, uint64_t* code, uint8_t* flags) {
    code[0] = static_cast<uint64_t>(result.code);
    code[1] = static_cast<uint64_t>(result.code >> 64);
    *flags = static_cast<uint8_t>(result.flags);
}

// Of each step `lanes` operands stand in `a` and `b`, of which the first `counts` take part, and the scales of all blocks.
extern "C" void model_steps(const int* spec, long count, const uint64_t* acc, const uint32_t* a, const uint32_t* b,
                            const uint32_t* counts, const uint32_t* random, const uint32_t* a_scales,
                            const uint32_t* b_scales, uint64_t* codes, uint8_t* flags) {
    const Spec& s = spec_of(spec);
    const long blocks = s.block ? s.lanes / s.block : 0;
    for (long i = 0; i < count; ++i) {
        const Result result = step(s, wide(acc + 2 * i), a + i * s.lanes, b + i * s.lanes, static_cast<int>(counts[i]),
                                   random[i], a_scales + i * blocks, b_scales + i * blocks);
        put(result, codes + 2 * i, flags + i);
    }
}

extern "C" void model_folds(const int* spec, long count, const uint64_t* outer, const uint64_t* inner,
                            const uint32_t* a_scale, const uint32_t* b_scale, const uint32_t* random, uint64_t* codes,
                            uint8_t* flags) {
    for (long i = 0; i < count; ++i) {
        const Result result =
            fold(spec_of(spec), wide(outer + 2 * i), wide(inner + 2 * i), a_scale[i], b_scale[i], random[i]);
        put(result, codes + 2 * i, flags + i);
    }
}

extern "C" void model_results(const int* spec, long count, const uint64_t* outer, const uint32_t* random,
                              uint64_t* codes, uint8_t* flags) {
    const Spec& s = spec_of(spec);
    for (long i = 0; i < count; ++i) {
        put(rounded(s.out, convert(s, wide(outer + 2 * i)), random[i]), codes + 2 * i, flags + i);
    }
}

extern "C" void model_starts(const int* spec, long count, const uint64_t* starts, uint64_t* codes, uint8_t* flags) {
    for (long i = 0; i < count; ++i) put(start_value(spec_of(spec), wide(starts + 2 * i)), codes + 2 * i, flags + i);
}

// The numbers at which a step's rounding can change: MOST_SWITCHES places for each, `counts` of them in use.
extern "C" void model_switches(const int* spec, long count, const uint64_t* acc, const uint32_t* a, const uint32_t* b,
                               uint32_t* numbers, uint32_t* counts) {
    const Spec& s = spec_of(spec);
    for (long i = 0; i < count; ++i) {
        unsigned flags = 0;
        const Number product = product_of(s, a[i], b[i], flags);
        const ExactSum sum = step(s, decode(s.acc.format, wide(acc + 2 * i)), &product, 1, flags);
        counts[i] = static_cast<uint32_t>(switch_numbers(s.acc, sum, numbers + i * MOST_SWITCHES));
    }
}
