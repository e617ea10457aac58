// Where not every pair can be driven: states that directed walks reach, each with directed operands.

#pragma once

#include "closure.h"
#include "directed.h"

constexpr size_t STREAMS = 64;              // independent walks, so that the result does not depend on the threads
constexpr uint64_t MOST_CLIMB = 1 << 23;    // steps to the end of a fixed-point range
constexpr uint64_t PAIRS_PER_STATE = 128;

// A state and its code, reached by steps that were all compared.
struct Reached {
    State state;
    u128 code;
};

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
            Director director(Random(seed_, stream));
            std::vector<Reached>& mine = found[stream];
            for (size_t walk = 0; walk < enough && mine.size() < enough; ++walk) {
                Reached at = starts[director.random.coin() ? 0 : director.random.bits() % starts.size()];
                const double destination = director.destination();
                Pair last{0, 0};
                for (int i = 0; i < 16; ++i) {
                    const Number number = decode(ACC, at.code);
                    if (number.kind != NUMBER && director.random.coin()) break;  // most such states are absorbing
                    const bool directed = i >= 8 || value(number) == destination;
                    last = i > 0 && director.random.from(0, 3) == 0 ? Director::negated(last)
                           : directed                               ? director.directed(number)
                                                                    : director.near(destination - value(number));
                    const State before = at.state;
                    if (!step(worker, director, at, last)) return;
                    if (!(at.state == before)) mine.push_back(at);
                }
            }
        });
        for (const std::vector<Reached>& part : found) {
            for (const Reached& at : part) {
                if (states.table.find(at.state) < 0) states.append(at.state, at.code, at.code);
            }
        }
        return passed;
    }

    // Every distinct product with some of the states.
    bool every_product(const std::vector<Product>& products) {
        if (products.empty()) return true;
        const size_t count = std::clamp<size_t>(draws_ / 8 / products.size(), 1, states.size());
        const size_t stride = states.size() / count;
        return crew_.each_row(count, [&](Worker& worker, size_t row) {
            Director director(Random(seed_ + 5, row));
            for (const Product& product : products) {
                Reached at{states.table.keys[row * stride], states.codes[row * stride]};
                if (!step(worker, director, at, {product.a, product.b})) return;
            }
        });
    }

    // Every state with operands directed at it, and without one.
    bool draw() {
        uint64_t done = 0;
        for (const Worker& worker : crew_.workers) done += worker.pairs;
        const uint64_t each = (draws_ - std::min(done, draws_)) / states.size() + 1;
        return crew_.each_row(states.size(), [&](Worker& worker, size_t row) {
            Director director(Random(seed_ + 1, row));
            const Reached from{states.table.keys[row], states.codes[row]};
            const Number number = decode(ACC, from.code);
            const uint32_t random = director.random.number();
            const Sum still = worker.units.add(from.state, idle_, random);
            const Result wanted{from.code, 0}, got{worker.units.code(still.state), still.flags};
            if (!equal(got, wanted)) {
                report(worker, "step without a product", from.state, idle_, {false, from.code, 0, 0, 0, random, got}, wanted);
                worker.difference.compares = false;
                return;
            }
            for (uint64_t i = 0; i < each; ++i) {
                Reached at = from;
                if (!step(worker, director, at, director.directed(number))) return;
            }
        });
    }

  private:
    Crew& crew_;
    const Operand idle_;
    const uint64_t draws_, seed_;

    // Take a step and compare it; false where it differs.
    static bool step(Worker& worker, Director& director, Reached& at, Pair pair) {
        unsigned flags = 0;
        const Number product = product_of(SPEC, pair.a, pair.b, flags);
        const Addition exact = ::step(SPEC, decode(ACC, at.code), &product, 1, flags);
        const uint32_t random = director.number(SPEC.acc, exact);
        const Operand operand = worker.units.product(pair.a, pair.b);
        const Sum sum = worker.units.add(at.state, operand, random);
        Result wanted = rounded(SPEC.acc, exact, random);
        wanted.flags |= flags;
        const Result got{worker.units.code(sum.state), sum.flags};
        const Comparison comparison{false, at.code, 0, pair.a, pair.b, random, got};
        ++worker.sums;
        ++worker.pairs;
        if (!equal(got, wanted)) {
            report(worker, "step", at.state, operand, comparison, wanted);
            return false;
        }
        worker.audit.offer([&] { return comparison; });
        at = {sum.state, got.code};
        return true;
    }

    // Add states on the way to both ends of a fixed-point range where that takes not too long.
    bool climb(std::vector<Reached>& starts) {
        if (ACC.is_float) return true;
        const u128 a_ends[2] = {largest(SPEC.a, false), largest(SPEC.a, true)};
        const u128 b_ends[2] = {largest(SPEC.b, false), largest(SPEC.b, true)};
        for (const bool down : {false, true}) {
            double furthest = 0;
            Pair pair{};
            for (const u128 a : a_ends) {
                for (const u128 b : b_ends) {
                    const double product = value(decode(SPEC.a, a)) * value(decode(SPEC.b, b));
                    if ((down ? -product : product) > furthest) {
                        furthest = std::fabs(product);
                        pair = {static_cast<uint32_t>(a), static_cast<uint32_t>(b)};
                    }
                }
            }
            const double way = std::fabs(value(decode(ACC, largest(ACC, down))));
            if (furthest == 0 || way / furthest > static_cast<double>(MOST_CLIMB)) continue;
            const uint64_t steps = static_cast<uint64_t>(way / furthest) + 2, stride = steps / 1000 + 1;
            const bool passed = crew_.each_row(1, [&](Worker& worker, size_t) {
                Director director(Random(seed_ + 6, down));
                Reached at = starts[0];
                for (uint64_t i = 0; i < steps; ++i) {
                    if (!step(worker, director, at, pair)) return;
                    if (i % stride == 0 || i + 1000 > steps) starts.push_back(at);
                }
            });
            if (!passed) return false;
        }
        return true;
    }
};

#if FOLDS
// Totals with chunk sums that are near them, opposite to them, or far away; folded totals are folded again.
class FoldSampler {
  public:
    FoldSampler(Crew& crew, const States& inner, States& totals, uint64_t draws, uint64_t seed)
        : crew_(crew), inner_(inner), totals_(totals), draws_(draws), seed_(seed) {
        for (size_t i = 0; i < inner.size(); ++i) by_code_.push_back(static_cast<uint32_t>(i));
        std::sort(by_code_.begin(), by_code_.end(), [&](uint32_t x, uint32_t y) { return inner.codes[x] < inner.codes[y]; });
    }

    void run() { round(draws_ / 4, 2) && round(draws_ - draws_ / 4, 3); }

  private:
    Crew& crew_;
    const States& inner_;
    States& totals_;
    const uint64_t draws_, seed_;
    std::vector<uint32_t> by_code_;

    bool round(uint64_t draws, uint64_t stream) {
        const uint64_t each = draws / totals_.size() + 1;
        std::vector<Reached> found(totals_.size());
        const bool passed = crew_.each_row(totals_.size(), [&](Worker& worker, size_t row) {
            Director director(Random(seed_ + stream, row));
            Random& random = director.random;
            const u128 total = totals_.codes[row];
            const Number number = decode(ACC, total);
            const Operand operand = worker.units.folded(totals_.table.keys[row]);
            const uint64_t kept = random.bits() % each;
            for (uint64_t i = 0; i < each; ++i) {
                const size_t place = choose(random, total);
                const State& state = inner_.table.keys[place];
                const Addition exact = add(FOLD, number, decode(ACC, inner_.codes[place]));
                const uint32_t drawn = director.number(FOLD, exact);
                const Sum sum = worker.units.add(state, operand, drawn);
                const Result wanted = rounded(FOLD, exact, drawn);
                const Result got{worker.units.code(sum.state), sum.flags};
                const Comparison comparison{true, total, inner_.codes[place], 0, 0, drawn, got};
                ++worker.pairs;
                ++worker.sums;
                if (!equal(got, wanted)) {
                    report(worker, "fold", state, operand, comparison, wanted);
                    return;
                }
                worker.audit.offer([&] { return comparison; });
                if (i == kept) found[row] = {sum.state, got.code};
            }
        });
        for (const Reached& at : found) {
            if (passed && totals_.table.find(at.state) < 0) totals_.append(at.state, at.code, at.code);
        }
        return passed;
    }

    // A chunk sum: any, the opposite of the total or next to it, or at a distance of some binades.
    size_t choose(Random& random, u128 total) const {
        const Format& f = ACC;
        const int kind = random.from(0, 3);
        if (kind == 0) return random.bits() % inner_.size();
        const u128 mask = ones(f.width), nudge = u128(i128(random.from(-4, 4)));
        u128 wanted;
        if (!f.is_float) {
            const u128 end = largest(f, random.coin());
            wanted = kind == 1 ? -total + nudge : kind == 2 ? end - total + nudge : total >> random.from(0, f.width - 1);
        } else if (kind == 1) {
            wanted = (total ^ sign_bit(f)) + nudge;
        } else {
            const int distance = random.from(-f.man_bits - 3, f.man_bits + 3);
            wanted = total + (u128(i128(distance)) << f.man_bits) + (random.code(f) & ones(f.man_bits));
            if (random.coin()) wanted ^= sign_bit(f);
        }
        const auto found = std::lower_bound(by_code_.begin(), by_code_.end(), wanted & mask,
                                            [&](uint32_t x, u128 code) { return inner_.codes[x] < code; });
        return found == by_code_.end() ? by_code_.back() : *found;
    }
};
#endif
