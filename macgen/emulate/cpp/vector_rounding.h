// R, the rounding of a sum into a format, on vectors of a carrier. What makes each rule exact is proved, for a spec and
// its data, where it is chosen (macgen/emulate/vector_rounding.py).
#pragma once

#include "vector_types.h"

namespace macgen {

// How a sum that the carrier holds is rounded. The `fixed` ones round at a constant place.
enum class Rule {
    none,            // it is a value already
    two_operations,  // to nearest, 11 bits or fewer of float's 24
    nearest,         // by adding and subtracting a larger number of the sum's binade
    truncated,       // toward zero; the processor rounds toward zero
    floored,         // down; the processor rounds down
    random,          // with random bits; the processor rounds toward zero
    random_nearest,  // to nearest beneath them; so does the processor
    fixed_nearest,
    fixed_truncated,
    fixed_floored,
    fixed_random,
    fixed_random_nearest,
};

// What becomes of sums beyond the largest value, and of infinities and NaN.
enum class Ends {
    none,           // there are none
    clamp,          // the ends of the range; NaN stays
    clamp_all,      // the same; NaN becomes the largest value
    largest,        // the ends of the range for numbers; infinities and NaN stay
    infinite,       // infinities; NaN stays
    infinite_down,  // minus infinity, but the largest value; infinities and NaN stay
    not_a_number,   // NaN
    wrap,           // once around: the carrier's sum is less than a period outside the range
};

// Numbers of a format and of a rule; those that a rule does not need are zero.
struct Constants {
    double largest, lowest, least_normal;
    double least_binade;   // the smallest power of two that has a place of its own; smaller sums are rounded there
    double unit;           // two_operations: 2 to the bits that go
    double place;          // of a binade of 1, or the constant one: what is added and subtracted to round
    double random_place;   // the same for the random bits' last
    double random_unit;    // value of a random number's last bit, for a binade of 1 or the constant place;
                           // half of it where what lies beneath is rounded to nearest
    double random_most;    // the largest random number
    double grid;           // what is added and subtracted to cut at the grid of the subnormals
    double period;         // wrap
    uint64_t keep;         // bits of the carrier that stay
    int64_t random_shift;  // of random numbers in the carrier
};

template <class T, Rule rule, Ends ends, bool flush, bool grid, bool signed_zero, bool odd, bool cut>
class Rounding {
    using V = Vector<T>;
    using U = Bits<T>;
    using W = typename Carrier<T>::Word;
    using I = typename Carrier<T>::Signed;

  public:
    static constexpr bool exact = false;
    // Whether numbers can become infinite or NaN.
    static constexpr bool leaves_numbers =
        ends == Ends::infinite || ends == Ends::infinite_down || ends == Ends::not_a_number;

    explicit Rounding(const Constants& c)
        : largest_(all<V>((T)c.largest)),
          lowest_(all<V>((T)c.lowest)),
          least_normal_(all<V>((T)c.least_normal)),
          least_binade_(all<V>((T)c.least_binade)),
          unit_(all<V>((T)c.unit)),
          less_(all<V>((T)(1 - c.unit))),
          place_(all<V>((T)c.place)),
          random_place_(all<V>((T)c.random_place)),
          random_unit_(all<V>((T)c.random_unit)),
          random_most_(all<V>((T)c.random_most)),
          grid_(all<V>((T)c.grid)),
          period_(all<V>((T)c.period)),
          keep_(all<U>((W)c.keep)),
          shift_((int)c.random_shift) {}

    // R(acc + a * b) with an exact product.
    INLINE V add_product(V acc, V a, V b, U random) const {
        if constexpr (odd || cut) return add(acc, a * b, random);
        return round(multiply_add(a, b, acc), random);
    }

    // R(acc + addend)
    INLINE V add(V acc, V addend, U random) const {
        V sum = acc + addend;
        if constexpr (odd) sum = rounded_to_odd(acc, addend, sum);
        if constexpr (cut) sum = sum_of_cut(acc, addend, sum);
        return round(sum, random);
    }

    INLINE V round(V x, U random) const {
        V y = x;
        if constexpr (ends == Ends::clamp) {
            y = y > largest_ ? largest_ : y;
            y = y < lowest_ ? lowest_ : y;
        }
        if constexpr (ends == Ends::clamp_all) y = larger(smaller(y, largest_), lowest_);
        y = rounded(y, random);
        if constexpr (flush) y = magnitude<T>(y) < least_normal_ ? V{} : y;
        if constexpr (ends == Ends::wrap) y = y > largest_ ? y - period_ : y < lowest_ ? y + period_ : y;
        if constexpr (ends == Ends::largest || ends == Ends::infinite || ends == Ends::infinite_down ||
                      ends == Ends::not_a_number)
            y = magnitude<T>(y) <= largest_ ? y : beyond(x);
        return y;
    }

  private:
    V largest_, lowest_, least_normal_, least_binade_, unit_, less_;
    V place_, random_place_, random_unit_, random_most_, grid_, period_;
    U keep_;
    int shift_;

    INLINE V rounded(V x, U random) const {
        if constexpr (rule == Rule::two_operations) {
            // unit * x - (unit - 1) * x, of which the second is rounded to the carrier where x is to be rounded.
            return multiply_add(unit_, x, x * less_);
        } else if constexpr (rule == Rule::nearest || rule == Rule::floored) {
            if constexpr (grid) x = x + V{};  // an exact zero is +0
            V of = binade<T>(x);
            if constexpr (grid) of = larger(of, least_binade_);
            of = of * place_;
            V y = (x + of) - of;
            if constexpr (rule == Rule::floored) return y == V{} ? V{} : y;
            if constexpr (grid && signed_zero) y = (V)((U)y | ((U)x & all<U>(Carrier<T>::sign)));
            return y;
        } else if constexpr (rule == Rule::truncated) {
            if constexpr (!grid) return (V)((U)x & keep_);
            x = x + V{};
            V small = with_sign<T>((magnitude<T>(x) + grid_) - grid_, x);
            V y = magnitude<T>(x) < least_normal_ ? small : (V)((U)x & keep_);
            return signed_zero ? y : y + V{};
        } else if constexpr (rule == Rule::random) {
            if constexpr (!grid) return (V)(((U)x + (random << shift_)) & keep_);
            x = x + V{};
            V of = larger(binade<T>(x), least_binade_);
            V y = at_random(magnitude<T>(x), of * random_place_, of * random_unit_, of * place_, random);
            return signed_zero ? with_sign<T>(y, x) : with_sign<T>(y, x) + V{};
        } else if constexpr (rule == Rule::random_nearest) {
            if constexpr (!grid) {
                // Nearly half of the random number's last bit, and one more above an odd one, carry as ties to even do.
                const U beneath = all<U>((W)((W)1 << (shift_ - 1))) - 1 + ((U)x >> shift_ & 1);
                return (V)(((U)x + beneath + (random << shift_)) & keep_);
            }
            x = x + V{};
            V of = larger(binade<T>(x), least_binade_);
            V y = at_random_nearest(magnitude<T>(x), of * random_place_, of * random_unit_, of * place_, random);
            return signed_zero ? with_sign<T>(y, x) : with_sign<T>(y, x) + V{};
        } else if constexpr (rule == Rule::fixed_nearest) {
            return (x + place_) - place_;
        } else if constexpr (rule == Rule::fixed_floored) {
            V y = (x + place_) - place_;
            return y == V{} ? V{} : y;
        } else if constexpr (rule == Rule::fixed_truncated) {
            return with_sign<T>((magnitude<T>(x) + place_) - place_, x) + V{};
        } else if constexpr (rule == Rule::fixed_random) {
            return with_sign<T>(at_random(magnitude<T>(x), random_place_, random_unit_, place_, random), x) + V{};
        } else if constexpr (rule == Rule::fixed_random_nearest) {
            const V y = at_random_nearest(magnitude<T>(x), random_place_, random_unit_, place_, random);
            return with_sign<T>(y, x) + V{};
        } else {
            return x;
        }
    }

    // A magnitude cut below the random bits, with the random number added, and cut at its place.
    static INLINE V at_random(V x, V random_place, V random_unit, V place, U random) {
        x = (x + random_place) - random_place;
        x = x + __builtin_convertvector((I)random, V) * random_unit;
        return (x + place) - place;
    }

    // A magnitude rounded below the random bits, with the random number added, and cut at its place: nearly half of that
    // is subtracted, and what results goes to the nearest, of which there is one.
    INLINE V at_random_nearest(V x, V random_place, V half_unit, V place, U random) const {
        x = (x + random_place) - random_place;
        x = x + (__builtin_convertvector((I)(random << 1), V) - random_most_) * half_unit;
        return (x + place) - place;
    }

    // What sums become whose rounded value is beyond the range, infinite or NaN.
    INLINE V beyond(V x) const {
        const V infinity = (V)all<U>(Carrier<T>::exponent);
        if constexpr (ends == Ends::infinite) return x + with_sign<T>(infinity, x);
        if constexpr (ends == Ends::not_a_number) return infinity - infinity;
        V end = with_sign<T>(largest_, x);
        if constexpr (ends == Ends::infinite_down) end = x < V{} ? -infinity : largest_;
        return magnitude<T>(x) <= all<V>(Carrier<T>::largest) ? end : x;
    }

    // The exact sum rounded to odd: its error (TwoSum, Knuth) sets the last bit.
    static INLINE V rounded_to_odd(V a, V b, V sum) {
        V part = sum - a;
        V error = (a - (sum - part)) + (b - part);
        // One below in magnitude where the sum was rounded away from zero; then the last bit.
        I toward = ((I)sum ^ (I)error) >> (8 * sizeof(T) - 1);
        V adjusted = (V)(((I)sum + toward) | 1);
        return magnitude<T>(error) > V{} ? adjusted : sum;
    }

    // The sum of both terms, each cut toward zero at the last place of the larger one (`drop`).
    INLINE V sum_of_cut(V a, V b, V sum) const {
        V x = magnitude<T>(a), y = magnitude<T>(b), place = place_;
        if constexpr (rule != Rule::fixed_truncated && rule != Rule::none)
            place = larger(binade<T>(larger(x, y)), least_binade_) * place_;
        V total = with_sign<T>((x + place) - place, a) + with_sign<T>((y + place) - place, b);
        if constexpr (ends == Ends::none || ends == Ends::wrap) return total;
        return magnitude<T>(sum) <= all<V>(Carrier<T>::largest) ? total : sum;
    }
};

}  // namespace macgen
