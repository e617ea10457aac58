// Compares the hardware of one PE's loop with the contract: completely by induction, or where the space is too large
// with operands chosen for many states. Arguments: threads, most pairs to complete, pairs to draw, seed, result file.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <tuple>

#include "closure.h"
#include "sampled.h"

namespace {

constexpr uint64_t MOST_PRODUCTS = uint64_t(1) << 22;  // pairs of operand codes that are all driven

struct Settings {
    uint64_t most, draws, seed;
};

struct Phase {
    const char* name;
    uint64_t states = 0, addends = 0;
    bool complete = true;
    const char* numbers = "";
    uint64_t pairs = 0, sums = 0;
    double seconds = 0;
};

// About as many states of a float accumulator mean one code.
constexpr double STATES_PER_CODE = 8;

// In the names of the result.
const char* name_of(Numbers numbers) { return RANDOM_BITS == 0 ? "" : numbers == EVERY ? "every" : "switches"; }
const char* const DRAWN = RANDOM_BITS ? "drawn" : "";

// A total as the adder and the contract see it.
struct Total {
    Operand operand;
    u128 code;

    bool operator==(const Total& other) const { return operand == other.operand && code == other.code; }
};

uint64_t hash(const Total& total) { return mix(hash(total.operand) ^ uint64_t(total.code)); }

class Clock {
  public:
    double lap() {
        const auto now = std::chrono::steady_clock::now();
        const double seconds = std::chrono::duration<double>(now - start_).count();
        start_ = now;
        return seconds;
    }

  private:
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

class Prover {
  public:
    Prover(int threads, Settings settings) : crew_(threads), settings_(settings) {}

    void run() {
        start() && products() && loads() && steps() && folds();
    }

    void write(const char* path) const;

  private:
    Crew crew_;
    Settings settings_;
    Clock clock_;
    std::vector<Phase> phases_;
    std::vector<Product> products_;
    States states_;
    Operand idle_{};
    bool complete_ = false;
    Numbers numbers_ = SWITCHES;

    // Every random number with every pair, where that are not too many sums.
    Numbers numbers_for(double pairs) const {
        return std::ldexp(pairs, RANDOM_BITS) <= static_cast<double>(settings_.most) ? EVERY : SWITCHES;
    }

    bool end(Phase phase) {
        phase.seconds = clock_.lap();
        std::tie(phase.pairs, phase.sums) = crew_.take_counts();
        std::printf("%s: %llu pairs\n", phase.name, static_cast<unsigned long long>(phase.pairs));
        std::fflush(stdout);
        phases_.push_back(phase);
        return !crew_.difference.found;
    }

    bool start() {
        Units& units = crew_.workers[0].units;
        idle_ = units.product(0, 0, false);
        const u128 code = units.code(ZERO_STATE);
        states_.append(ZERO_STATE, 0, code);
        return crew_.each_row(1, [&](Worker& worker, size_t) {
            const Comparison comparison{false, 0, 0, 0, 0, 0, {code, 0}};
            if (code != 0) report(worker, "empty accumulator", ZERO_STATE, idle_, comparison, {0, 0});
            worker.difference.compares = false;
        });
    }

    bool products() {
        const int bits = SPEC.a.width + SPEC.b.width;
        if (bits > 62 || uint64_t(1) << bits > MOST_PRODUCTS) return true;
        products_ = all_products(crew_);
        const double space = std::ldexp(static_cast<double>(products_.size() + 1), ACC.width);
        complete_ = space <= static_cast<double>(settings_.most);
        numbers_ = numbers_for(ACC.is_float ? STATES_PER_CODE * space : space);
        return end({"products", 0, products_.size()});
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
            Director director(Random(settings_.seed + 4, row));
            for (size_t i = 0; i < (listed ? 1 : BATCH); ++i) {
                const Pair pair = listed              ? Pair{products_[row].a, products_[row].b}
                                  : director.random.coin() ? director.anything()
                                                           : director.near(director.destination());
                const Operand operand = worker.units.product(pair.a, pair.b);
                const Sum sum = worker.units.loaded(operand);
                const Result wanted = step(SPEC, 0, &pair.a, &pair.b, 1, 0), got{worker.units.code(sum.state), sum.flags};
                const bool zeros = ACC.is_float && got.code == sign_bit(ACC) && wanted.code == 0;
                ++worker.pairs;
                ++worker.sums;
                reached[row] = {sum.state, wanted.code};
                outputs[row] = got.code;
                if (got.flags == wanted.flags && (got.code == wanted.code || zeros)) continue;
                report(worker, "load", ZERO_STATE, operand, {false, 0, 0, pair.a, pair.b, 0, got}, wanted);
                return;
            }
        });
        for (size_t row = 0; passed && row < rows; ++row) {
            const State& state = reached[row].state;
            if (states_.table.find(state) < 0) states_.append(state, reached[row].code, outputs[row]);
        }
        return end({"loads", 1, listed, listed != 0});
#else
        return true;
#endif
    }

    bool steps() {
        if (!complete_) return sampled_steps();
        struct Row {
            State state;
            u128 code;
            Number number;
            const std::vector<Product>* products;
            const Operand* idle;

            bool audits(size_t column) const { return column < products->size(); }
            State state_of(size_t) const { return state; }
            Operand operand_of(size_t column) const { return audits(column) ? (*products)[column].operand : *idle; }
        };
        close(
            crew_, states_, 0, products_.size() + 1, "step", numbers_, SPEC.acc, [](Units&, size_t) { return true; },
            [&](Units&, size_t place) {
                const u128 code = states_.codes[place];
                return Row{states_.table.keys[place], code, decode(ACC, code), &products_, &idle_};
            },
            [](const Row& row, size_t column) {
                if (!row.audits(column)) return settle(row.code);
                unsigned flags = 0;
                return step(SPEC, row.number, &(*row.products)[column].meaning.number, 1, flags);
            },
            [](Units& units, const Row& row, size_t column, uint32_t random) {
                return units.add(row.state, row.audits(column) ? (*row.products)[column].operand : *row.idle, random);
            },
            [](const Row& row, size_t column) {
                if (!row.audits(column)) return Comparison{false, row.code, 0, 0, 0, 0, {}};
                return Comparison{false, row.code, 0, (*row.products)[column].a, (*row.products)[column].b, 0, {}};
            });
        if (crew_.difference.found && crew_.difference.column == products_.size()) {
            crew_.difference.what = "step without a product";
            crew_.difference.compares = false;
        }
        return end({"steps", states_.size(), products_.size(), true, name_of(numbers_)});
    }

    bool sampled_steps() {
        Sampler sampler(crew_, idle_, settings_.draws, settings_.seed, std::move(states_));
        if (sampler.reach()) sampler.every_product(products_) && sampler.draw();
        states_ = std::move(sampler.states);
        return end({"steps", states_.size(), products_.size(), false, DRAWN});
    }

    bool folds() {
#if FOLDS
        States totals;
        if (!copies(totals)) return end({"folds", totals.size(), states_.size()});
        // A total meets the adder as an operand, and equal operands of equal codes are one total.
        Table<Total> distinct;
        auto is_new = [&](Units& units, size_t place) {
            const Total total{units.folded(totals.table.keys[place]), totals.codes[place]};
            return distinct.find(total) < 0 && distinct.append(total) >= 0;
        };
        for (size_t place = 0; place < totals.size(); ++place) is_new(crew_.workers[0].units, place);
        const double space = static_cast<double>(distinct.keys.size()) * static_cast<double>(states_.size());
        distinct = {};
        if (!complete_ || space > static_cast<double>(settings_.most)) {
            FoldSampler(crew_, states_, totals, settings_.draws, settings_.seed).run();
            return end({"folds", totals.size(), states_.size(), false, DRAWN});
        }
        const Numbers which = numbers_for(space);
        std::vector<Number> numbers;
        for (u128 code : states_.codes) numbers.push_back(decode(ACC, code));
        struct Row {
            Operand operand;
            u128 code;
            Number number;
            const States* inner;

            bool audits(size_t) const { return true; }
            State state_of(size_t column) const { return inner->table.keys[column]; }
            Operand operand_of(size_t) const { return operand; }
        };
        close(
            crew_, totals, 0, states_.size(), "fold", which, FOLD, is_new,
            [&](Units& units, size_t place) {
                const u128 code = totals.codes[place];
                return Row{units.folded(totals.table.keys[place]), code, decode(ACC, code), &states_};
            },
            [&](const Row& row, size_t column) { return add(FOLD, row.number, numbers[column]); },
            [](Units& units, const Row& row, size_t column, uint32_t random) {
                return units.add(row.inner->table.keys[column], row.operand, random);
            },
            [](const Row& row, size_t column) {
                return Comparison{true, row.code, row.inner->codes[column], 0, 0, 0, {}};
            });
        return end({"folds", distinct.keys.size(), states_.size(), true, name_of(which)});
#else
        return true;
#endif
    }

#if FOLDS
    // The first chunk's sum becomes the total as it is, whatever the total was.
    bool copies(States& totals) {
        const Operand nothing = crew_.workers[0].units.folded(ZERO_STATE, false);
        std::vector<State> sums(states_.size());
        const bool passed = crew_.each_row(states_.size(), [&](Worker& worker, size_t row) {
            const State& state = states_.table.keys[row];
            const Operand operand = worker.units.folded(state, false);
            const uint32_t random = Random(settings_.seed + 7, row).number();
            const Sum sum = worker.units.add(state, operand, random);
            const Result got{worker.units.code(sum.state), sum.flags}, wanted{states_.codes[row], 0};
            sums[row] = sum.state;
            ++worker.pairs;
            ++worker.sums;
            if (equal(got, wanted) && operand == nothing) return;
            report(worker, operand == nothing ? "first chunk's sum" : "first chunk's sum beside a total", state, operand, {true, 0, states_.codes[row], 0, 0, random, got},
                   wanted);
            worker.difference.compares = false;
        });
        for (size_t row = 0; passed && row < sums.size(); ++row) {
            if (totals.table.find(sums[row]) < 0) totals.append(sums[row], states_.codes[row], states_.codes[row]);
        }
        return passed;
    }
#endif
};

std::string hex(const uint64_t* words, int count) {
    std::string text;
    for (int i = count - 1; i >= 0; --i) {
        char digits[17];
        std::snprintf(digits, sizeof digits, text.empty() ? "%llx" : "%016llx", static_cast<unsigned long long>(words[i]));
        if (words[i] != 0 || !text.empty() || i == 0) text += digits;
    }
    return "\"0x" + text + "\"";
}

std::string hex(u128 x) {
    const uint64_t words[2] = {static_cast<uint64_t>(x), static_cast<uint64_t>(x >> 64)};
    return hex(words, 2);
}

std::string json(const Comparison& c) {
    return "{\"fold\": " + std::string(c.is_fold ? "true" : "false") + ", \"acc\": " + hex(c.acc) + ", \"addend\": " +
           hex(c.addend) + ", \"a\": " + std::to_string(c.a) + ", \"b\": " + std::to_string(c.b) + ", \"random\": " +
           std::to_string(c.random) + ", \"code\": " + hex(c.result.code) + ", \"flags\": " + std::to_string(c.result.flags) + "}";
}

void Prover::write(const char* path) const {
    std::FILE* file = std::fopen(path, "w");
    if (file == nullptr) {
        std::perror("error: the result cannot be written");
        std::exit(2);
    }
    std::fputs("{\"phases\": [", file);
    const char* comma = "";
    for (const Phase& p : phases_) {
        std::fprintf(file,
                     "%s\n{\"name\": \"%s\", \"states\": %llu, \"addends\": %llu, \"pairs\": %llu, \"sums\": %llu, "
                     "\"complete\": %s, \"numbers\": \"%s\", \"seconds\": %.3f}",
                     comma, p.name, static_cast<unsigned long long>(p.states),
                     static_cast<unsigned long long>(p.addends), static_cast<unsigned long long>(p.pairs),
                     static_cast<unsigned long long>(p.sums), p.complete ? "true" : "false", p.numbers, p.seconds);
        comma = ",";
    }
    std::fputs("],\n\"audit\": [", file);
    comma = "";
    for (const Worker& worker : crew_.workers) {
        for (const Comparison& c : worker.audit.kept) {
            std::fprintf(file, "%s\n%s", comma, json(c).c_str());
            comma = ",";
        }
    }
    std::fputs("],\n\"difference\": ", file);
    const Difference& d = crew_.difference;
    if (d.found) {
        std::fprintf(file,
                     "{\"what\": \"%s\", \"compares\": %s, \"state\": %s, \"operand\": %s, \"comparison\": %s, "
                     "\"code\": %s, \"flags\": %u}",
                     d.what, d.compares ? "true" : "false", hex(d.state.words, State::WORDS).c_str(),
                     hex(d.operand.words, Operand::WORDS).c_str(), json(d.comparison).c_str(),
                     hex(d.wanted.code).c_str(), d.wanted.flags);
    } else {
        std::fputs("null", file);
    }
    std::fputs("}\n", file);
    if (std::fclose(file) != 0) {
        std::perror("error: the result cannot be written");
        std::exit(2);
    }
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 6) return 2;
    const auto number = [&](int i) { return std::strtoull(arguments[i], nullptr, 10); };
    Prover prover(static_cast<int>(number(1)), {number(2), number(3), number(4)});
    prover.run();
    prover.write(arguments[5]);
    return 0;
}
