// Inputs of convolutions as the rows of a matrix, and rows added back to where they came from.
#include <stdint.h>

// The result's rows are ordered by example and output, their columns by channel and tap.
struct Windows {
    int64_t channels, all_channels;  // that take part, and that an example has
    int64_t image;                   // inputs of a channel
    int64_t outputs[3], taps[3];     // along each dimension; those that are not there have one
    int64_t stride[3];               // from one input to the next along a dimension
    const int64_t* inputs[3];        // (outputs, taps) places along a dimension, -1 where there is padding
};

// Fills in where the taps of an output are; whether all of them are inputs.
static bool find(const Windows& w, int64_t i, int64_t j, int64_t k, int64_t* found)
{
    const int64_t *of_i = w.inputs[0] + i * w.taps[0], *of_j = w.inputs[1] + j * w.taps[1];
    const int64_t* of_k = w.inputs[2] + k * w.taps[2];
    bool inside = true;
    for (int64_t x = 0; x < w.taps[0]; x++)
        for (int64_t y = 0; y < w.taps[1]; y++)
            for (int64_t z = 0; z < w.taps[2]; z++) {
                const bool here = of_i[x] >= 0 && of_j[y] >= 0 && of_k[z] >= 0;
                *found++ = here ? of_i[x] * w.stride[0] + of_j[y] * w.stride[1] + of_k[z] * w.stride[2] : -1;
                inside &= here;
            }
    return inside;
}

// Calls `use` for each output of an example, with its row's number, its taps, and whether all are inputs.
template <class Use> static void each_output(const Windows& w, int64_t* found, const Use& use)
{
    int64_t row = 0;
    for (int64_t i = 0; i < w.outputs[0]; i++)
        for (int64_t j = 0; j < w.outputs[1]; j++)
            for (int64_t k = 0; k < w.outputs[2]; k++) use(row++, find(w, i, j, k, found));
}

template <class Element>
static void gather(const Windows& w, const Element* x, Element* rows, int64_t examples, int64_t* found)
{
    const int64_t taps = w.taps[0] * w.taps[1] * w.taps[2], length = w.channels * taps;
    const int64_t outputs = w.outputs[0] * w.outputs[1] * w.outputs[2];
    for (int64_t n = 0; n < examples; n++)
        each_output(w, found, [&](int64_t output, bool inside) {
            Element* row = rows + (n * outputs + output) * length;
            const Element* from = x + n * w.all_channels * w.image;
            for (int64_t c = 0; c < w.channels; c++, from += w.image)
                if (inside)
                    for (int64_t t = 0; t < taps; t++) *row++ = from[found[t]];
                else
                    for (int64_t t = 0; t < taps; t++) *row++ = found[t] < 0 ? Element(0) : from[found[t]];
        });
}

template <class Element>
static void scatter(const Windows& w, Element* x, const Element* rows, int64_t examples, int64_t* found)
{
    const int64_t taps = w.taps[0] * w.taps[1] * w.taps[2], length = w.channels * taps;
    const int64_t outputs = w.outputs[0] * w.outputs[1] * w.outputs[2];
    for (int64_t n = 0; n < examples; n++)
        each_output(w, found, [&](int64_t output, bool) {
            const Element* row = rows + (n * outputs + output) * length;
            Element* to = x + n * w.all_channels * w.image;
            for (int64_t c = 0; c < w.channels; c++, to += w.image)
                for (int64_t t = 0; t < taps; t++, row++)
                    if (found[t] >= 0) to[found[t]] += *row;
        });
}

// `found` is room for the taps of an output.
extern "C" {
void gather_1(const Windows* w, const void* x, void* rows, int64_t examples, int64_t* found)
{
    gather(*w, (const uint8_t*)x, (uint8_t*)rows, examples, found);
}
void gather_2(const Windows* w, const void* x, void* rows, int64_t examples, int64_t* found)
{
    gather(*w, (const uint16_t*)x, (uint16_t*)rows, examples, found);
}
void gather_4(const Windows* w, const void* x, void* rows, int64_t examples, int64_t* found)
{
    gather(*w, (const uint32_t*)x, (uint32_t*)rows, examples, found);
}
void gather_8(const Windows* w, const void* x, void* rows, int64_t examples, int64_t* found)
{
    gather(*w, (const uint64_t*)x, (uint64_t*)rows, examples, found);
}
void scatter_4(const Windows* w, void* x, const void* rows, int64_t examples, int64_t* found)
{
    scatter(*w, (float*)x, (const float*)rows, examples, found);
}
void scatter_8(const Windows* w, void* x, const void* rows, int64_t examples, int64_t* found)
{
    scatter(*w, (double*)x, (const double*)rows, examples, found);
}
}
