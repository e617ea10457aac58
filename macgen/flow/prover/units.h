// The emitted modules as Verilator made them, with packed vectors for states and operands, and what the proofs share.
// spec.h is written for each array: SPEC, widths, ZERO_WORDS, AUDITED, RANDOM_BITS, and which units there are.

#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <iterator>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

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

using State = Vector<STATE_BITS>;
using Operand = Vector<OPERAND_BITS>;

inline const State ZERO_STATE{ZERO_WORDS};

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

struct Sum {
    State state;
    unsigned flags;
};

// One thread's copy of the hardware.
class Units {
  public:
    Operand product(uint32_t a, uint32_t b, bool present = true) {
        product_.a = a;
        product_.b = b;
        product_.present = present;
        product_.eval();
        return get<Operand>(product_.operand);
    }

    Sum add(const State& state, const Operand& operand, [[maybe_unused]] uint32_t random = 0) {
        set_port(step_.state, state.words);
        set_port(step_.operand, operand.words);
#if RANDOM_BITS
        step_.random = random;
#endif
        step_.eval();
#if CYCLES > 1
        for (int cycle = 1; cycle < CYCLES; ++cycle) {
            step_.clk = 1;
            step_.eval();
            step_.clk = 0;
            step_.eval();
        }
#endif
        return {get<State>(step_.result), step_.flags};
    }

    u128 code(const State& state) {
        set_port(code_.state, state.words);
        code_.eval();
        uint64_t words[2] = {0, 0};
        get_port(code_.code, words);
        return (u128(words[1]) << 64) | words[0];
    }

#if FOLDS
    Operand folded(const State& state, bool present = true) {
        set_port(folded_.state, state.words);
        folded_.present = present;
        folded_.eval();
        return get<Operand>(folded_.operand);
    }
#endif

#if LOADS
    Sum loaded(const Operand& operand) {
        set_port(loaded_.operand, operand.words);
        loaded_.eval();
        return {get<State>(loaded_.state), loaded_.flags};
    }
#endif

  private:
    template <class V, class Port>
    static V get(const Port& port) {
        V v{};
        get_port(port, v.words);
        return v;
    }

    VerilatedContext context_;
    Vproduct product_{&context_};
    Vstep step_{&context_};
    Vcode code_{&context_};
#if FOLDS
    Vfolded folded_{&context_};
#endif
#if LOADS
    Vloaded loaded_{&context_};
#endif
};

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

// One comparison of a step (addend: a and b) or of a fold (addend: a chunk sum's code).
struct Comparison {
    bool is_fold;
    u128 acc, addend;
    uint32_t a, b, random;
    Result result;
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
    State state{};
    Operand operand{};
    Comparison comparison{};
    Result wanted{};
    bool compares = false;  // whether `comparison` is one that golden can check
};

// One thread's hardware, findings and counts.
struct Worker {
    Units units;
    Audit audit;
    Difference difference;
    uint64_t pairs = 0, sums = 0;
};

// Which random numbers each pair of a stochastic addition meets.
enum Numbers { EVERY, SWITCHES };

// Call visit(number) with each; with 0 where the hardware takes none. At switches one number more is drawn.
template <class Visit>
void each_number(Numbers which, const Target& target, const Addition& sum, uint64_t seed, Visit visit) {
    if constexpr (RANDOM_BITS == 0) {
        visit(0);
    } else if (which == EVERY) {
        for (uint64_t number = 0; number < uint64_t(1) << RANDOM_BITS; ++number) visit(static_cast<uint32_t>(number));
    } else {
        uint32_t numbers[MOST_SWITCHES + 1];
        int count = switch_numbers(target, sum, numbers);
        numbers[count++] = static_cast<uint32_t>(mix(seed) >> (64 - RANDOM_BITS));
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

    // Return what was counted since the last call: pairs, and sums, of which a pair has one for each random number.
    std::pair<uint64_t, uint64_t> take_counts() {
        uint64_t pairs = 0, sums = 0;
        for (Worker& worker : workers) {
            pairs += worker.pairs;
            sums += worker.sums;
            worker.pairs = worker.sums = 0;
        }
        return {pairs, sums};
    }
};

inline void report(Worker& worker, const char* what, const State& state, const Operand& operand) {
    worker.difference.found = true;
    worker.difference.what = what;
    worker.difference.state = state;
    worker.difference.operand = operand;
}

inline void report(Worker& worker, const char* what, const State& state, const Operand& operand,
                   const Comparison& comparison, const Result& wanted) {
    report(worker, what, state, operand);
    worker.difference.comparison = comparison;
    worker.difference.wanted = wanted;
    worker.difference.compares = true;
}

inline bool equal(const Result& x, const Result& y) { return x.code == y.code && x.flags == y.flags; }
