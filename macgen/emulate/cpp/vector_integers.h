// Matrix products of 16-bit integers, summed modulo 2^32: two products an instruction.
#pragma once

#include "vector_kernel.h"

namespace macgen {

typedef int16_t Shorts __attribute__((vector_size(vector_bytes)));
typedef int32_t Sums32 __attribute__((vector_size(vector_bytes)));

// sums + the two products of each lane's pairs
INLINE Sums32 add_pairs(Sums32 sums, Sums32 a, Sums32 b) {
#if defined(__AVX512F__) && defined(__AVX512VNNI__)
    __asm__("vpdpwssd %2, %1, %0" : "+v"(sums) : "v"(a), "v"(b));
    return sums;
#elif (defined(__AVX512F__) && defined(__AVX512BW__)) || (!defined(__AVX512F__) && defined(__AVX2__))
    Sums32 both;
    __asm__("vpmaddwd %2, %1, %0" : "=v"(both) : "v"(a), "v"(b));
    return (Sums32)((Bits<float>)sums + (Bits<float>)both);
#elif defined(__SSE2__) && !defined(__AVX__)
    __asm__("pmaddwd %1, %0" : "+x"(a) : "x"(b));
    return (Sums32)((Bits<float>)sums + (Bits<float>)a);
#else
    using U = Bits<float>;  // wraps; signed numbers must not
    const U low = (U)((Sums32)((U)a << 16) >> 16) * (U)((Sums32)((U)b << 16) >> 16);
    return (Sums32)((U)sums + low + (U)(a >> 16) * (U)(b >> 16));
#endif
}

template <int rows_, int vectors_, bool pairs>
struct IntegerKernel {
    static constexpr int rows = rows_, vectors = vectors_, lanes = vector_bytes / 4, width = vectors * lanes;
    using Sums = Sums32[rows][vectors];

    static NO_INLINE void tile(const Task& task, int64_t row, int64_t panel) {
        const int64_t top = row * rows, left = panel * width, span = (task.end - task.begin + 1) / 2 * 2;
        const int16_t* const b = (const int16_t*)task.panels + panel * span * width;
        const int16_t* a[rows];
        for (int i = 0; i < rows; i++) {
            const int64_t line = top + i < task.rows ? top + i : task.rows - 1;
            a[i] = (const int16_t*)task.left + (pairs ? panel * span * width : line * task.left_stride);
        }
        Sums sums = {};
        char* const carried = task.carry + (panel * ((task.rows + rows - 1) / rows) + row) * (int64_t)sizeof sums;
        if (task.begin > 0) __builtin_memcpy(&sums, carried, sizeof sums);
        for (int64_t k = 0; k < span; k += 2) {
            Sums32 of_panel[vectors];
            UNROLL
            for (int j = 0; j < vectors; j++) of_panel[j] = load<Sums32>(b + k * width + j * 2 * lanes);
            UNROLL
            for (int i = 0; i < rows; i++) {
                UNROLL
                for (int j = 0; j < vectors; j++) {
                    const Sums32 of_row =
                        pairs ? load<Sums32>(a[i] + k * width + j * 2 * lanes) : all<Sums32>(load<int32_t>(a[i] + k));
                    sums[i][j] = add_pairs(sums[i][j], of_row, of_panel[j]);
                }
            }
        }
        if (task.end < task.length) {
            __builtin_memcpy(carried, &sums, sizeof sums);
            return;
        }
        for (int i = 0; i < rows && top + i < task.rows; i++) {
            double* const to = task.results + (top + i) * task.result_row_stride + left * task.result_col_stride;
            const int64_t filled = task.columns - left < width ? task.columns - left : width;
            int32_t line[width];
            __builtin_memcpy(line, sums[i], sizeof line);
            const int unused = (int)task.sum.random_shift;  // top bits beyond the accumulator's
            if (task.sum.keep)                              // the accumulator is signed
                for (int j = 0; j < width; j++) line[j] = (int32_t)((uint32_t)line[j] << unused) >> unused;
            double values[width];
            if (task.sum.keep)
                for (int j = 0; j < width; j++) values[j] = line[j] * task.sum.unit;
            else
                for (int j = 0; j < width; j++)
                    values[j] = (double)((uint32_t)line[j] << unused >> unused) * task.sum.unit;
            for (int64_t j = 0; j < filled; j++) to[j * task.result_col_stride] = values[j];
        }
    }

    static void run(const Task& task) {
        const int64_t row_tiles = (task.rows + rows - 1) / rows;
        const int64_t together = (1 << 19) / ((task.end - task.begin) * rows * width) + 1;
        side_by_side((task.tiles + together - 1) / together, task.threads, [&](int64_t index) {
            const int64_t first = task.first_tile + index * together, last = task.first_tile + task.tiles;
            for (int64_t t = first; t < first + together && t < last; t++) tile(task, t % row_tiles, t / row_tiles);
        });
    }
};

}  // namespace macgen
