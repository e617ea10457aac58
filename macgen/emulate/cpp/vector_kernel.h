// Matrix products tile by tile: chunks, folds, scales and results. A kernel is these templates with a spec's rules; its
// numbers are in the task, so that formats with the same rules share a kernel.
#pragma once

#include "threads.h"
#include "vector_steps.h"

namespace macgen {

enum class Fold { none, own, apart };
enum class RandomPlace { nowhere, steps, chunks };

// One block of a matrix product; macgen/emulate/vector_kernel.py fills it in.
struct Task {
    const void* left;        // (rows, left_stride) in the carrier; of pairs, panels
    const void* panels;      // (panels, end - begin, width) in the carrier
    const void* left_exponents;   // (rows, groups) words of reference exponents; of pairs, as those of panels
    const void* panel_exponents;  // (panels, groups, width); a group is one product where there are none
    double* results;         // (rows, columns) with the strides
    const void* row_scales;  // (rows, scale_stride) in the outer carrier
    const void* col_scales;  // (chunks, padded columns) in the outer carrier
    const uint32_t* states;  // (rows, columns) with the strides
    char* carry;             // what tiles need from block to block of their length
    int64_t rows, columns, left_stride;
    int64_t result_row_stride, result_col_stride;
    int64_t scale_stride, col_scale_stride;
    int64_t state_row_stride, state_col_stride;
    int64_t begin, end, length;    // the products of this block, of all
    int64_t chunk, lanes, copies;  // copies: whether the first chunk's sum is copied to the outer accumulator
    int64_t first_tile, tiles, threads;
    Constants product, sum, outer;
    Alignment alignment;
};

// A place that rounds nothing.
template <class T>
struct Exact {
    static constexpr bool exact = true;
    explicit Exact(const Constants&) {}
    INLINE Vector<T> round(Vector<T> x, Bits<T>) const { return x; }
    INLINE Vector<T> add(Vector<T> x, Vector<T>, Bits<T>) const { return x; }
};

template <class Steps_, int rows_, int vectors_, bool pairs, Mode mode, Fold fold, class Outer_, class OuterSum,
          Mode outer_mode, bool scaled, RandomPlace random_place, class Random>
struct Kernel {
    using T = typename Steps_::T;
    using V = Vector<T>;
    using O = Outer_;  // the outer accumulator's carrier
    using VO = Vector<O>;
    static constexpr int rows = rows_, vectors = vectors_, lanes = Carrier<T>::lanes, width = vectors * lanes;
    static constexpr int outer_vectors = width / Carrier<O>::lanes;

    using StepRandom = typename Either<random_place == RandomPlace::steps, Random, NoRegisters>::type;
    using ChunkRandom = typename Either<random_place == RandomPlace::chunks, Random, NoRegisters>::type;

    struct Sums {
        V inner[rows][vectors];
        VO outer[rows][outer_vectors];
        uint32_t states[rows][width];
    };

    // One tile: its row and its panel.
    static NO_INLINE void tile(const Task& task, const Steps_& given, const OuterSum& outer_sum, int64_t row,
                               int64_t panel) {
        const Steps_ steps = given;
        const int64_t top = row * rows, left = panel * width, span = task.end - task.begin;
        Operands<T, rows, vectors, pairs> from;
        from.panel = (const T*)task.panels + panel * span * width;
        for (int i = 0; i < rows; i++) {
            const int64_t line = top + i < task.rows ? top + i : task.rows - 1;
            from.left[i] = (const T*)task.left + (pairs ? panel * span * width : line * task.left_stride);
        }
        typename Steps_::SourceExponents exponents;
        if constexpr (Steps_::by_exponents) {
            const int64_t groups = span / Steps_::group_size;
            exponents.panel = (const char*)task.panel_exponents + panel * groups * width * 2;
            for (int i = 0; i < rows; i++) {
                const int64_t line = top + i < task.rows ? top + i : task.rows - 1;
                exponents.left[i] =
                    (const char*)task.left_exponents + (pairs ? panel * groups * width * 2 : line * groups * 4);
            }
        }
        Sums sums;
        char* const carried = task.carry + (panel * ((task.rows + rows - 1) / rows) + row) * (int64_t)sizeof(Sums);
        if (task.begin > 0)
            __builtin_memcpy(&sums, carried, sizeof sums);
        else
            start(task, sums, top, left);
        V inner[rows][vectors];
        States<T> states[rows][vectors];
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < vectors; j++) {
                inner[i][j] = sums.inner[i][j];
                states[i][j] = load<States<T>>(&sums.states[i][j * lanes]);
            }
        for (int64_t k = task.begin; k < task.end;) {
            const int64_t index = k / task.chunk, chunk_end = (index + 1) * task.chunk;
            const int64_t full = chunk_end < task.length ? chunk_end : task.length;
            const int64_t stop = full < task.end ? full : task.end;
            steps.template take<StepRandom>(inner, states, from, exponents, k - task.begin, stop - task.begin, task.lanes);
            k = stop;
            if (fold == Fold::none || stop < full) continue;
            if constexpr (fold == Fold::own) {
                for (int i = 0; i < rows; i++)
                    for (int j = 0; j < vectors; j++) {
                        V& outer = sums.outer[i][j];
                        if (index == 0)
                            outer = inner[i][j];
                        else
                            outer = steps.sum.add(outer, inner[i][j], as_bits<T>(StepRandom::draw(states[i][j])));
                        inner[i][j] = V{};
                    }
            } else {
                for (int i = 0; i < rows; i++)
                    for (int j = 0; j < vectors; j++) {
                        sums.inner[i][j] = inner[i][j];
                        inner[i][j] = V{};
                    }
                if constexpr (random_place == RandomPlace::steps)
                    for (int i = 0; i < rows; i++)
                        for (int j = 0; j < vectors; j++) store(&sums.states[i][j * lanes], states[i][j]);
                add_chunk(task, outer_sum, sums, top, left, index);
                if constexpr (random_place == RandomPlace::steps)
                    for (int i = 0; i < rows; i++)
                        for (int j = 0; j < vectors; j++) states[i][j] = load<States<T>>(&sums.states[i][j * lanes]);
            }
        }
        if (task.end < task.length) {
            for (int i = 0; i < rows; i++)
                for (int j = 0; j < vectors; j++) {
                    sums.inner[i][j] = inner[i][j];
                    if constexpr (random_place == RandomPlace::steps) store(&sums.states[i][j * lanes], states[i][j]);
                }
            __builtin_memcpy(carried, &sums, sizeof sums);
        } else if constexpr (fold == Fold::none) {
            finish<T, vectors>(task, inner, top, left);
        } else {
            finish<O, outer_vectors>(task, sums.outer, top, left);
        }
    }

    static void run(const Task& task) {
        const int64_t row_tiles = (task.rows + rows - 1) / rows;
        // Some tiles of a panel at a time, so that threads ask seldom.
        const int64_t together = (1 << 18) / ((task.end - task.begin) * rows * width) + 1;
        side_by_side((task.tiles + together - 1) / together, task.threads, [&](int64_t index) {
            const RoundingMode set(mode);
            const Steps_ steps(task.product, task.sum, task.alignment);
            const OuterSum outer_sum(task.outer);
            const int64_t first = index * together;
            const int64_t stop = first + together < task.tiles ? first + together : task.tiles;
            for (int64_t t = task.first_tile + first; t < task.first_tile + stop; t++)
                tile(task, steps, outer_sum, t % row_tiles, t / row_tiles);
        });
    }

  private:
    static void start(const Task& task, Sums& sums, int64_t top, int64_t left) {
        __builtin_memset(&sums, 0, sizeof sums);
        if constexpr (Random::used) {
            for (int i = 0; i < rows && top + i < task.rows; i++)
                for (int j = 0; j < width && left + j < task.columns; j++)
                    sums.states[i][j] =
                        task.states[(top + i) * task.state_row_stride + (left + j) * task.state_col_stride];
        }
    }

    // The adder of chunk sums that is not the steps' own.
    static NO_INLINE void add_chunk(const Task& task, const OuterSum& adder, Sums& sums, int64_t top, int64_t left,
                                    int64_t index) {
        const RoundingMode set(outer_mode);
        add_chunk_in_mode(task, adder, sums, top, left, index);
    }

    static NO_INLINE void add_chunk_in_mode(const Task& task, const OuterSum& adder, Sums& sums, int64_t top,
                                            int64_t left, int64_t index) {
        constexpr int of_vector = Carrier<O>::lanes;
        typedef T Some __attribute__((vector_size(of_vector * sizeof(T))));
        for (int i = 0; i < rows; i++) {
            const int64_t line = top + i < task.rows ? top + i : task.rows - 1;
            for (int j = 0; j < outer_vectors; j++) {
                const char* const from = (const char*)&sums.inner[i][0] + j * sizeof(Some);
                VO sum = __builtin_convertvector(load<Some>(from), VO);
                if constexpr (scaled) {
                    const O* const of_columns = (const O*)task.col_scales + index * task.col_scale_stride;
                    if constexpr (pairs)
                        sum *= load<VO>((const O*)task.row_scales + index * task.scale_stride + left + j * of_vector);
                    else
                        sum *= all<VO>(((const O*)task.row_scales)[line * task.scale_stride + index]);
                    sum *= load<VO>(of_columns + left + j * of_vector);
                }
                VO& outer = sums.outer[i][j];
                Bits<O> random = {};
                if constexpr (Random::used) {
                    if (random_place == RandomPlace::chunks || (task.copies && index > 0)) {
                        States<O> state = load<States<O>>(&sums.states[i][j * of_vector]);
                        random = as_bits<O>(Random::draw(state));
                        store(&sums.states[i][j * of_vector], state);
                    }
                }
                if (task.copies && index == 0)
                    outer = sum;
                else  // a copy may be -0, and -0 + -0 is +0
                    outer = adder.add(outer, sum + VO{}, random);
            }
        }
    }

    template <class R, int count>
    static void finish(const Task& task, const Vector<R> (&sums)[rows][count], int64_t top, int64_t left) {
        for (int i = 0; i < rows && top + i < task.rows; i++) {
            R line[width];
            for (int j = 0; j < count; j++) store(line + j * Carrier<R>::lanes, sums[i][j]);
            double* const to =
                task.results + (top + i) * task.result_row_stride + left * task.result_col_stride;
            const int64_t filled = task.columns - left < width ? task.columns - left : width;
            if (task.result_col_stride == 1)
                for (int64_t j = 0; j < filled; j++) to[j] = line[j];
            else
                for (int64_t j = 0; j < filled; j++) to[j * task.result_col_stride] = line[j];
        }
    }
};

}  // namespace macgen
