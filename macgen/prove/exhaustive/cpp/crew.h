// What the proofs share: distinct states, comparisons and what differed first, threads to which rows of work are shared out.

#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "units.h"

// Distinct keys in order of their arrival, with their places.
template <class Key>
class Table {
  public:
    std::vector<Key> keys;

    // Return the place of a key, or -1.
    long find(const Key& key) const {
        if (slots_.empty()) return -1;
        for (size_t i = hash(key) & (slots_.size() - 1);; i = (i + 1) & (slots_.size() - 1)) {
            if (slots_[i] == 0) return -1;
            if (keys[slots_[i] - 1] == key) return slots_[i] - 1;
        }
    }

    // Append a key that is not there yet.
    long append(const Key& key) {
        keys.push_back(key);
        if (2 * keys.size() > slots_.size()) {
            slots_.assign(std::max<size_t>(64, 2 * slots_.size()), 0);
            for (size_t i = 0; i < keys.size(); ++i) place(i);
        } else {
            place(keys.size() - 1);
        }
        return static_cast<long>(keys.size()) - 1;
    }

  private:
    std::vector<uint32_t> slots_;

    void place(size_t index) {
        size_t i = hash(keys[index]) & (slots_.size() - 1);
        while (slots_[i] != 0) i = (i + 1) & (slots_.size() - 1);
        slots_[i] = static_cast<uint32_t>(index + 1);
    }
};

enum What { STEP, RESULT_OF, FOLD_OF, START_OF };

// One comparison: of a step (addend: lanes), a fold (addend: a chunk sum's code, its scales), a result or a start value
// (no addend).
struct Comparison {
    What what;
    u128 acc, addend;
    Lanes lanes;
    uint32_t a_scale, b_scale, random;
    Result result;

    static Comparison step(u128 acc, const Lanes& lanes, uint32_t random = 0, Result result = {}) {
        return {STEP, acc, 0, lanes, 0, 0, random, result};
    }

    static Comparison fold(u128 total, u128 inner, uint32_t a_scale, uint32_t b_scale, uint32_t random = 0,
                           Result result = {}) {
        return {FOLD_OF, total, inner, {}, a_scale, b_scale, random, result};
    }

    static Comparison of_result(u128 total, uint32_t random, Result result) {
        return {RESULT_OF, total, 0, {}, 0, 0, random, result};
    }

    static Comparison of_start(u128 code, Result result) { return {START_OF, code, 0, {}, 0, 0, 0, result}; }
};

// Keeps an even sample of the comparisons, with which the caller checks the model itself.
class Audit {
  public:
    std::vector<Comparison> kept;

    template <class Make>
    void offer(Make make) {
        if ((count_++ & (stride_ - 1)) != 0) return;
        kept.push_back(make());
        if (kept.size() < 2 * AUDITED) return;
        for (size_t i = 0; i < AUDITED; ++i) kept[i] = kept[2 * i];
        kept.resize(AUDITED);
        stride_ *= 2;
    }

  private:
    uint64_t count_ = 0, stride_ = 1;
};

// What is wrong, at the first place in the order of rows and columns.
struct Difference {
    bool found = false;
    const char* what = "";
    size_t row = 0, column = 0;
    std::vector<uint64_t> state, operand;
    Comparison comparison{};
    Result wanted{};
    bool compares = false;  // whether `comparison` is one that golden can check
};

// One thread's hardware, findings and counts.
struct Worker {
    Units units;
    Audit audit;
    Difference difference;
    uint64_t pairs = 0, sums = 0, results = 0;
};

// Which random numbers each pair of a stochastic addition meets.
enum Numbers { EVERY, SWITCHES };

// Call visit(number) with each; with 0 where the hardware takes none. At switches one number more is drawn.
template <int BITS, class Visit>
void each_number(Numbers which, const RoundedSum& target, const ExactSum& sum, uint64_t seed, Visit visit) {
    if constexpr (BITS == 0) {
        visit(0);
    } else if (which == EVERY) {
        for (uint64_t number = 0; number < uint64_t(1) << BITS; ++number) visit(static_cast<uint32_t>(number));
    } else {
        uint32_t numbers[MOST_SWITCHES + 1];
        int count = switch_numbers(target, sum, numbers);
        numbers[count++] = static_cast<uint32_t>(mix(seed) >> (64 - BITS));
        for (int i = 0; i < count; ++i) visit(numbers[i]);
    }
}

// All threads, and rows of work shared out to them in order.
class Crew {
  public:
    explicit Crew(int threads) : workers(threads) {}

    std::vector<Worker> workers;
    Difference difference;

    // Call work(worker, row) for each row; no more rows after one with a difference, but all before it.
    template <class Work>
    bool each_row(size_t rows, Work work) {
        std::atomic<size_t> next{0}, end{rows};
        auto loop = [&](Worker& worker) {
            for (size_t row; (row = next++) < end.load();) {
                worker.difference.row = row;
                work(worker, row);
                if (!worker.difference.found) continue;
                for (size_t seen = end.load(); row < seen && !end.compare_exchange_weak(seen, row);) {
                }
                return;
            }
        };
        std::vector<std::thread> threads;
        for (size_t i = 1; i < workers.size(); ++i) threads.emplace_back(loop, std::ref(workers[i]));
        loop(workers[0]);
        for (std::thread& thread : threads) thread.join();
        for (const Worker& worker : workers) {
            const Difference& found = worker.difference;
            if (found.found && (!difference.found || found.row < difference.row)) difference = found;
        }
        return !difference.found;
    }

    // Return what was counted since the last call.
    uint64_t take(uint64_t Worker::*count) {
        uint64_t sum = 0;
        for (Worker& worker : workers) sum += std::exchange(worker.*count, 0);
        return sum;
    }
};

template <class StateType, class OperandType>
void report(Worker& worker, const char* what, const StateType& state, const OperandType& operand,
            const Comparison& comparison, const Result& wanted, bool compares = true) {
    Difference& d = worker.difference;
    d.found = true;
    d.what = what;
    d.state.assign(state.words, state.words + StateType::WORDS);
    d.operand.assign(operand.words, operand.words + OperandType::WORDS);
    d.comparison = comparison;
    d.wanted = wanted;
    d.compares = compares;
}

inline bool equal(const Result& x, const Result& y) { return x.code == y.code && x.flags == y.flags; }
