// Where not every fold can be driven: totals that earlier folds made, each with chunk sums directed at it.

#pragma once

#include "sampled.h"

#if FOLDS || OUTER
// Totals with chunk sums that are near them, opposite to them, or far away; folded totals are folded again.
class FoldSampler {
  public:
    FoldSampler(Crew& crew, const States& inner, Totals& totals, uint64_t draws, uint64_t seed)
        : crew_(crew), inner_(inner), totals_(totals), draws_(draws), seed_(seed), finder_(inner) {}

    // With one total more rows of it are taken, each with a sum of its own to go on with.
    void run() {
        const bool few = totals_.size() < STREAMS;
        (!few || round(draws_ / 16, FIRST_FOLDS, draws_ / 256 + 1)) &&
            round(draws_ / 4, EARLY_FOLDS, totals_.size()) &&
            round(draws_ - draws_ / 4 - (few ? draws_ / 16 : 0), LATE_FOLDS, totals_.size());
    }

#if LOADS
    // Totals that stay in the accumulator, each with chunks of one product directed at it.
    void swaps() {
        const uint64_t each = draws_ / totals_.size() + 1;
        crew_.each_row(totals_.size(), [&](Worker& worker, size_t row) {
            Director director(random_for(seed_, SWAPS, row));
            const ReachedOf<TotalState> total{totals_.table.keys[row], totals_.codes[row]};
            ReachedOf<TotalState> at = total;
            for (uint64_t i = 0; i < each; ++i) {
                const Number number = decode(TOTAL, at.code);
                const Lanes lanes = director.directed(number);
                const State loaded = worker.units.loaded(worker.units.product(lanes).operand).state;
                const u128 code = step(SPEC, 0, lanes.a, lanes.b, LANES, 0).code;
                const ExactSum exact = add(FOLD, number, decode(ACC, code));
                const Comparison comparison = Comparison::fold(at.code, code, 0, 0);
                if (!compare(worker, director, "swap", at.state, worker.units.folded(loaded), exact, comparison, at)) return;
                if (director.random.coin()) at = total;
            }
        });
    }
#endif

  private:
    // A chunk sum, its scales.
    struct Choice {
        size_t place;
        uint32_t a_scale, b_scale;
    };

    Crew& crew_;
    const States& inner_;
    Totals& totals_;
    const uint64_t draws_, seed_;
    const Finder finder_;
    const Targets targets_{TOTAL, ACC.width};

    bool round(uint64_t draws, Stream stream, size_t rows) {
        const uint64_t each = draws / rows + 1;
        std::vector<ReachedOf<TotalState>> found(rows);
        const bool passed = crew_.each_row(rows, [&](Worker& worker, size_t row) {
            Director director(random_for(seed_, stream, row));
            const size_t of = row % totals_.size();
            const u128 total = totals_.codes[of];
            const Number number = decode(TOTAL, total);
            const TotalState& state = totals_.table.keys[of];
#if FOLDS
            const FoldOperand folded = worker.units.folded(state);
#endif
            const uint64_t kept = director.random.bits() % each;
            for (uint64_t i = 0; i < each; ++i) {
                const Choice choice = choose(director.random, total, number);
                const State& inner = inner_.table.keys[choice.place];
                const u128 code = inner_.codes[choice.place];
                const ExactSum exact = add(FOLD, number, chunk_sum(SPEC, decode(ACC, code), choice.a_scale, choice.b_scale));
#if FOLDS
                const TotalState& acc = inner;
                const FoldOperand& operand = folded;
#else
                const TotalState& acc = state;
                const FoldOperand operand = worker.units.addend(inner, choice.a_scale, choice.b_scale);
#endif
                const Comparison comparison = Comparison::fold(total, code, choice.a_scale, choice.b_scale);
                ReachedOf<TotalState> at;
                if (!compare(worker, director, "fold", acc, operand, exact, comparison, at)) return;
                if (i == kept) found[row] = at;
            }
        });
        for (const ReachedOf<TotalState>& at : found) {
            if (passed) totals_.append_new(at.state, at.code);
        }
        return passed;
    }

    // Fold, compare, and say what total was reached; false where it differs. `comparison` lacks the outcome.
    static bool compare(Worker& worker, Director& director, const char* what, const TotalState& acc,
                        const FoldOperand& operand, const ExactSum& exact, Comparison comparison,
                        ReachedOf<TotalState>& reached) {
        const uint32_t random = director.number<FoldHardware::random_bits>(FOLD, exact);
        const TotalSum sum = worker.units.fold(acc, operand, random);
        Result wanted = rounded(FOLD, exact, random);
        const Result got{worker.units.total_code(sum.state), sum.flags};
#if COUNTERS && OUTER
        const Number addend = chunk_sum(SPEC, decode(ACC, comparison.addend), comparison.a_scale, comparison.b_scale);
        wanted.flags |= swamped(comparison.acc, decode(TOTAL, comparison.acc), is_counted(addend), wanted);
#endif
        comparison.random = random;
        comparison.result = got;
        ++worker.pairs;
        ++worker.sums;
        if (!equal(got, wanted)) {
            report(worker, what, acc, operand, comparison, wanted);
            return false;
        }
        worker.audit.offer([&] { return comparison; });
        reached = {sum.state, got.code};
#if RESULTS
        const ExactSum to_convert = convert(SPEC, got.code);
        const uint32_t drawn = director.number<RESULT_RANDOM_BITS>(SPEC.out, to_convert);
        return convert_total(worker, sum.state, got.code, drawn, to_convert);
#else
        return true;
#endif
    }

    Choice choose(Random& random, u128 total, const Number& number) const {
#if FOLDS
        return {finder_.near(of_same_format(random, total)), 0, 0};
#else
        uint32_t scales[2] = {0, 0};
        double factor = 1;
        if (SPEC.has_scales) {
            for (uint32_t& scale : scales) {
                // Most often near 1, so that more than the ends of the range is met.
                const bool near = (SPEC.scale.encoding == POWER || SPEC.scale.exp_bits > 4) && random.from(0, 3);
                scale = near ? scale_near(random, random.from(-12, 12)) : static_cast<uint32_t>(random.code(SPEC.scale));
                const double of_one = value(decode(SPEC.scale, scale));
                factor *= of_one == 0 ? 1 : of_one;
            }
        }
        if (random.from(0, 7) == 0) return {finder_.any(random), scales[0], scales[1]};
        return {finder_.near(nearest_code(ACC, targets_.draw(random, number) / factor)), scales[0], scales[1]};
#endif
    }

    // A chunk sum: any, the opposite of the total or next to it, or at a distance of some binades.
    u128 of_same_format(Random& random, u128 total) const {
        const Format& f = ACC;
        const int kind = random.from(0, 3);
        if (kind == 0) return inner_.codes[finder_.any(random)];
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
        return wanted & mask;
    }
};
#endif
