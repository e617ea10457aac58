// Proof by induction: from given states, every state that is reached meets every addend, until no new ones appear.

#pragma once

#include "crew.h"

// A number in one form for equal values; with its reference exponent where sums are aligned by those.
inline Number canonical(Number n) {
    if (SPEC.lane_sum != EXPONENTS && SPEC.lane_sum != BULK) n.reference = 0;
    if (n.kind == QUIET_NAN || n.kind == SIGNALLING_NAN) return {n.kind, false, 0, 0};
    if (n.kind == INFINITE) return {n.kind, n.negative, 0, 0};
    if (n.magnitude == 0) return {NUMBER, false, 0, 0, n.reference};
    while ((n.magnitude & 1) == 0) {
        n.magnitude >>= 1;
        ++n.exponent;
    }
    return n;
}

inline bool equal(const Number& x, const Number& y) {
    return x.kind == y.kind && x.negative == y.negative && x.magnitude == y.magnitude && x.exponent == y.exponent &&
           x.reference == y.reference;
}

inline uint64_t hash(const Number& n) {
    const uint64_t tag = uint64_t(uint32_t(n.exponent)) << 8 | uint64_t(n.kind) << 1 | uint64_t(n.negative);
    return mix(uint64_t(n.magnitude) ^ mix(uint64_t(n.magnitude >> 64)) ^ mix(tag + uint32_t(n.reference)));
}

// What of a step's products counts: numbers in one form for equal values, and the flags that their roundings raise. An
// exact sum is one number, or one infinity of each sign.
struct Meaning {
    static constexpr bool CUTS = SPEC.lane_sum == ALIGNED || SPEC.lane_sum == EXPONENTS;
    static constexpr int ADDENDS = CUTS ? LANES / SPEC.group : SPEC.lane_sum == FUSED && LANES > 1 ? 2 : 1;
    Number addends[ADDENDS];
    unsigned flags = 0;

    explicit Meaning(const Lanes& lanes) {
        Number products[MOST_LANES];
        const int count = addends_of(lanes, products, flags);
        for (int i = 0; i < count; ++i) products[i] = canonical(products[i]);
        if constexpr (CUTS) {
            std::copy(products, products + ADDENDS, addends);
        } else if constexpr (SPEC.lane_sum == BULK) {
            addends[0] = canonical(add_in_bulk(SPEC.acc, SPEC.aligned_bits, products, LANES, flags));
        } else if constexpr (LANES == 1) {
            addends[0] = products[0];
        } else if constexpr (SPEC.lane_sum == TREE) {
            addends[0] = canonical(add_tree(SPEC.acc, products, LANES, flags));
        } else {
            add_exactly(products);
        }
    }

    // The sum of an accumulator and the products, before it is rounded.
    ExactSum added_to(const Number& acc) const {
        if constexpr (SPEC.lane_sum == ALIGNED) {
            Number all[ADDENDS + 1] = {acc};
            std::copy(addends, addends + ADDENDS, all + 1);
            return add_aligned(SPEC.acc, SPEC.aligned_bits, all, ADDENDS + 1);
        } else if constexpr (SPEC.lane_sum == EXPONENTS) {
            Number all[ADDENDS + 1] = {acc};
            std::copy(addends, addends + ADDENDS, all + 1);
            return add_by_exponents(SPEC.acc, SPEC.aligned_bits, all, ADDENDS + 1);
        } else if constexpr (ADDENDS == 1) {
            return add(SPEC.acc, acc, addends[0]);
        } else {
            return add_all(SPEC.acc, acc, addends, ADDENDS);
        }
    }

    // Whether what is added is finite and not 0, where nothing is cut.
    bool counts() const {
        bool some = false;
        for (const Number& addend : addends) {
            if (addend.kind != NUMBER) return false;
            some |= !is_zero(addend);
        }
        return some;
    }

    bool operator==(const Meaning& other) const {
        for (int i = 0; i < ADDENDS; ++i) {
            if (!equal(addends[i], other.addends[i])) return false;
        }
        return flags == other.flags;
    }

  private:
    // Of narrow operands, whose sum is an integer of 128 bits.
    void add_exactly(const Number* products) {
        const Number zero{NUMBER, false, 0, 0};
        std::fill(addends, addends + ADDENDS, zero);
        int lowest = INT32_MAX;
        Kind worst = NUMBER;
        for (int i = 0; i < LANES; ++i) {
            if (products[i].kind == INFINITE) addends[products[i].negative] = products[i];
            if (products[i].kind > worst) worst = products[i].kind;
            if (products[i].kind == NUMBER && !is_zero(products[i])) lowest = std::min(lowest, products[i].exponent);
        }
        if (worst > INFINITE) {
            std::fill(addends, addends + ADDENDS, zero);
            addends[0] = {worst, false, 0, 0};
        } else if (worst == NUMBER && lowest != INT32_MAX) {
            addends[0] = canonical(exact_sum<u128>(products, LANES, lowest));
        }
    }
};

inline uint64_t hash(const Meaning& meaning) {
    uint64_t h = meaning.flags;
    for (const Number& addend : meaning.addends) h = mix(h ^ hash(addend));
    return h;
}

// What the hardware makes of a step's operands, what they mean, and the first operands of which it is so.
struct Product {
    Made made;
    Meaning meaning;
    Lanes lanes;

    bool operator==(const Product& other) const { return made == other.made && meaning == other.meaning; }
    bool before(const Product& other) const {
        const auto words = [](const Lanes& x) { return reinterpret_cast<const uint32_t*>(&x); };
        constexpr size_t count = sizeof(Lanes) / sizeof(uint32_t);
        return std::lexicographical_compare(words(lanes), words(lanes) + count, words(other.lanes),
                                            words(other.lanes) + count);
    }
};

inline uint64_t hash(const Product& product) {
    return mix(hash(product.made.operand) ^ mix(product.made.flags) ^ hash(product.meaning));
}

// A chunk sum with its scales, as the outer adder and the contract see it, and what it is made of.
struct ScaledSum {
    FoldOperand operand;
    Number number;
    u128 inner;
    uint32_t a_scale, b_scale;

    bool operator==(const ScaledSum& other) const { return operand == other.operand && equal(number, other.number); }
    bool before(const ScaledSum& other) const {
        if (inner != other.inner) return inner < other.inner;
        return a_scale != other.a_scale ? a_scale < other.a_scale : b_scale < other.b_scale;
    }
};

inline uint64_t hash(const ScaledSum& sum) { return mix(hash(sum.operand) ^ hash(sum.number)); }

// Gathers distinct things, of equal ones the first in their order.
//
// Where two make the same operand of the same meaning, the rest of the hardware and the contract see no difference
// between them, so that one stands for both.
template <class Thing>
class Gatherer {
  public:
    explicit Gatherer(size_t threads) : tables_(threads) {}

    size_t size(size_t thread) const { return tables_[thread].keys.size(); }
    void add(size_t thread, const Thing& thing) { put(tables_[thread], thing); }

    std::vector<Thing> all() {
        Table<Thing> all;
        for (const Table<Thing>& table : tables_) {
            for (const Thing& thing : table.keys) put(all, thing);
        }
        std::sort(all.keys.begin(), all.keys.end(), [](const Thing& x, const Thing& y) { return x.before(y); });
        return std::move(all.keys);
    }

  private:
    std::vector<Table<Thing>> tables_;

    static void put(Table<Thing>& table, const Thing& thing) {
        const long place = table.find(thing);
        if (place < 0) {
            table.append(thing);
        } else if (Thing& known = table.keys[place]; thing.before(known)) {
            known = thing;
        }
    }
};

// Bits of all codes that a step takes.
constexpr int OPERAND_CODE_BITS = LANES * (SPEC.a.width + SPEC.b.width) + LANE_SCALES * 2 * SPEC.scale.width;

// Drive every combination of operand codes; return each distinct product once.
inline std::vector<Product> all_products(Crew& crew) {
    Gatherer<Product> found(crew.workers.size());
    const size_t rows = size_t(1) << SPEC.a.width, columns = size_t(1) << (OPERAND_CODE_BITS - SPEC.a.width);
    crew.each_row(rows, [&](Worker& worker, size_t row) {
        for (size_t column = 0; column < columns; ++column) {
            Lanes lanes{};
            size_t rest = column << SPEC.a.width | row;
            auto take = [&](uint32_t& code, const Format& f) {
                code = static_cast<uint32_t>(rest & static_cast<size_t>(ones(f.width)));
                rest >>= f.width;
            };
            for (int i = 0; i < LANES; ++i) {
                take(lanes.a[i], SPEC.a);
                take(lanes.b[i], SPEC.b);
            }
            for (int i = 0; i < LANE_SCALES; ++i) {
                take(lanes.a_scale[i], SPEC.scale);
                take(lanes.b_scale[i], SPEC.scale);
            }
            found.add(&worker - crew.workers.data(), {worker.units.product(lanes), Meaning(lanes), lanes});
            ++worker.pairs;
            ++worker.sums;
        }
    });
    return found.all();
}

// Reached states. A loaded -0 has the code of +0 in the contract (`codes`), as nothing but the adder ever sees it.
template <class StateType>
struct StatesOf {
    Table<StateType> table;
    std::vector<u128> codes, outputs;

    void append(const StateType& state, u128 code, u128 output) {
        table.append(state);
        codes.push_back(code);
        outputs.push_back(output);
    }

    void append_new(const StateType& state, u128 code) {
        if (table.find(state) < 0) append(state, code, code);
    }

    size_t size() const { return codes.size(); }
};

using States = StatesOf<State>;
using Totals = StatesOf<TotalState>;

// Close `states` from `first` on under all columns.
//
// Hardware: `code(units, state)`, `RoundedSum rounded_sum`, `int random_bits`.
// bool counts(units, place): whether a state is not as good as an earlier one; asked of each in order.
// Row row_of(units, place): what is prepared once for a state. Of it and a column it tells
// - exactly: the sum before it is rounded; swamps: the event of the rounded one; wanted_flags: the contract's flags
//   before the addition; made_flags: the hardware's;
// - state_of, operand_of: what the adder takes; evaluate (with units and a random number): what it gives;
// - describe: the addition as a Comparison; audits: whether golden may repeat it.
template <class Hardware, class StateType, class Counts, class RowOf>
bool close(Crew& crew, StatesOf<StateType>& states, size_t first, size_t columns, const char* what, Numbers numbers,
           Counts counts, RowOf row_of) {
    struct Found {
        Table<StateType> table;
        std::vector<u128> outputs;
    };
    while (first < states.size()) {
        const size_t last = states.size();
        std::vector<Found> found(crew.workers.size());
        std::vector<size_t> places;
        for (size_t place = first; place < last; ++place) {
            if (counts(crew.workers[0].units, place)) places.push_back(place);
        }
        const bool passed = crew.each_row(places.size(), [&](Worker& worker, size_t index) {
            Found& mine = found[&worker - crew.workers.data()];
            const auto row = row_of(worker.units, places[index]);
            auto compare = [&](size_t column, const ExactSum& exact, uint32_t random) {
                const SumOf<StateType> sum = row.evaluate(worker.units, column, random);
                const long place = states.table.find(sum.state);
                u128 output, code;
                if (place >= 0) {
                    output = states.outputs[place];
                    code = states.codes[place];
                } else {
                    long own = mine.table.find(sum.state);
                    if (own < 0) {
                        own = mine.table.append(sum.state);
                        mine.outputs.push_back(Hardware::code(worker.units, sum.state));
                    }
                    output = code = mine.outputs[own];
                }
                Result wanted = rounded(Hardware::rounded_sum, exact, random);
                wanted.flags |= row.swamps(column, wanted) | row.wanted_flags(column);
                const Result got{output, sum.flags | row.made_flags(column)};
                ++worker.sums;
                auto comparison = [&] {
                    Comparison made = row.describe(column);
                    made.random = random;
                    made.result = got;
                    return made;
                };
                if (!equal(got, wanted) || code != output) {
                    worker.difference.column = column;
                    report(worker, what, row.state_of(column), row.operand_of(column), comparison(), wanted);
                    return;
                }
                if (row.audits(column)) worker.audit.offer(comparison);
            };
            for (size_t column = 0; column < columns && !worker.difference.found; ++column) {
                const ExactSum exact = row.exactly(column);
                ++worker.pairs;
                each_number<Hardware::random_bits>(
                    numbers, Hardware::rounded_sum, exact, places[index] * columns + column, [&](uint32_t random) {
                        if (!worker.difference.found) compare(column, exact, random);
                    });
            }
        });
        if (!passed) return false;
        std::vector<std::pair<StateType, u128>> fresh;
        for (const Found& part : found) {
            for (size_t i = 0; i < part.outputs.size(); ++i) fresh.emplace_back(part.table.keys[i], part.outputs[i]);
        }
        std::sort(fresh.begin(), fresh.end(), [](const auto& x, const auto& y) { return x.first < y.first; });
        first = last;
        for (const auto& [state, output] : fresh) states.append_new(state, output);
    }
    return true;
}

struct StepHardware {
    static constexpr RoundedSum rounded_sum = SPEC.acc;
    static constexpr int random_bits = STEP_RANDOM_BITS;
    static u128 code(Units& units, const State& state) { return units.code(state); }
};

#if FOLDS || OUTER
struct FoldHardware {
    static constexpr RoundedSum rounded_sum = FOLD;
    static constexpr int random_bits = OUTER ? OUTER_RANDOM_BITS : STEP_RANDOM_BITS;
    static u128 code(Units& units, const TotalState& total) { return units.total_code(total); }
};
#endif
