// Start values of preloaded accumulators: the states that their codes become, from which steps or folds go on.

#pragma once

#include "sampled.h"

constexpr int MOST_START_BITS = 22;  // of a code, up to which all are driven

#if STARTS
constexpr bool EVERY_START = TOTAL.width <= MOST_START_BITS;

// A code where there are too many: any, one at which something changes, or a number of any binade.
inline u128 drawn_start(Random& random, const std::vector<u128>& corners) {
    const int kind = random.from(0, 7);
    if (kind == 0) return corners[random.bits() % corners.size()];
    if (kind < 4) return random.code(TOTAL);
    const double significand = random.coin() ? 1.0 : 1.0 + random.fraction();
    const int exponent = random.from(lsb_exponent(TOTAL), max_exponent(TOTAL));
    return nearest_code(TOTAL, random.sign() * std::ldexp(significand, exponent));
}

// Make states of start values, every one's or of as many as are drawn, and compare; false where one differs. States that
// are not among `states` yet join them.
inline bool start_from(Crew& crew, Totals& states, uint64_t draws, uint64_t seed) {
    const size_t all = size_t(1) << std::min(TOTAL.width, MOST_START_BITS);
    const size_t rows = EVERY_START ? all : std::min<size_t>(all, draws / 16 + 1);
    const std::vector<u128> corners = corner_codes(TOTAL);
    std::vector<ReachedOf<TotalState>> reached(rows);
    const bool passed = crew.each_row(rows, [&](Worker& worker, size_t row) {
        Random random = random_for(seed, STARTS_OF, row);
        u128 code = EVERY_START ? u128(row) : drawn_start(random, corners);
        if (TOTAL.is_narrow && code == sign_bit(TOTAL)) code = 0;  // which is no number
        const Result wanted = start_value(SPEC, code);
        const TotalSum made = worker.units.started(code);
        const Result got{worker.units.started_code(made.state), made.flags};
        const Comparison comparison = Comparison::of_start(code, got);
        ++worker.pairs;
        ++worker.sums;
        reached[row] = {made.state, wanted.code};
        if (equal(got, wanted)) {
            worker.audit.offer([&] { return comparison; });
        } else {
            report(worker, "start value", made.state, FoldOperand{}, comparison, wanted);
        }
    });
    for (size_t row = 0; passed && row < rows; ++row) states.append_new(reached[row].state, reached[row].code);
    return passed;
}
#endif

// Of states to start from so many that enough is drawn for each; the first one stays.
template <class StateType>
void thin([[maybe_unused]] StatesOf<StateType>& states, [[maybe_unused]] uint64_t draws, [[maybe_unused]] uint64_t seed) {
#if STARTS
    const size_t most = std::max<size_t>(STREAMS, draws / PAIRS_PER_STATE);
    const size_t stride = (states.size() + most - 1) / most;
    if (stride < 2) return;
    StatesOf<StateType> kept;
    Random random = random_for(seed, STARTS_OF, states.size());
    for (size_t first = 0; first < states.size(); first += stride) {
        const size_t place = first == 0 ? 0 : first + random.bits() % std::min(stride, states.size() - first);
        kept.append(states.table.keys[place], states.codes[place], states.outputs[place]);
    }
    states = std::move(kept);
#endif
}
