// Compares the hardware of one PE's loop with the contract: completely by induction, or where the space is too large
// with operands chosen for many states. Arguments: threads, most pairs to complete, pairs to draw, seed, result file.

#include <cstdio>
#include <cstdlib>

#include "closure.h"
#include "result.h"
#include "rows.h"
#include "sampled_folds.h"
#include "starts.h"

namespace {

struct Settings {
    uint64_t most, draws, seed;
};

constexpr uint64_t MOST_PRODUCTS = uint64_t(1) << 22;     // combinations of operand codes that are all driven
constexpr uint64_t MOST_CHUNK_SUMS = uint64_t(1) << 26;   // chunk sums times scales that are all driven
constexpr uint64_t MOST_DISTINCT = uint64_t(1) << 21;     // of which so many may be distinct
constexpr double STATES_PER_CODE = 8;                     // of a float accumulator, about

// A total as the adder that folds and the contract see it.
struct Total {
    FoldOperand operand;
    u128 code;

    bool operator==(const Total& other) const { return operand == other.operand && code == other.code; }
};

uint64_t hash(const Total& total) { return mix(hash(total.operand) ^ uint64_t(total.code)); }

class Prover {
  public:
    Prover(int threads, Settings settings) : crew_(threads), settings_(settings) {}

    void run() { start() && products() && starts() && loads() && steps() && folds() && results(); }

    void write(const char* path) const { write_result(path, phases_, crew_); }

  private:
    Crew crew_;
    Settings settings_;
    Clock clock_;
    std::vector<Phase> phases_;
    std::vector<Product> products_;
    States states_;
    Totals totals_;
    Operand idle_{};
    size_t loaded_ = 0;  // the first states: the empty accumulator and what loads make of it
    bool complete_ = false, totals_complete_ = false;

    // Every random number with every pair, where that are not too many sums.
    template <int BITS>
    Numbers numbers_for(double pairs) const {
        return std::ldexp(pairs, BITS) <= static_cast<double>(settings_.most) ? EVERY : SWITCHES;
    }

    // Add what was done since the last call.
    void count(Phase& phase) {
        phase.seconds += clock_.lap();
        phase.pairs += crew_.take(&Worker::pairs);
        phase.sums += crew_.take(&Worker::sums);
    }

    bool end(Phase phase) {
        count(phase);
        std::printf("%s: %llu pairs\n", phase.name, static_cast<unsigned long long>(phase.pairs));
        std::fflush(stdout);
        phases_.push_back(phase);
        return !crew_.difference.found;
    }

    bool start() {
        Units& units = crew_.workers[0].units;
#if IDLES
        idle_ = units.product({}, false).operand;
#endif
        const u128 code = units.code(ZERO_STATE);
        states_.append(ZERO_STATE, 0, code);
        return crew_.each_row(1, [&](Worker& worker, size_t) {
            if (code != 0) {
                report(worker, "empty accumulator", ZERO_STATE, idle_, Comparison::step(0, {}, 0, {code, 0}), {0, 0}, false);
            }
#if OUTER
            const u128 total = worker.units.total_code(ZERO_TOTAL);
            if (total != 0) {
                report(worker, "empty outer accumulator", ZERO_TOTAL, FoldOperand{},
                       Comparison::fold(0, 0, 0, 0, 0, {total, 0}), {0, 0}, false);
            }
#endif
        });
    }

    bool products() {
        if (OPERAND_CODE_BITS > 62 || uint64_t(1) << OPERAND_CODE_BITS % 63 > MOST_PRODUCTS) return true;
        products_ = all_products(crew_);
        const double space = std::ldexp(static_cast<double>(products_.size() + 1), ACC.width);
        complete_ = space <= static_cast<double>(settings_.most);
        return end({"products", 0, products_.size()});
    }

    // Start values become totals; where nothing is folded, accumulators.
    bool starts() {
#if STARTS
#if FOLDS || OUTER
        Totals& states = totals_;
#else
        Totals& states = states_;
#endif
        complete_ = complete_ && (OUTER || EVERY_START);
        start_from(crew_, states, settings_.draws, settings_.seed);
        return end({"start values", states.size(), 0, EVERY_START});
#else
        return true;
#endif
    }

    // Products that go into an empty accumulator without the adder: all, or as many as are drawn.
    bool loads() {
#if LOADS
        constexpr size_t BATCH = 1024;
        const size_t listed = products_.size();
        const size_t rows = listed ? listed : settings_.draws / 16 / BATCH + 1;
        std::vector<Reached> reached(rows);
        std::vector<u128> outputs(rows);
        const bool passed = crew_.each_row(rows, [&](Worker& worker, size_t row) {
            Director director(random_for(settings_.seed, LOAD, row));
            for (size_t i = 0; i < (listed ? 1 : BATCH); ++i) {
                const Lanes lanes = listed                   ? products_[row].lanes
                                    : director.random.coin() ? director.any_lanes()
                                                             : director.near_lanes(director.destination());
                const Made made = worker.units.product(lanes);
                const Sum sum = worker.units.loaded(made.operand);
                const Result wanted = step(SPEC, 0, lanes.a, lanes.b, LANES, 0);
                const Result got{worker.units.code(sum.state), sum.flags | made.flags};
                const bool zeros = ACC.is_float && got.code == sign_bit(ACC) && wanted.code == 0;
                ++worker.pairs;
                ++worker.sums;
                reached[row] = {sum.state, wanted.code};
                outputs[row] = got.code;
                if (got.flags == wanted.flags && (got.code == wanted.code || zeros)) continue;
                report(worker, "load", ZERO_STATE, made.operand, Comparison::step(0, lanes, 0, got), wanted);
                return;
            }
        });
        for (size_t row = 0; passed && row < rows; ++row) {
            const State& state = reached[row].state;
            if (states_.table.find(state) < 0) states_.append(state, reached[row].code, outputs[row]);
        }
        loaded_ = states_.size();
        return end({"loads", 1, listed, listed != 0});
#else
        return true;
#endif
    }

    bool steps() {
        if (!complete_) return sampled_steps();
        const double space = static_cast<double>(products_.size() + 1) * std::ldexp(ACC.is_float ? STATES_PER_CODE : 1, ACC.width);
        const Numbers numbers = numbers_for<STEP_RANDOM_BITS>(space);
        close<StepHardware>(
            crew_, states_, 0, products_.size() + IDLES, "step", numbers, [](Units&, size_t) { return true; },
            [&](Units&, size_t place) {
                const u128 code = states_.codes[place];
                return StepRow{states_.table.keys[place], code, decode(ACC, code), &products_, &idle_};
            });
        if (crew_.difference.found && crew_.difference.column == products_.size()) {
            crew_.difference.what = "step without a product";
            crew_.difference.compares = false;
        }
        return end({"steps", states_.size(), products_.size(), true, name_of<STEP_RANDOM_BITS>(numbers)});
    }

    bool sampled_steps() {
        thin(states_, settings_.draws, settings_.seed);
        Sampler sampler(crew_, idle_, settings_.draws, settings_.seed, std::move(states_));
        if (sampler.reach()) sampler.every_product(products_) && sampler.draw();
        states_ = std::move(sampler.states);
        return end({"steps", states_.size(), products_.size(), false, DRAWN<STEP_RANDOM_BITS>});
    }

#if FOLDS || OUTER
    bool sampled_folds() {
        thin(totals_, settings_.draws, settings_.seed);
        FoldSampler sampler(crew_, states_, totals_, settings_.draws, settings_.seed);
        sampler.run();
        bool passed = end({"folds", totals_.size(), states_.size(), false, DRAWN<FoldHardware::random_bits>});
#if LOADS
        if (passed) sampler.swaps();
        passed = passed && end({"swaps", totals_.size(), 0, false, DRAWN<FoldHardware::random_bits>});
#endif
        return passed;
    }
#endif

#if FOLDS
    bool folds() {
#if !STARTS
        if (!copies()) return end({"folds", totals_.size(), states_.size()});
#endif
        // A total meets the adder as an operand, and equal operands of equal codes are one total.
        Table<Total> distinct;
        auto is_new = [&](Units& units, size_t place) {
            const Total total{units.folded(totals_.table.keys[place]), totals_.codes[place]};
            return distinct.find(total) < 0 && distinct.append(total) >= 0;
        };
        for (size_t place = 0; place < totals_.size(); ++place) is_new(crew_.workers[0].units, place);
        const double space = static_cast<double>(distinct.keys.size()) * static_cast<double>(states_.size()) +
                             static_cast<double>(totals_.size()) * static_cast<double>(loaded_);
        distinct = {};
        if (!complete_ || space > static_cast<double>(settings_.most)) return sampled_folds();
        const Numbers numbers = numbers_for<STEP_RANDOM_BITS>(space);
        std::vector<Number> sums;
        for (u128 code : states_.codes) sums.push_back(decode(ACC, code));
        std::vector<FoldOperand> operands;
        for (size_t place = 0; place < loaded_; ++place) {
            operands.push_back(crew_.workers[0].units.folded(states_.table.keys[place]));
        }
        auto pairing = [&](size_t place) {
            return Pairing{totals_.codes[place], decode(ACC, totals_.codes[place]), &states_, &sums};
        };
        Phase folds{"folds", 0, states_.size(), true, name_of<STEP_RANDOM_BITS>(numbers)}, swaps = folds;
        swaps.name = "swaps";
        swaps.addends = loaded_;
        // Either makes totals for the other; the one that differs comes last.
        auto told = [&](const Phase& first, const Phase& second) {
            if (first.pairs != 0) end(first);
            return second.pairs == 0 ? totals_complete_ : end(second);
        };
        size_t folded = 0, swapped = 0;
        do {
            totals_complete_ = close<FoldHardware>(
                crew_, totals_, folded, states_.size(), "fold", numbers, is_new, [&](Units& units, size_t place) {
                    return FoldRow{pairing(place), units.folded(totals_.table.keys[place])};
                });
            folded = totals_.size();
            folds.states = distinct.keys.size();
            count(folds);
            if (loaded_ == 0) break;
            if (!totals_complete_) return told(swaps, folds);
            totals_complete_ = close<FoldHardware>(
                crew_, totals_, swapped, loaded_, "swap", numbers, [](Units&, size_t) { return true; },
                [&](Units&, size_t place) { return SwapRow{pairing(place), totals_.table.keys[place], &operands}; });
            swapped = swaps.states = totals_.size();
            count(swaps);
        } while (totals_complete_ && folded < totals_.size());
        return told(folds, swaps);
    }

#if !STARTS
    // The first chunk's sum becomes the total as it is, whatever the total was.
    bool copies() {
        const FoldOperand nothing = crew_.workers[0].units.folded(ZERO_STATE, false);
        std::vector<State> sums(states_.size());
        const bool passed = crew_.each_row(states_.size(), [&](Worker& worker, size_t row) {
            const State& state = states_.table.keys[row];
            const FoldOperand operand = worker.units.folded(state, false);
            const uint32_t random = random_for(settings_.seed, COPIES, row).template number<STEP_RANDOM_BITS>();
            const TotalSum sum = worker.units.fold(state, operand, random);
            const Result got{worker.units.code(sum.state), sum.flags}, wanted{states_.codes[row], 0};
            sums[row] = sum.state;
            ++worker.pairs;
            ++worker.sums;
            if (equal(got, wanted) && operand == nothing) return;
            const char* what = operand == nothing ? "first chunk's sum" : "first chunk's sum beside a total";
            report(worker, what, state, operand, Comparison::fold(0, states_.codes[row], 0, 0, random, got), wanted, false);
        });
        for (size_t row = 0; passed && row < sums.size(); ++row) totals_.append_new(sums[row], states_.codes[row]);
        return passed;
    }
#endif
#elif OUTER
    bool folds() {
#if !STARTS
        totals_.append(ZERO_TOTAL, 0, 0);
        constexpr bool EVERY_START = true;
#endif
        std::vector<ScaledSum> sums;
        if (!scaled_sums(sums)) return false;
        const double space = std::ldexp(static_cast<double>(sums.size()), TOTAL.width);
        if (!EVERY_START || sums.empty() || space > static_cast<double>(settings_.most)) return sampled_folds();
        const Numbers numbers = numbers_for<OUTER_RANDOM_BITS>(TOTAL.is_float ? STATES_PER_CODE * space : space);
        totals_complete_ = close<FoldHardware>(
            crew_, totals_, 0, sums.size(), "fold", numbers, [](Units&, size_t) { return true; },
            [&](Units&, size_t place) {
                const u128 code = totals_.codes[place];
                return FoldRow{totals_.table.keys[place], code, decode(TOTAL, code), &sums};
            });
        return end({"folds", totals_.size(), sums.size(), true, name_of<OUTER_RANDOM_BITS>(numbers)});
    }

    // Every chunk sum, times scales, as the outer adder's operand; none where there are too many.
    bool scaled_sums(std::vector<ScaledSum>& sums) {
        const uint64_t scales = SPEC.has_scales ? uint64_t(1) << SPEC.scale.width : 1;
        const double pairs = static_cast<double>(scales) * static_cast<double>(scales);
        const double space = static_cast<double>(states_.size()) * pairs;
        if (!complete_ || space > static_cast<double>(std::min(settings_.most, MOST_CHUNK_SUMS))) return true;
        Gatherer<ScaledSum> found(crew_.workers.size());
        std::atomic<bool> too_many{false};
        crew_.each_row(states_.size(), [&](Worker& worker, size_t row) {
            const size_t thread = static_cast<size_t>(&worker - crew_.workers.data());
            if (found.size(thread) > MOST_DISTINCT) too_many = true;
            if (too_many) return;
            const u128 code = states_.codes[row];
            const Number inner = decode(ACC, code);
            for (uint32_t a = 0; a < scales; ++a) {
                for (uint32_t b = 0; b < scales; ++b) {
                    const Number number = canonical(chunk_sum(SPEC, inner, a, b));
                    found.add(thread, {worker.units.addend(states_.table.keys[row], a, b), number, code, a, b});
                    ++worker.pairs;
                    ++worker.sums;
                }
            }
        });
        if (!too_many) sums = found.all();
        return end({"chunk sums", states_.size(), sums.size(), !too_many});
    }
#else
    bool folds() { return true; }
#endif

#if RESULTS
    // Every total; where they were drawn, each has been converted as it was reached.
    bool results() {
#if OUTER
        const Totals& totals = totals_;
        const bool complete = totals_complete_;
#else
        const Totals& totals = FOLDS ? totals_ : states_;
        const bool complete = FOLDS ? totals_complete_ : complete_;
#endif
        const Numbers numbers = numbers_for<RESULT_RANDOM_BITS>(static_cast<double>(totals.size()));
        crew_.each_row(totals.size(), [&](Worker& worker, size_t row) {
            const u128 code = totals.codes[row];
            const ExactSum exact = convert(SPEC, code);
            each_number<RESULT_RANDOM_BITS>(complete ? numbers : SWITCHES, SPEC.out, exact, row, [&](uint32_t random) {
                if (!worker.difference.found) convert_total(worker, totals.table.keys[row], code, random, exact);
            });
        });
        crew_.workers[0].sums = crew_.take(&Worker::results);
        crew_.workers[0].pairs = complete ? totals.size() : crew_.workers[0].sums;
        const char* const which = complete ? name_of<RESULT_RANDOM_BITS>(numbers) : DRAWN<RESULT_RANDOM_BITS>;
        return end({"results", totals.size(), 0, complete, which});
    }
#else
    bool results() { return true; }
#endif
};

}  // namespace

int main(int count, char** arguments) {
    if (count != 6) return 2;
    const auto number = [&](int i) { return std::strtoull(arguments[i], nullptr, 10); };
    Prover prover(static_cast<int>(number(1)), {number(2), number(3), number(4)});
    prover.run();
    prover.write(arguments[5]);
    return 0;
}
