// Whether values are numbers of their format, and what is seen of them on the way.
#pragma once

#include "vector_types.h"

namespace macgen {

// The bounds of a format's numbers, none of them beyond what the elements' type holds.
struct Grid {
    double largest, lowest;
    double least_normal;  // from here on a magnitude is on the grid if `extra` bits of its significand are zero
    double finest;        // smaller ones are, if they are left alone when this is added and subtracted
    int64_t extra;        // bits of binary64's significand that the format lacks
    int64_t gradual;      // whether there are numbers below `least_normal`
    int64_t infinities, nans;
    int64_t whole;  // every integer between the bounds is on the grid
};

// What was seen.
struct Facts {
    double least, largest;  // magnitudes: the least one but zero, the largest finite one
    double sum;             // no line has a larger sum of magnitudes; infinite where lines lie across memory
    int64_t off_grid, special;
};

template <class C>
struct GridOf {
    using W = typename Carrier<C>::Word;
    Vector<C> largest, lowest, least_normal, finest, gradual_finest;
    Bits<C> extra, must_be_zero, most, below_fewest;
    bool infinities, nans;

    explicit GridOf(const Grid& g)
        : largest(all<Vector<C>>((C)g.largest)),
          lowest(all<Vector<C>>((C)g.lowest)),
          least_normal(all<Vector<C>>((C)g.least_normal)),
          finest(all<Vector<C>>((C)g.finest)),
          gradual_finest(all<Vector<C>>((C)(g.gradual ? g.finest : 0))),
          infinities(g.infinities),
          nans(g.nans) {
        constexpr int bits = sizeof(C) == 4 ? 23 : 52;
        const int64_t fewer = g.extra - (52 - bits);
        const bool has_sign = g.lowest < 0;
        const double narrower = has_sign && -g.lowest < g.largest ? -g.lowest : g.largest;
        extra = all<Bits<C>>((W)(fewer > 0 ? ((uint64_t)1 << fewer) - 1 : 0));
        must_be_zero = has_sign ? extra : extra | Carrier<C>::sign;
        most = (Bits<C>)all<Vector<C>>((C)narrower);
        below_fewest = g.gradual ? Bits<C>{} : (Bits<C>)least_normal - 1;
    }
};

template <class C>
struct Seen {  // by one thread
    Bits<C> largest = {}, below_least = ~Bits<C>{};  // of finite magnitudes; of those but zero, less one bit
    typename Carrier<C>::Signed off_grid = {}, special = {};
};

// Look closely at a run, vector by vector.
template <class C>
NO_INLINE double inspect_closely(const C* run, int count, const GridOf<C>& on, Seen<C>& seen) {
    using V = Vector<C>;
    using U = Bits<C>;
    using I = typename Carrier<C>::Signed;
    const V infinity = (V)all<U>(Carrier<C>::exponent);
    V sum = {};
    for (int i = 0; i < count; i += Carrier<C>::lanes) {
        const V x = load<V>(run + i), m = magnitude<C>(x);
        const I finite = (I)(m < infinity);
        const I normal = (I)(m >= on.least_normal) & (I)(((U)x & on.extra) == U{});
        const I other = (I)(m < on.least_normal) & (I)(((m + on.finest) - on.finest) == m);
        const I inside = (I)(x <= on.largest) & (I)(x >= on.lowest);
        I fine = inside & (normal | other) & finite;
        if (on.infinities) fine |= (I)(m == infinity);
        if (on.nans) fine |= (I)(x != x);
        seen.off_grid |= ~fine;
        seen.special |= ~finite;
        const U number = (U)m & (U)finite;
        seen.largest = larger(number, seen.largest);
        seen.below_least = smaller(number - 1, seen.below_least);
        sum += (V)number;
    }
    return total<Carrier<C>::lanes>(sum);
}

// Look at a run, filled up with zeros to whole vectors; returns the sum of its magnitudes.
//
// Numbers of the format have zeros in the extra bits, subnormal ones, too, and are multiples of its unit. Where all are
// so and none is near an end of the range, they are on the grid; else each is looked at by itself.
template <class C>
INLINE double inspect(const C* run, int count, const GridOf<C>& on, Seen<C>& seen) {
    using V = Vector<C>;
    using U = Bits<C>;
    U bits = {}, beside = {}, largest = {}, below_least = ~U{};
    V sum = {};
    for (int i = 0; i < count; i += Carrier<C>::lanes) {
        const V x = load<V>(run + i), m = magnitude<C>(x);
        bits |= (U)x;
        beside |= (U)((m + on.gradual_finest) - on.gradual_finest) ^ (U)m;
        largest = larger((U)m, largest);
        below_least = smaller((U)m - 1, below_least);
        sum += m;
    }
    const U doubtful = (bits & on.must_be_zero) | beside | (U)(largest > on.most) |
                       (U)(below_least < on.below_fewest);
    if (any_bit(doubtful)) return inspect_closely(run, count, on, seen);
    seen.largest = larger(largest, seen.largest);
    seen.below_least = smaller(below_least, seen.below_least);
    return total<Carrier<C>::lanes>(sum);
}

template <class C>
void merge(Facts& facts, const Seen<C>& seen, double sum) {
    for (int i = 0; i < Carrier<C>::lanes; i++) {
        const double largest = (double)((Vector<C>)seen.largest)[i];
        const Bits<C> least = seen.below_least + 1;  // zero where all are
        if (largest > facts.largest) facts.largest = largest;
        if (least[i] && (double)((Vector<C>)least)[i] < facts.least) facts.least = (double)((Vector<C>)least)[i];
        if (seen.off_grid[i]) facts.off_grid = 1;
        if (seen.special[i]) facts.special = 1;
    }
    if (sum > facts.sum) facts.sum = sum;
}

// -- integers that stay integers -----------------------------------------------------------------------------------

template <>
struct GridOf<int16_t> {
    Vector<int16_t> largest, lowest;

    explicit GridOf(const Grid& g)
        : largest(all<Vector<int16_t>>((int16_t)(g.largest < 32767 ? g.largest : 32767))),
          lowest(all<Vector<int16_t>>((int16_t)(g.lowest > -32768 ? g.lowest : -32768))) {}  // toward zero: inside
};

template <>
INLINE double inspect(const int16_t* run, int count, const GridOf<int16_t>& on, Seen<int16_t>& seen) {
    using V = Vector<int16_t>;
    using U = Bits<int16_t>;
    typename Some<uint32_t, Carrier<int16_t>::lanes>::Type sum = {};
    for (int i = 0; i < count; i += Carrier<int16_t>::lanes) {
        const V x = load<V>(run + i);
        const U m = (U)larger(x, (V)(-(U)x));
        seen.off_grid |= (V)(x > on.largest) | (V)(x < on.lowest);
        seen.largest = larger(m, seen.largest);
        seen.below_least = smaller(m - 1, seen.below_least);
        sum += __builtin_convertvector(m, decltype(sum));
    }
    return total<Carrier<int16_t>::lanes>(sum);
}

template <>
inline void merge(Facts& facts, const Seen<int16_t>& seen, double sum) {
    for (int i = 0; i < Carrier<int16_t>::lanes; i++) {
        const int largest = seen.largest[i], least = (uint16_t)(seen.below_least[i] + 1);
        if (largest > facts.largest) facts.largest = largest;
        if (least && least < facts.least) facts.least = least;
        if (seen.off_grid[i]) facts.off_grid = 1;
    }
    if (sum > facts.sum) facts.sum = sum;
}

}  // namespace macgen
