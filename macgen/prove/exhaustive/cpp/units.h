// The emitted modules as Verilator made them, with packed vectors for states and operands.
// spec.h is written for each array: SPEC, widths, empty accumulators, AUDITED, random bits, LANES, which units there are.

#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <type_traits>

#include "model.h"
#include "spec.h"
#include "verilated.h"

template <int BITS>
struct Vector {
    static constexpr int WORDS = (BITS + 63) / 64;
    uint64_t words[WORDS];

    bool operator==(const Vector& other) const { return std::equal(words, words + WORDS, other.words); }
    bool operator<(const Vector& other) const {
        return std::lexicographical_compare(std::make_reverse_iterator(words + WORDS),
                                            std::make_reverse_iterator(words),
                                            std::make_reverse_iterator(other.words + WORDS),
                                            std::make_reverse_iterator(other.words));
    }
};

constexpr Format ACC = SPEC.acc.format;
constexpr RoundedSum FOLD = SPEC.has_outer_adder ? SPEC.outer : SPEC.acc;
constexpr Format TOTAL = FOLD.format;

// States of the accumulator, what the steps' adder adds to them, and what folds add: states of a total, which without
// an outer adder are the accumulator's, and what the folds' adder adds to them.
using State = Vector<STATE_BITS>;
using Operand = Vector<OPERAND_BITS>;
using TotalState = Vector<TOTAL_BITS>;
using FoldOperand = Vector<FOLD_OPERAND_BITS>;

inline const State ZERO_STATE{ZERO_WORDS};
inline const TotalState ZERO_TOTAL{ZERO_TOTAL_WORDS};

// The operands of a step, and the scales of its blocks of lanes, where they have any.
struct Lanes {
    static constexpr int BLOCKS = LANE_SCALES ? LANE_SCALES : 1;
    uint32_t a[LANES], b[LANES], a_scale[BLOCKS], b_scale[BLOCKS];
};

// What a step adds of them; returns how many numbers. See addends_of.
inline int addends_of(const Lanes& lanes, Number* addends, unsigned& flags) {
    return addends_of(SPEC, lanes.a, lanes.b, LANES, lanes.a_scale, lanes.b_scale, addends, flags);
}

inline uint64_t mix(uint64_t x) {
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    return x ^ (x >> 32);
}

template <int BITS>
uint64_t hash(const Vector<BITS>& v) {
    uint64_t h = 0;
    for (uint64_t word : v.words) h = mix(h ^ word);
    return h;
}

// Verilator's ports are integers up to 64 bits, and arrays of 32-bit words beyond.
template <class Port>
void set_port(Port& port, const uint64_t* words) {
    if constexpr (std::is_integral_v<Port>) {
        port = static_cast<Port>(words[0]);
    } else {
        for (size_t i = 0; i < sizeof(Port) / 4; ++i) port[i] = static_cast<uint32_t>(words[i / 2] >> (32 * (i % 2)));
    }
}

template <class Port>
void get_port(const Port& port, uint64_t* words) {
    if constexpr (std::is_integral_v<Port>) {
        words[0] = port;
    } else {
        for (size_t i = 0; i < sizeof(Port) / 4; ++i) {
            words[i / 2] = i % 2 ? words[i / 2] | (uint64_t(port[i]) << 32) : uint64_t(port[i]);
        }
    }
}

template <class StateType>
struct SumOf {
    StateType state;
    unsigned flags;
};

using Sum = SumOf<State>;
using TotalSum = SumOf<TotalState>;

struct Made {
    Operand operand;
    unsigned flags;

    bool operator==(const Made& other) const { return operand == other.operand && flags == other.flags; }
};

// One thread's copy of the hardware.
class Units {
  public:
    Made product(const Lanes& lanes, [[maybe_unused]] bool present = true) {
        set_port(product_.a, packed<SPEC.a.width>(lanes.a).words);
        set_port(product_.b, packed<SPEC.b.width>(lanes.b).words);
#if LANE_SCALES
        set_port(product_.a_scale, packed<SPEC.scale.width>(lanes.a_scale).words);
        set_port(product_.b_scale, packed<SPEC.scale.width>(lanes.b_scale).words);
#endif
#if IDLES
        product_.present = present;
#endif
        product_.eval();
        return {get<Operand>(product_.operand), product_.flags};
    }

    Sum add(const State& state, const Operand& operand, uint32_t random) {
        return sum<Sum, STEP_RANDOM_BITS, STEP_CYCLES>(step_, state, operand, random);
    }

    u128 code(const State& state) { return code(code_, state); }

#if FOLDS
    FoldOperand folded(const State& state, bool present = true) {
        set_port(folded_.state, state.words);
        folded_.present = present;
        folded_.eval();
        return get<FoldOperand>(folded_.operand);
    }

    TotalSum fold(const State& inner, const FoldOperand& operand, uint32_t random) {
#if SEPARATE_FOLDS
        return sum<TotalSum, STEP_RANDOM_BITS, STEP_CYCLES>(fold_, inner, operand, random);
#else
        return sum<TotalSum, STEP_RANDOM_BITS, STEP_CYCLES>(step_, inner, operand, random);
#endif
    }

    u128 total_code(const TotalState& total) { return code(total); }
#endif

#if LOADS
    Sum loaded(const Operand& operand) {
        set_port(loaded_.operand, operand.words);
        loaded_.eval();
        return {get<State>(loaded_.state), loaded_.flags};
    }
#endif

#if OUTER
    FoldOperand addend(const State& inner, [[maybe_unused]] uint32_t a_scale, [[maybe_unused]] uint32_t b_scale) {
        set_port(addend_.state, inner.words);
#if SCALES
        addend_.a_scale = a_scale;
        addend_.b_scale = b_scale;
#endif
        addend_.eval();
        return get<FoldOperand>(addend_.operand);
    }

    TotalSum fold(const TotalState& total, const FoldOperand& operand, uint32_t random) {
        return sum<TotalSum, OUTER_RANDOM_BITS, OUTER_CYCLES>(outer_step_, total, operand, random);
    }

    u128 total_code(const TotalState& total) { return code(outer_code_, total); }
#endif

#if STARTS
    TotalSum started(u128 code) {
        const uint64_t words[2] = {static_cast<uint64_t>(code), static_cast<uint64_t>(code >> 64)};
        set_port(start_.code, words);
        start_.eval();
        return {get<TotalState>(start_.state), start_.flags};
    }

    u128 started_code(const TotalState& total) {
#if OUTER
        return total_code(total);
#else
        return code(total);
#endif
    }
#endif

#if RESULTS
    Result result(const TotalState& total, [[maybe_unused]] uint32_t random) {
        set_port(result_.state, total.words);
#if RESULT_RANDOM_BITS
        result_.random = random;
#endif
        result_.eval();
        return {code_of(result_.code), result_.flags};
    }
#endif

  private:
    template <class V, class Port>
    static V get(const Port& port) {
        V v{};
        get_port(port, v.words);
        return v;
    }

    template <class Port>
    static u128 code_of(const Port& port) {
        uint64_t words[2] = {0, 0};
        get_port(port, words);
        return (u128(words[1]) << 64) | words[0];
    }

    template <class Unit, class StateType>
    static u128 code(Unit& unit, const StateType& state) {
        set_port(unit.state, state.words);
        unit.eval();
        return code_of(unit.code);
    }

    // ADDING: cycles of the addition. With more than one, the inputs are there in the first cycle only, in those that
    // follow others are, as in an array; the random number is there in the last.
    template <class Result, int RANDOM_BITS, int ADDING, class Unit, class StateType, class OperandType>
    static Result sum(Unit& unit, const StateType& state, const OperandType& operand, [[maybe_unused]] uint32_t random) {
        set_port(unit.state, state.words);
        set_port(unit.operand, operand.words);
        if constexpr (RANDOM_BITS > 0) unit.random = ADDING > 1 ? ~random & ((uint64_t(1) << RANDOM_BITS) - 1) : random;
        unit.eval();
        if constexpr (ADDING > 1) {
            const bool agrees = unit.agrees;
            for (int cycle = 1; cycle < ADDING; ++cycle) {
                unit.clk = 1;
                unit.eval();
                set_port(unit.state, cycle % 2 ? inverted(state).words : state.words);
                set_port(unit.operand, inverted(operand).words);
                unit.clk = 0;
                unit.eval();
            }
            if constexpr (RANDOM_BITS > 0) unit.random = random;
            unit.eval();
            return {get<decltype(Result::state)>(unit.result), agrees ? unsigned(unit.flags) : ~0u};
        } else {
            return {get<decltype(Result::state)>(unit.result), unit.flags};
        }
    }

    template <int BITS>
    static Vector<BITS> inverted(Vector<BITS> v) {
        for (uint64_t& word : v.words) word = ~word;
        if (BITS % 64) v.words[v.WORDS - 1] &= (uint64_t(1) << BITS % 64) - 1;
        return v;
    }

    // Codes side by side, the first one lowest.
    template <int WIDTH_OF_CODE, int COUNT>
    static Vector<WIDTH_OF_CODE * COUNT> packed(const uint32_t (&codes)[COUNT]) {
        Vector<WIDTH_OF_CODE * COUNT> v{};
        for (int i = 0, low = 0; i < COUNT; ++i, low += WIDTH_OF_CODE) {
            v.words[low / 64] |= uint64_t(codes[i]) << (low % 64);
            if (low % 64 + WIDTH_OF_CODE > 64) v.words[low / 64 + 1] |= uint64_t(codes[i]) >> (64 - low % 64);
        }
        return v;
    }

    VerilatedContext context_;
    Vproduct product_{&context_};
    Vstep step_{&context_};
    Vcode code_{&context_};
#if FOLDS
    Vfolded folded_{&context_};
#endif
#if SEPARATE_FOLDS
    Vfold fold_{&context_};
#endif
#if LOADS
    Vloaded loaded_{&context_};
#endif
#if OUTER
    Vaddend addend_{&context_};
    Vouter_step outer_step_{&context_};
    Vouter_code outer_code_{&context_};
#endif
#if STARTS
    Vstart start_{&context_};
#endif
#if RESULTS
    Vresult result_{&context_};
#endif
};
