// Where not every pair can be driven: states that directed walks reach, each with directed operands.

#pragma once

#include "closure.h"
#include "directed.h"

constexpr size_t STREAMS = 64;              // independent walks, so that the result does not depend on the threads
constexpr uint64_t MOST_CLIMB = 1 << 23;    // steps to the end of a fixed-point range
constexpr uint64_t PAIRS_PER_STATE = 128;

// A state and its code, reached by additions that were all compared.
template <class StateType>
struct ReachedOf {
    StateType state;
    u128 code;
};

using Reached = ReachedOf<State>;

// Streams of random numbers, one for each purpose.
enum Stream { WALKS, DRAWS, EARLY_FOLDS, LATE_FOLDS, LOAD, LISTED, CLIMB, COPIES, RESULTS_OF, FIRST_FOLDS, SWAPS, STARTS_OF };

inline Random random_for(uint64_t seed, Stream stream, size_t row) { return Random(seed + stream, row); }

// States in the order of their codes.
class Finder {
  public:
    explicit Finder(const States& states) : states_(states) {
        for (size_t i = 0; i < states.size(); ++i) places_.push_back(static_cast<uint32_t>(i));
        std::sort(places_.begin(), places_.end(), [&](uint32_t x, uint32_t y) { return states.codes[x] < states.codes[y]; });
    }

    size_t any(Random& random) const { return random.bits() % places_.size(); }

    // The place of a code, or of the next one that a state has.
    size_t near(u128 code) const {
        const auto found = std::lower_bound(places_.begin(), places_.end(), code,
                                            [&](uint32_t x, u128 wanted) { return states_.codes[x] < wanted; });
        return found == places_.end() ? places_.back() : *found;
    }

  private:
    const States& states_;
    std::vector<uint32_t> places_;
};

#if RESULTS
// Convert a total and compare; false where it differs.
inline bool convert_total(Worker& worker, const TotalState& total, u128 code, uint32_t random, const ExactSum& exact) {
    const Result got = worker.units.result(total, random), wanted = rounded(SPEC.out, exact, random);
    const Comparison comparison = Comparison::of_result(code, random, got);
    ++worker.results;
    if (!equal(got, wanted)) {
        report(worker, "result", total, FoldOperand{}, comparison, wanted);
        return false;
    }
    worker.audit.offer([&] { return comparison; });
    return true;
}
#endif

class Sampler {
  public:
    States states;

    // `first`: the empty accumulator, and what products make of it without the adder.
    Sampler(Crew& crew, const Operand& idle, uint64_t draws, uint64_t seed, States first)
        : states(std::move(first)), crew_(crew), idle_(idle), draws_(draws), seed_(seed) {}

    // Find distinct states: to the ends of a fixed-point range first, then walks to destinations and away from them.
    bool reach() {
        std::vector<Reached> starts;
        for (size_t i = 0; i < states.size(); ++i) starts.push_back({states.table.keys[i], states.codes[i]});
        if (!climb(starts)) return false;
        const size_t enough = std::max<size_t>(1, draws_ / PAIRS_PER_STATE / STREAMS);
        std::vector<std::vector<Reached>> found(STREAMS);
        const bool passed = crew_.each_row(STREAMS, [&](Worker& worker, size_t stream) {
            Director director(random_for(seed_, WALKS, stream));
            std::vector<Reached>& mine = found[stream];
            for (size_t walk = 0; walk < enough && mine.size() < enough; ++walk) {
                Reached at = starts[director.random.coin() ? 0 : director.random.bits() % starts.size()];
                const double destination = director.destination();
                Lanes last{};
                for (int i = 0; i < 16; ++i) {
                    const Number number = decode(ACC, at.code);
                    if (number.kind != NUMBER && director.random.coin()) break;  // most such states are absorbing
                    const bool directed = i >= 8 || value(number) == destination;
                    last = i > 0 && director.random.from(0, 3) == 0 ? Director::negated(last)
                           : directed                               ? director.directed(number)
                                                                    : director.near_lanes(destination - value(number));
                    const State before = at.state;
                    if (!step(worker, director, at, last)) return;
                    if (!(at.state == before)) mine.push_back(at);
                }
            }
        });
        for (const std::vector<Reached>& part : found) {
            for (const Reached& at : part) states.append_new(at.state, at.code);
        }
        return passed;
    }

    // Every distinct product with some of the states.
    bool every_product(const std::vector<Product>& products) {
        if (products.empty()) return true;
        const size_t count = std::clamp<size_t>(draws_ / 8 / products.size(), 1, states.size());
        const size_t stride = states.size() / count;
        return crew_.each_row(count, [&](Worker& worker, size_t row) {
            Director director(random_for(seed_, LISTED, row));
            for (const Product& product : products) {
                Reached at{states.table.keys[row * stride], states.codes[row * stride]};
                if (!step(worker, director, at, product.lanes)) return;
            }
        });
    }

    // Every state with operands directed at it, and without one.
    bool draw() {
        uint64_t done = 0;
        for (const Worker& worker : crew_.workers) done += worker.pairs;
        const uint64_t each = (draws_ - std::min(done, draws_)) / states.size() / MEETINGS + 1;
        const Finder finder(states);
        return crew_.each_row(states.size(), [&](Worker& worker, size_t row) {
            Director director(random_for(seed_, DRAWS, row));
            const Reached from{states.table.keys[row], states.codes[row]};
            const Number number = decode(ACC, from.code);
#if IDLES
            const uint32_t random = director.random.number<STEP_RANDOM_BITS>();
            const Sum still = worker.units.add(from.state, idle_, random);
            const Result wanted{from.code, 0}, got{worker.units.code(still.state), still.flags};
            if (!equal(got, wanted)) {
                report(worker, "step without a product", from.state, idle_,
                       Comparison::step(from.code, {}, random, got), wanted, false);
                return;
            }
#endif
            for (uint64_t i = 0; i < each; ++i) {
                const Prepared prepared(worker, director.directed(number));
                Reached at = from;
                if (!step(worker, director, at, prepared)) return;
                for (int meeting = 1; meeting < MEETINGS; ++meeting) {
                    const size_t place = partner(director.random, finder, prepared, meeting);
                    at = {states.table.keys[place], states.codes[place]};
                    if (!step(worker, director, at, prepared)) return;
                }
            }
        });
    }

  private:
    // Products of many lanes take long to make and so meet several states.
    static constexpr int MEETINGS = LANES > 1 ? 4 : 1;

    // A step's operands, and what hardware and contract make of them.
    struct Prepared {
        Lanes lanes;
        Made made;
        Number addends[LANES];
        unsigned flags = 0;
        int count;

        Prepared(Worker& worker, const Lanes& operands) : lanes(operands), made(worker.units.product(operands)) {
            count = addends_of(lanes, addends, flags);
        }
    };

    // Another state for a sum: one that nearly cancels it, one that is some binades away, any.
    static size_t partner(Random& random, const Finder& finder, const Prepared& prepared, int kind) {
        double sum = 0;
        for (int i = 0; i < prepared.count; ++i) sum += value(prepared.addends[i]);
        if (kind == 3 || sum == 0 || !std::isfinite(sum)) return finder.any(random);
        const int span = ACC.is_float ? ACC.man_bits + 4 : 8;
        if (kind == 1) return finder.near(nearest_code(ACC, -sum * (1 + random.from(-4, 4) * std::ldexp(1.0, -span))));
        return finder.near(nearest_code(ACC, std::ldexp(random.sign() * sum, random.from(-span, span))));
    }

    Crew& crew_;
    const Operand idle_;
    const uint64_t draws_, seed_;

    // Take a step and compare it; false where it differs.
    static bool step(Worker& worker, Director& director, Reached& at, const Lanes& lanes) {
        return step(worker, director, at, Prepared(worker, lanes));
    }

    static bool step(Worker& worker, Director& director, Reached& at, const Prepared& prepared) {
        unsigned flags = prepared.flags;
        const ExactSum exact = ::step(SPEC, decode(ACC, at.code), prepared.addends, prepared.count, flags);
        const uint32_t random = director.number<STEP_RANDOM_BITS>(SPEC.acc, exact);
        const Sum sum = worker.units.add(at.state, prepared.made.operand, random);
        Result wanted = rounded(SPEC.acc, exact, random);
#if COUNTERS
        wanted.flags |= swamped(at.code, decode(ACC, at.code), Meaning(prepared.lanes).counts(), wanted);
#endif
        wanted.flags |= flags;
        const Result got{worker.units.code(sum.state), sum.flags | prepared.made.flags};
        auto comparison = [&] { return Comparison::step(at.code, prepared.lanes, random, got); };
        ++worker.sums;
        ++worker.pairs;
        if (!equal(got, wanted)) {
            report(worker, "step", at.state, prepared.made.operand, comparison(), wanted);
            return false;
        }
        worker.audit.offer(comparison);
        at = {sum.state, got.code};
#if RESULTS && !OUTER
        const ExactSum to_convert = convert(SPEC, got.code);
        return convert_total(worker, at.state, got.code, director.number<RESULT_RANDOM_BITS>(SPEC.out, to_convert),
                             to_convert);
#else
        return true;
#endif
    }

    // Add states on the way to both ends of a fixed-point range where that takes not too long.
    bool climb(std::vector<Reached>& starts) {
        if (ACC.is_float) return true;
        const u128 a_ends[2] = {largest(SPEC.a, false), largest(SPEC.a, true)};
        const u128 b_ends[2] = {largest(SPEC.b, false), largest(SPEC.b, true)};
        for (const bool down : {false, true}) {
            double furthest = 0;
            Lanes lanes{};
            for (const u128 a : a_ends) {
                for (const u128 b : b_ends) {
                    unsigned flags;
                    const double product = LANES * value(product_of(SPEC, a, b, flags));
                    if ((down ? -product : product) > furthest) {
                        furthest = std::fabs(product);
                        std::fill(lanes.a, lanes.a + LANES, static_cast<uint32_t>(a));
                        std::fill(lanes.b, lanes.b + LANES, static_cast<uint32_t>(b));
                    }
                }
            }
            const double way = std::fabs(value(decode(ACC, largest(ACC, down))));
            if (furthest == 0 || way / furthest > static_cast<double>(MOST_CLIMB)) continue;
            const uint64_t steps = static_cast<uint64_t>(way / furthest) + 2, stride = steps / 1000 + 1;
            const bool passed = crew_.each_row(1, [&](Worker& worker, size_t) {
                Director director(random_for(seed_, CLIMB, down));
                Reached at = starts[0];
                for (uint64_t i = 0; i < steps; ++i) {
                    if (!step(worker, director, at, lanes)) return;
                    if (i % stride == 0 || i + 1000 > steps) starts.push_back(at);
                }
            });
            if (!passed) return false;
        }
        return true;
    }
};
