// Streams the tiles of a matrix product through an array and writes its results.
// Arguments: files of operands a and b and of results, tiles in all, columns of tiles, beats of a tile, percentages of
// gaps of stream a, of stream b, of cycles in which results are not taken, seed, mode.
// The last line on standard output: cycles before the first beat, cycles from it to the last result, cycles among them
// without operands on offer, cycles in which results wait.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "ports.h"

namespace {

constexpr uint64_t PATIENCE = 100000;  // cycles without a beat or a result

using Words = std::vector<uint32_t>;

// Ports of up to 64 bits, and wider ones, from and to words of 32 bits.
template <typename Port>
void put(Port& port, const uint32_t* words) {
    uint64_t value = words[0];
    if (sizeof(Port) > 4) value |= uint64_t(words[1]) << 32;
    port = static_cast<Port>(value);
}

template <std::size_t COUNT>
void put(VlWide<COUNT>& port, const uint32_t* words) {
    for (std::size_t i = 0; i < COUNT; ++i) port[i] = words[i];
}

template <typename Port>
void get(const Port& port, uint32_t* words) {
    words[0] = static_cast<uint32_t>(port);
    if (sizeof(Port) > 4) words[1] = static_cast<uint32_t>(uint64_t(port) >> 32);
}

template <std::size_t COUNT>
void get(const VlWide<COUNT>& port, uint32_t* words) {
    for (std::size_t i = 0; i < COUNT; ++i) words[i] = port[i];
}

bool read_words(const char* path, Words& words) {
    std::FILE* file = std::fopen(path, "rb");
    if (!file) return false;
    std::fseek(file, 0, SEEK_END);
    words.resize(static_cast<std::size_t>(std::ftell(file)) / sizeof(uint32_t));
    std::rewind(file);
    const bool whole = std::fread(words.data(), sizeof(uint32_t), words.size(), file) == words.size();
    std::fclose(file);
    return whole;
}

// Chances in per cent (Marsaglia's xorshift64).
class Chance {
  public:
    explicit Chance(uint64_t seed) : state_(seed * 2 + 1) {}

    bool operator()(unsigned percent) {
        if (percent == 0) return false;
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return (state_ >> 32) % 100 < percent;
    }

  private:
    uint64_t state_;
};

// The beats in their order: of each round of tiles, of each step, of each turn.
class Beats {
  public:
    Beats(uint64_t tiles, uint64_t tile_cols, uint64_t steps)
        : tiles_(tiles), tile_cols_(tile_cols), steps_(steps), rounds_((tiles + TURNS - 1) / TURNS) {}

    uint64_t count() const { return rounds_ * steps_ * TURNS; }
    uint64_t results() const { return rounds_ * ROWS * TURNS; }
    bool last(uint64_t beat) const { return beat / TURNS % steps_ == steps_ - 1; }

    // Where the words of a beat begin: those of a row of tiles, of a column. After all of them come those that pad.
    uint64_t of_a(uint64_t beat) const { return place(beat, tile(beat) / tile_cols_, (tiles_ - 1) / tile_cols_ + 1); }
    uint64_t of_b(uint64_t beat) const { return place(beat, tile(beat) % tile_cols_, tile_cols_); }

  private:
    uint64_t tiles_, tile_cols_, steps_, rounds_;

    uint64_t tile(uint64_t beat) const { return beat / (steps_ * TURNS) * TURNS + beat % TURNS; }
    uint64_t place(uint64_t beat, uint64_t band, uint64_t padding) const {
        return (tile(beat) < tiles_ ? band : padding) * steps_ + beat / TURNS % steps_;
    }
};

int run(char** arguments) {
    Words a, b;
    if (!read_words(arguments[1], a) || !read_words(arguments[2], b)) return std::perror("error: operands"), 2;
    std::FILE* results = std::fopen(arguments[3], "wb");
    if (!results) return std::perror("error: results"), 2;
    const auto number = [&](int index) { return std::strtoull(arguments[index], nullptr, 10); };
    const Beats beats(number(4), number(5), number(6));
    const unsigned a_gaps = number(7), b_gaps = number(8), waits = number(9);
    Chance chance(number(10));

    VerilatedContext context;
    Varray array(&context);
    const auto clock = [&] {
        array.CLOCK = 1;
        array.eval();
        array.CLOCK = 0;
    };
    array.CLOCK = array.a_valid = array.b_valid = array.c_ready = array.a_first = array.a_last = 0;
#if MODES
    array.a_mode = static_cast<decltype(array.a_mode + 0)>(number(11));
#endif
#if COUNTERS
    array.count_clear = 0;
#endif
#ifdef ENABLE
    array.ENABLE = 1;
#endif
    array.RESET = IN_RESET;
    array.eval();
    for (int cycle = 0; cycle < 2; ++cycle) clock(), array.eval();
    array.RESET = OUT_OF_RESET;

    uint64_t sent = 0, received = 0, before = 0, cycles = 0, gaps = 0, waiting = 0, quiet = 0;
    uint32_t row[C_WORDS + F_WORDS];
    while (received < beats.results()) {
        const bool more = sent < beats.count();
        if (!array.a_valid && more && !chance(a_gaps)) {
            const uint32_t* words = &a[beats.of_a(sent) * (A_WORDS + A_SCALE_WORDS)];
            put(array.a_data, words);
#if SCALES
            put(array.a_scale, words + A_WORDS);
#endif
            array.a_last = beats.last(sent);
            array.a_valid = 1;
        }
        if (!array.b_valid && more && !chance(b_gaps)) {
            const uint32_t* words = &b[beats.of_b(sent) * (B_WORDS + B_SCALE_WORDS)];
            put(array.b_data, words);
#if SCALES
            put(array.b_scale, words + B_WORDS);
#endif
            array.b_valid = 1;
        }
        array.c_ready = !chance(waits);
        array.eval();

        const bool offered = array.a_valid && array.b_valid;
        const bool beat = offered && array.a_ready, result = array.c_valid && array.c_ready;
        if (sent == 0 && !beat) {
            ++before;
        } else {
            ++cycles;
            gaps += more && !offered;
            waiting += array.c_valid && !array.c_ready;
        }
        if (result) {
            get(array.c_data, row);
            get(array.c_flags, row + C_WORDS);
            if (std::fwrite(row, sizeof row, 1, results) != 1) return std::perror("error: results"), 2;
            ++received;
        }
        quiet = beat || result ? 0 : quiet + 1;
        if (quiet > PATIENCE) {
            std::printf("error: nothing moved for %llu cycles: %llu beats taken, %llu result beats received\n",
                        static_cast<unsigned long long>(PATIENCE), static_cast<unsigned long long>(sent),
                        static_cast<unsigned long long>(received));
            return 1;
        }
        clock();
        if (beat) {
            ++sent;
            array.a_valid = array.b_valid = 0;
        }
    }
    if (std::fclose(results)) return std::perror("error: results"), 2;
    for (uint64_t count : {before, cycles, gaps, waiting}) std::printf("%llu ", static_cast<unsigned long long>(count));
    std::printf("\n");
    return 0;
}

}  // namespace

int main(int count, char** arguments) { return count == 12 ? run(arguments) : 2; }
