// What the prover compares row by row where it drives everything: a state or a total with each of its addends.

#pragma once

#include "closure.h"

// A state with every product, and last with a step that has none.
struct StepRow {
    State state;
    u128 code;
    Number number;
    const std::vector<Product>* products;
    const Operand* idle;

    bool audits(size_t column) const { return column < products->size(); }
    const Product& product(size_t column) const { return (*products)[column]; }
    const State& state_of(size_t) const { return state; }
    const Operand& operand_of(size_t column) const { return audits(column) ? product(column).made.operand : *idle; }
    unsigned swamps([[maybe_unused]] size_t column, [[maybe_unused]] const Result& sum) const {
#if COUNTERS
        if (audits(column)) return swamped(code, number, product(column).meaning.counts(), sum);
#endif
        return 0;
    }
    unsigned wanted_flags(size_t column) const { return audits(column) ? product(column).meaning.flags : 0; }
    unsigned made_flags(size_t column) const { return audits(column) ? product(column).made.flags : 0; }
    ExactSum exactly(size_t column) const {
        return audits(column) ? product(column).meaning.added_to(number) : finished(code);
    }
    Sum evaluate(Units& units, size_t column, uint32_t random) const {
        return units.add(state, operand_of(column), random);
    }
    Comparison describe(size_t column) const {
        return Comparison::step(code, audits(column) ? product(column).lanes : Lanes{});
    }
};

#if FOLDS
// What FoldRow and SwapRow have in common.
struct Pairing {
    u128 code;
    Number number;
    const States* inner;
    const std::vector<Number>* sums;

    bool audits(size_t) const { return true; }
    unsigned swamps(size_t, const Result&) const { return 0; }  // the adder takes the total for the addend
    unsigned wanted_flags(size_t) const { return 0; }
    unsigned made_flags(size_t) const { return 0; }
    ExactSum exactly(size_t column) const { return add(FOLD, number, (*sums)[column]); }
    Comparison describe(size_t column) const { return Comparison::fold(code, inner->codes[column], 0, 0); }
};

// A total with every chunk sum.
struct FoldRow : Pairing {
    FoldOperand operand;

    const State& state_of(size_t column) const { return inner->table.keys[column]; }
    const FoldOperand& operand_of(size_t) const { return operand; }
    TotalSum evaluate(Units& units, size_t column, uint32_t random) const {
        return units.fold(state_of(column), operand, random);
    }
};

// The total stays in the accumulator, and a chunk of one product, as it was loaded, is added to it.
struct SwapRow : Pairing {
    TotalState total;
    const std::vector<FoldOperand>* operands;

    const TotalState& state_of(size_t) const { return total; }
    const FoldOperand& operand_of(size_t column) const { return (*operands)[column]; }
    TotalSum evaluate(Units& units, size_t column, uint32_t random) const {
        return units.fold(total, operand_of(column), random);
    }
};
#elif OUTER
// A total with every chunk sum times its scales, in an adder of its own.
struct FoldRow {
    TotalState state;
    u128 code;
    Number number;
    const std::vector<ScaledSum>* sums;

    bool audits(size_t) const { return true; }
    unsigned swamps([[maybe_unused]] size_t column, [[maybe_unused]] const Result& sum) const {
#if COUNTERS
        return swamped(code, number, is_counted((*sums)[column].number), sum);
#else
        return 0;
#endif
    }
    const TotalState& state_of(size_t) const { return state; }
    const FoldOperand& operand_of(size_t column) const { return (*sums)[column].operand; }
    unsigned wanted_flags(size_t) const { return 0; }
    unsigned made_flags(size_t) const { return 0; }
    ExactSum exactly(size_t column) const { return add(FOLD, number, (*sums)[column].number); }
    TotalSum evaluate(Units& units, size_t column, uint32_t random) const {
        return units.fold(state, operand_of(column), random);
    }
    Comparison describe(size_t column) const {
        const ScaledSum& sum = (*sums)[column];
        return Comparison::fold(code, sum.inner, sum.a_scale, sum.b_scale);
    }
};
#endif
