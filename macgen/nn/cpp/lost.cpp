// Gradients of dot products through an accumulator that loses products (macgen/nn/training/lost.py).
// It takes the steps and folds of exact.h, which is included before; SUM is the type of the sums.

namespace {

enum Approximation { OF_OVERFLOW = 0, OF_DIFFERENCE = 1 };

// Whether an addition lost its addend.
template <class T>
bool lost(int64_t approximation, const Number<T>& before, const Number<T>& after, bool addend_zero,
          bool addend_negative, int flags)
{
    if (approximation == OF_OVERFLOW) return flags & OVERFLOWED;
    if (addend_zero) return false;  // there was nothing to lose
    if (before.kind || after.kind) return false;
    if (same(before, after) || (is_zero(before) && is_zero(after))) return true;
    const double from = to_double(before), to = to_double(after);
    return from != to && (to < from) != addend_negative;
}

// Fills in how much of each product a result keeps: 1 or 0.
template <class T>
void kept_of(const Spec& s, const Operand* a, const Operand* b, int64_t length, int64_t approximation, bool recursive,
             double* kept, uint8_t* chunk_kept)
{
    const int64_t chunk = s.chunk ? s.chunk : length;
    State<T> state = {zero<T>(), zero<T>(), 0, 0};
    for (int64_t k = 0; k < length; k++) {
        const Number<T> before = state.inner;
        const bool is_nothing = is_zero(a[k]) || is_zero(b[k]);
        state.flags = 0;
        step(s, state, a + k, 1, b + k, 1, 1, Scales{}, (Counts*)nullptr);
        kept[k] = !lost(approximation, before, state.inner, is_nothing, a[k].negative != b[k].negative, state.flags);
        if (k + 1 != length && (k + 1) % chunk) continue;
        const Number<T> total = state.outer, addend = state.inner;
        const bool copied = k < chunk && !s.has_outer_adder;
        state.flags = 0;
        fold(s, state, k < chunk, (const Operand*)nullptr, (const Operand*)nullptr, (Counts*)nullptr);
        chunk_kept[k / chunk] =
            copied || !lost(approximation, total, state.outer, is_zero(addend), addend.negative, state.flags);
    }
    bool still = true;  // whether no addition to the total from here on lost what was there
    for (int64_t c = (length - 1) / chunk; c >= 0; c--) {
        still = recursive ? still && chunk_kept[c] : bool(chunk_kept[c]);
        bool within = still;
        for (int64_t k = (c + 1) * chunk < length ? (c + 1) * chunk - 1 : length - 1; k >= c * chunk; k--) {
            if (recursive) within = within && kept[k] != 0;
            kept[k] = recursive ? within : within && kept[k] != 0;
        }
    }
}

}  // namespace

// Adds to the gradients of both operands what some rows of results give.
//   x: (rows, length) values, w: (columns, length) values, g: (rows, columns); of_x, of_w like x and w.
extern "C" int64_t gradients(const Spec* s, const Matrix* x, const Matrix* w, const double* g, int64_t row, int64_t rows,
                             int64_t approximation, int64_t recursive, double* of_x, double* of_w)
{
    const int64_t length = x->products, columns = w->lines, chunks = s->chunk ? (length - 1) / s->chunk + 1 : 1;
    Operand* a = (Operand*)malloc(length * sizeof(Operand));
    Operand* b = (Operand*)malloc(columns * length * sizeof(Operand));
    double* kept = (double*)malloc(length * sizeof(double));
    double* x_values = (double*)malloc(length * sizeof(double));
    double* w_values = (double*)malloc(columns * length * sizeof(double));
    uint8_t* chunk_kept = (uint8_t*)malloc(chunks);
    const bool enough = a && b && kept && chunk_kept && x_values && w_values;
    if (enough) {
        const auto value = [](const Operand& o) {
            const double magnitude = __builtin_ldexp(double(o.magnitude), o.exponent);
            return o.negative ? -magnitude : magnitude;
        };
        for (int64_t n = 0; n < columns; n++) read(s->b, *w, n, 0, length, b + n * length, 1);
        for (int64_t i = 0; i < columns * length; i++) w_values[i] = value(b[i]);
        for (int64_t m = row; m < row + rows; m++) {
            read(s->a, *x, m, 0, length, a, 1);
            for (int64_t k = 0; k < length; k++) x_values[k] = value(a[k]);
            for (int64_t n = 0; n < columns; n++) {
                const double of_result = g[m * columns + n];
                if (of_result == 0) continue;
                kept_of<SUM>(*s, a, b + n * length, length, approximation, recursive, kept, chunk_kept);
                double *to_x = of_x + m * length, *to_w = of_w + n * length;
                const double* from_w = w_values + n * length;
                for (int64_t k = 0; k < length; k++) {
                    const double part = of_result * kept[k];
                    to_x[k] += part * from_w[k];
                    to_w[k] += part * x_values[k];
                }
            }
        }
    }
    free(a);
    free(b);
    free(kept);
    free(x_values);
    free(w_values);
    free(chunk_kept);
    return !enough;
}
