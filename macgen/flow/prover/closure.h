// Proof by induction: from given states, every state that is reached meets every addend, until no new ones appear.

#pragma once

#include "units.h"

// What of a product counts, in one form for equal values.
struct Meaning {
    Number number;

    explicit Meaning(Number n) : number(n) {
        if (n.kind == QUIET_NAN || n.kind == SIGNALLING_NAN) number = {n.kind, false, 0, 0};
        if (n.kind == INFINITE) number = {n.kind, n.negative, 0, 0};
        if (n.kind != NUMBER) return;
        if (n.magnitude == 0) {
            number = {NUMBER, false, 0, 0};
            return;
        }
        while ((number.magnitude & 1) == 0) {
            number.magnitude >>= 1;
            ++number.exponent;
        }
    }

    bool operator==(const Meaning& other) const {
        return number.kind == other.number.kind && number.negative == other.number.negative &&
               number.magnitude == other.number.magnitude && number.exponent == other.number.exponent;
    }
};

// An operand of the adder, the product that it stands for, and the least codes that make it.
struct Product {
    Operand operand;
    Meaning meaning;
    uint32_t a, b;

    bool operator==(const Product& other) const { return operand == other.operand && meaning == other.meaning; }
};

inline uint64_t hash(const Product& product) {
    const Number& n = product.meaning.number;
    const uint64_t tag = uint64_t(uint32_t(n.exponent)) << 8 | uint64_t(n.kind) << 1 | uint64_t(n.negative);
    return mix(hash(product.operand) ^ mix(uint64_t(n.magnitude)) ^ mix(tag));
}

// Drive every pair of operand codes; return each distinct product once.
//
// Where two pairs make the same operand of the same product, the rest of the hardware and the contract see no
// difference between them, so that one stands for both.
inline std::vector<Product> all_products(Crew& crew) {
    std::vector<Table<Product>> tables(crew.workers.size());
    crew.each_row(size_t(1) << SPEC.a.width, [&](Worker& worker, size_t row) {
        Table<Product>& table = tables[&worker - crew.workers.data()];
        const uint32_t a = static_cast<uint32_t>(row);
        const Number number = decode(SPEC.a, a);
        for (uint32_t b = 0; b < uint32_t(1) << SPEC.b.width; ++b) {
            const Product product{worker.units.product(a, b), Meaning(multiply(number, decode(SPEC.b, b))), a, b};
            const long place = table.find(product);
            if (place < 0) {
                table.append(product);
            } else if (Product& known = table.keys[place]; a < known.a) {
                known = product;
            }
            ++worker.pairs;
            ++worker.sums;
        }
    });
    Table<Product> all;
    for (const Table<Product>& table : tables) {
        for (const Product& product : table.keys) {
            const long place = all.find(product);
            if (place < 0) {
                all.append(product);
            } else if (Product& known = all.keys[place]; product.a < known.a) {
                known = product;
            }
        }
    }
    std::sort(all.keys.begin(), all.keys.end(), [](const Product& x, const Product& y) {
        return x.a != y.a ? x.a < y.a : x.b < y.b;
    });
    return all.keys;
}

// Reached states. A loaded -0 has the code of +0 in the contract (`codes`), as nothing but the adder ever sees it.
struct States {
    Table<State> table;
    std::vector<u128> codes, outputs;

    void append(const State& state, u128 code, u128 output) {
        table.append(state);
        codes.push_back(code);
        outputs.push_back(output);
    }

    size_t size() const { return codes.size(); }
};

// Close `states` from `first` on under all columns.
//
// bool counts(units, place): whether a state is not as good as an earlier one; asked of each in order.
// Row row_of(units, place): what is prepared once for a state.
// Addition exactly(row, column): the sum before it is rounded.
// Sum evaluate(units, row, column, random), Comparison describe(row, column): one addition.
template <class Counts, class RowOf, class Exactly, class Evaluate, class Describe>
bool close(Crew& crew, States& states, size_t first, size_t columns, const char* what, Numbers numbers,
           const Target& target, Counts counts, RowOf row_of, Exactly exactly, Evaluate evaluate,
           Describe describe) {
    struct Found {
        Table<State> table;
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
            auto compare = [&](size_t column, const Addition& exact, uint32_t random) {
                const Sum sum = evaluate(worker.units, row, column, random);
                const long place = states.table.find(sum.state);
                u128 output, code;
                if (place >= 0) {
                    output = states.outputs[place];
                    code = states.codes[place];
                } else {
                    long own = mine.table.find(sum.state);
                    if (own < 0) {
                        own = mine.table.append(sum.state);
                        mine.outputs.push_back(worker.units.code(sum.state));
                    }
                    output = code = mine.outputs[own];
                }
                const Result wanted = rounded(target, exact, random), got{output, sum.flags};
                ++worker.sums;
                auto comparison = [&] {
                    Comparison made = describe(row, column);
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
                const Addition exact = exactly(row, column);
                ++worker.pairs;
                each_number(numbers, target, exact, places[index] * columns + column, [&](uint32_t random) {
                    if (!worker.difference.found) compare(column, exact, random);
                });
            }
        });
        if (!passed) return false;
        std::vector<std::pair<State, u128>> fresh;
        for (const Found& part : found) {
            for (size_t i = 0; i < part.outputs.size(); ++i) fresh.emplace_back(part.table.keys[i], part.outputs[i]);
        }
        std::sort(fresh.begin(), fresh.end(), [](const auto& x, const auto& y) { return x.first < y.first; });
        first = last;
        for (const auto& [state, output] : fresh) {
            if (states.table.find(state) < 0) states.append(state, output, output);
        }
    }
    return true;
}
