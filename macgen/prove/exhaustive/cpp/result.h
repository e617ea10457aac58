// What a proof did and found, as it is written to the result file: JSON.

#pragma once

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "crew.h"

// A part of the proof.
struct Phase {
    const char* name;
    uint64_t states = 0, addends = 0;
    bool complete = true;
    const char* numbers = "";
    uint64_t pairs = 0, sums = 0;
    double seconds = 0;
};

// Which random numbers were driven, in the names of the result.
template <int BITS>
const char* name_of(Numbers numbers) {
    return BITS == 0 ? "" : numbers == EVERY ? "every" : "switches";
}

template <int BITS>
constexpr const char* DRAWN = BITS ? "drawn" : "";

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

inline std::string hex(const uint64_t* words, int count) {
    std::string text;
    for (int i = count - 1; i >= 0; --i) {
        char digits[17];
        std::snprintf(digits, sizeof digits, text.empty() ? "%llx" : "%016llx", static_cast<unsigned long long>(words[i]));
        if (words[i] != 0 || !text.empty() || i == 0) text += digits;
    }
    return "\"0x" + text + "\"";
}

inline std::string hex(u128 x) {
    const uint64_t words[2] = {static_cast<uint64_t>(x), static_cast<uint64_t>(x >> 64)};
    return hex(words, 2);
}

inline std::string list(const uint32_t* codes, int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += (i ? ", " : "") + std::to_string(codes[i]);
    return "[" + text + "]";
}

inline std::string json(const Comparison& c) {
    const char* const names[] = {"step", "result", "fold", "start"};
    return "{\"what\": \"" + std::string(names[c.what]) + "\", \"acc\": " + hex(c.acc) + ", \"addend\": " +
           hex(c.addend) + ", \"a\": " + list(c.lanes.a, LANES) + ", \"b\": " + list(c.lanes.b, LANES) + ", \"a_scales\": " +
           list(c.lanes.a_scale, LANE_SCALES) + ", \"b_scales\": " + list(c.lanes.b_scale, LANE_SCALES) + ", \"a_scale\": " +
           std::to_string(c.a_scale) + ", \"b_scale\": " + std::to_string(c.b_scale) + ", \"random\": " +
           std::to_string(c.random) + ", \"code\": " + hex(c.result.code) + ", \"flags\": " +
           std::to_string(c.result.flags) + "}";
}

// Write what was driven and compared, and the first difference if there is one.
inline void write_result(const char* path, const std::vector<Phase>& phases, const Crew& crew) {
    std::FILE* file = std::fopen(path, "w");
    if (file == nullptr) {
        std::perror("error: the result cannot be written");
        std::exit(2);
    }
    std::fputs("{\"phases\": [", file);
    const char* comma = "";
    for (const Phase& p : phases) {
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
    for (const Worker& worker : crew.workers) {
        for (const Comparison& c : worker.audit.kept) {
            std::fprintf(file, "%s\n%s", comma, json(c).c_str());
            comma = ",";
        }
    }
    std::fputs("],\n\"difference\": ", file);
    const Difference& d = crew.difference;
    if (d.found) {
        std::fprintf(file,
                     "{\"what\": \"%s\", \"compares\": %s, \"state\": %s, \"operand\": %s, \"comparison\": %s, "
                     "\"code\": %s, \"flags\": %u}",
                     d.what, d.compares ? "true" : "false", hex(d.state.data(), static_cast<int>(d.state.size())).c_str(),
                     hex(d.operand.data(), static_cast<int>(d.operand.size())).c_str(), json(d.comparison).c_str(),
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
