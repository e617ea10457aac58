// Operands chosen with a purpose: near-cancellation, ties, alignment limits, ends of the range, special codes.

#pragma once

#include <algorithm>
#include <cmath>

#include "crew.h"

class Random {
  public:
    Random(uint64_t seed, uint64_t stream) : state_(mix(seed * 0x9e3779b97f4a7c15u + mix(stream + 1))) {}

    uint64_t bits() {  // splitmix64
        uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }

    int from(int low, int high) { return low + static_cast<int>(bits() % uint64_t(high - low + 1)); }
    bool coin() { return bits() >> 63; }
    double fraction() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
    double sign() { return coin() ? 1.0 : -1.0; }

    template <int BITS>
    uint32_t number() {
        if constexpr (BITS == 0) {
            return 0;
        } else {
            return static_cast<uint32_t>(bits() >> (64 - BITS));
        }
    }

    u128 code(const Format& f) {
        const u128 high = bits();
        return ((high << 64) | bits()) & ones(f.width);
    }

  private:
    uint64_t state_;
};

inline double value(const Number& n) {
    const double magnitude = std::ldexp(static_cast<double>(n.magnitude), n.exponent);
    return n.kind != NUMBER ? 0.0 : n.negative ? -magnitude : magnitude;
}

// Exponent of the largest finite number.
inline int max_exponent(const Format& f) {
    return f.is_float ? static_cast<int>(largest_magnitude(f) >> f.man_bits) - f.bias
                      : f.width - f.is_signed - f.frac_bits - 1;
}

// The code nearest to a value, or that of the end of the range.
inline u128 nearest_code(const Format& f, double x) {
    const double magnitude = std::fabs(x);
    if (!(magnitude > 0)) return 0;  // NaN, of a value that is divided by scales, likewise
    if (!f.is_float) {
        const double limit = std::ldexp(1.0, f.width - f.is_signed), scaled = std::rint(std::ldexp(magnitude, f.frac_bits));
        if (x < 0 && !f.is_signed) return 0;
        if (scaled >= limit) return largest(f, x < 0);
        const u128 integer = static_cast<u128>(scaled);
        return (x < 0 ? -integer : integer) & ones(f.width);
    }
    const int exponent = std::max(std::ilogb(magnitude), min_exponent(f));
    if (exponent > max_exponent(f)) return largest(f, x < 0);
    const u128 significand = static_cast<u128>(std::rint(std::ldexp(magnitude, f.man_bits - exponent)));
    const u128 below = f.subnormals == NONE ? u128(1) << f.man_bits : 0;  // the code 0 is that of 2^min_exponent
    const u128 counted = (u128(exponent - min_exponent(f)) << f.man_bits) + significand;
    const u128 code = counted > below ? counted - below : 0;
    return std::min(code, largest_magnitude(f)) | (x < 0 ? sign_bit(f) : 0);
}

// Codes at which something changes: zeros, ends of subnormals, normals and the range, one, infinity, NaN.
inline std::vector<u128> corner_codes(const Format& f) {
    std::vector<u128> codes;
    const u128 one = nearest_code(f, 1.0), end = largest(f, false);
    if (!f.is_float) {
        for (u128 code : {u128(0), u128(1), u128(2), one - 1, one, one + 1, end - 1, end}) {
            codes.push_back(code & ones(f.width));
            codes.push_back(-code & ones(f.width));
        }
        codes.push_back(largest(f, true));
        return codes;
    }
    const u128 normal = u128(1) << f.man_bits;
    for (u128 code : {u128(0), u128(1), u128(2), normal - 1, normal, normal + 1, 2 * normal, one - 1, one, one + 1,
                      end - 1, end, end + 1, end + 2, end + 1 + normal / 2, end + normal / 2, sign_bit(f) - 1}) {
        codes.push_back(code & (sign_bit(f) - 1));
        codes.push_back((code & (sign_bit(f) - 1)) | sign_bit(f));
    }
    return codes;
}

// A code of a scale of about 2^exponent, or at the end of the range.
inline uint32_t scale_near(Random& random, int exponent) {
    constexpr Format f = SPEC.scale;
    if (f.encoding == POWER) return static_cast<uint32_t>(std::clamp(f.bias + exponent, 0, (1 << f.width) - 2));
    const uint64_t fields = static_cast<uint64_t>(ones(f.exp_bits)), below = static_cast<uint64_t>(ones(f.man_bits));
    const uint64_t field = static_cast<uint64_t>(std::clamp(f.bias + exponent, 0, static_cast<int>(fields)));
    uint64_t code = (static_cast<uint64_t>(random.code(f)) & ~(fields << f.man_bits)) | (field << f.man_bits);
    if (random.coin()) code &= ~(below >> random.from(0, f.man_bits));
    return static_cast<uint32_t>(code);
}

struct Pair {
    uint32_t a, b;
};

// A sum that is hard for a format: a value for the other addend, near which one shall be found.
class Targets {
  public:
    // `span`: how far apart in binades the addends are at most, beyond the format's own bits.
    Targets(const Format& format, int span) : f_(format), span_(format.is_float ? format.man_bits + span : format.width) {}

    double draw(Random& random, const Number& acc) const {
        const double v = value(acc), end = std::fabs(value(decode(f_, largest(f_, v < 0))));
        const int grid = lsb_exponent(f_), top = v == 0 ? grid : std::ilogb(v);
        const int ulp = f_.is_float ? std::max(top - f_.man_bits, grid) : grid;
        const int kind = random.from(0, 10);
        if (kind < 3) return -v + std::ldexp(random.from(-4, 4), ulp - random.from(0, 2));
        if (kind < 6) return random.sign() * std::ldexp(2 * random.from(0, 7) + 1, ulp - random.from(1, 3));
        if (kind < 9) return random.sign() * std::ldexp(1.0 + random.fraction(), top + random.from(-span_, span_));
        if (kind == 9) {
            const int end_ulp = f_.is_float ? max_exponent(f_) - f_.man_bits : grid;
            return std::copysign(end - std::fabs(v), v) + std::ldexp(random.from(-4, 4), end_ulp - 1);
        }
        const int least = f_.is_float ? min_exponent(f_) : grid;
        if (random.coin()) return random.sign() * std::ldexp(1.0 + random.fraction(), random.from(grid - 3, least));
        return random.sign() * std::ldexp(1.0, least) - v + std::ldexp(random.from(-4, 4), grid - 1);
    }

  private:
    Format f_;
    int span_;
};

class Director {
  public:
    explicit Director(Random random) : random(random) {}

    Random random;

    // Lanes for an accumulator: what makes the sum a hard one.
    Lanes directed(const Number& acc) {
        Lanes lanes{};
        draw_scales(lanes, value(acc));
        if constexpr (LANES == 1) {
            set(lanes, 0, directed_pair(acc));
            return lanes;
        }
        const int style = random.from(0, 7), one = random.from(0, LANES - 1);
        const double v = value(acc);
        const int top = v == 0 ? random.from(lowest_b_, highest_b_) : std::ilogb(v), span = ACC.is_float ? ACC.man_bits + 8 : 16;
        const int exponent = top + random.from(-span, span);
        for (int i = 0; i < LANES; ++i) {
            in_lane(lanes, i);
            switch (style) {
                case 0: set(lanes, i, anything()); break;
                case 1: set(lanes, i, directed_pair(acc)); break;
                case 2: set(lanes, i, near(random.sign() * std::ldexp(1.0 + random.fraction(), exponent))); break;
                case 3:  // what may be left of pairs that cancel decides
                    if (i % 2 == 0) set(lanes, i, random.coin() ? anything() : directed_pair(acc));
                    if (i % 2 != 0) set(lanes, i, negated(pair(lanes, i - 1)));
                    break;
                case 4:  // about the last place of the largest
                    set(lanes, i, near(random.sign() * std::ldexp(1.0 + random.fraction(),
                                                                  exponent - span + random.from(-4, 12))));
                    break;
                case 5: set(lanes, i, random.from(0, 3) ? Pair{0, 0} : directed_pair(acc)); break;
                case 6: set(lanes, i, random.from(0, LANES) ? near(std::ldexp(random.sign(), exponent)) : anything()); break;
                default: break;  // zeros beside one
            }
        }
        in_lane(lanes, one);
        if (style == 3 || style == 4 || style == 7) set(lanes, one, directed_pair(acc));
        if (style == 4) set(lanes, one, near(random.sign() * std::ldexp(1.0 + random.fraction(), exponent)));
        for (int i = LANES; i-- > 1;) swap(lanes, i, random.from(i - i % BLOCK, i));
        return lanes;
    }

    // One product near a value, in any of the lanes.
    Lanes near_lanes(double target) {
        Lanes lanes{};
        draw_scales(lanes, target);
        const int lane = random.from(0, LANES - 1);
        in_lane(lanes, lane);
        set(lanes, lane, near(target));
        return lanes;
    }

    Lanes any_lanes() {
        Lanes lanes{};
        draw_scales(lanes, 0);
        for (int i = 0; i < LANES; ++i) set(lanes, i, anything());
        return lanes;
    }

    // The same products with the other sign.
    static Lanes negated(Lanes lanes) {
        for (int i = 0; i < LANES; ++i) set(lanes, i, negated(pair(lanes, i)));
        return lanes;
    }

    // A random number for an addition: any, or one at which its rounding changes or nearly does.
    template <int BITS>
    uint32_t number(const RoundedSum& target, const ExactSum& sum) {
        if constexpr (BITS == 0) return 0;
        uint32_t numbers[MOST_SWITCHES];
        const int count = switch_numbers(target, sum, numbers);
        return random.coin() ? numbers[random.from(0, count - 1)] : random.template number<BITS>();
    }

    // A value to steer the accumulator to: in any binade that products reach, or any code's.
    double destination() {
        const Format& f = ACC;
        if (!f.is_float || random.coin()) {
            const int top = std::min(max_exponent(f), max_exponent(SPEC.a) + max_exponent(SPEC.b) + 1);
            const int exponent = random.from(std::min(lsb_exponent(f), top), top);
            return value(decode(f, nearest_code(f, random.sign() * std::ldexp(1.0 + random.fraction(), exponent))));
        }
        return value(decode(f, random.from(0, 3) ? random.code(f) : any_of(acc_corners_)));
    }

  private:
    static constexpr int BLOCK = LANE_SCALES ? LANES / LANE_SCALES : LANES;
    double factor_ = 1;  // what the products of the lane in question are multiplied by

    const Targets targets_{ACC, SPEC.a.width + SPEC.b.width};
    const std::vector<u128> a_corners_ = corner_codes(SPEC.a), b_corners_ = corner_codes(SPEC.b),
                            acc_corners_ = corner_codes(ACC);
    const int lowest_b_ = lsb_exponent(SPEC.b), highest_b_ = std::max(lowest_b_, max_exponent(SPEC.b));

    u128 any_of(const std::vector<u128>& codes) { return codes[random.bits() % codes.size()]; }

    Pair anything() {
        return {static_cast<uint32_t>(random.code(SPEC.a)), static_cast<uint32_t>(random.code(SPEC.b))};
    }

    // Draw the scales of all blocks: any, near one, or such that products reach a value.
    void draw_scales([[maybe_unused]] Lanes& lanes, [[maybe_unused]] double target) {
#if LANE_SCALES
        const int kind = random.from(0, 7), top = target == 0 || !std::isfinite(target) ? 0 : std::ilogb(target);
        const bool same = random.coin();
        for (int i = 0; i < LANE_SCALES; ++i) {
            if (i > 0 && same) {
                lanes.a_scale[i] = lanes.a_scale[0];
                lanes.b_scale[i] = lanes.b_scale[0];
                continue;
            }
            const int wanted = kind < 4 ? top + random.from(-8, 4) : kind < 6 ? random.from(-24, 24) : top + random.from(-40, 40);
            const int part = wanted / 2 + random.from(-6, 6);
            lanes.a_scale[i] = scale_near(random, part);
            lanes.b_scale[i] = scale_near(random, wanted - part);
            if (kind == 5 && random.coin()) lanes.a_scale[i] = static_cast<uint32_t>(random.code(SPEC.scale));
            if (kind == 5 && random.coin()) lanes.b_scale[i] = static_cast<uint32_t>(random.code(SPEC.scale));
            if (random.from(0, 255) == 0) lanes.a_scale[i] = static_cast<uint32_t>(random.code(SPEC.scale));
        }
#endif
    }

    void in_lane([[maybe_unused]] const Lanes& lanes, [[maybe_unused]] int lane) {
#if LANE_SCALES
        factor_ = value(decode(SPEC.scale, lanes.a_scale[lane / BLOCK])) * value(decode(SPEC.scale, lanes.b_scale[lane / BLOCK]));
        if (factor_ == 0) factor_ = 1;
#endif
    }

    // A product that is near a value, once it is multiplied by its scales.
    Pair near(double target) {
        target /= factor_;
        if (target == 0 || !std::isfinite(target)) return anything();
        const int exponent = std::ilogb(target);
        const int least = SPEC.a.is_float ? min_exponent(SPEC.a) : -SPEC.a.frac_bits;
        int low = std::max(lowest_b_, exponent - max_exponent(SPEC.a)), high = std::min(highest_b_, exponent - least);
        low = std::clamp(low, lowest_b_, highest_b_);
        high = std::clamp(high, low, highest_b_);
        const double significand = random.coin() ? 1.0 : 1.0 + random.fraction();
        const u128 b = nearest_code(SPEC.b, random.sign() * std::ldexp(significand, random.from(low, high)));
        const double factor = value(decode(SPEC.b, b));
        if (factor == 0) return anything();
        u128 a = nearest_code(SPEC.a, target / factor);
        if (random.from(0, 3) == 0) a = (a + (random.coin() ? 1 : -1)) & ones(SPEC.a.width);
        return {static_cast<uint32_t>(a), static_cast<uint32_t>(b)};
    }

    Pair directed_pair(const Number& acc) {
        const int kind = random.from(0, 15);
        if (kind < 3) return anything();
        if (kind < 5) {
            Pair pair = anything();
            if (kind == 3 || random.coin()) pair.a = static_cast<uint32_t>(any_of(a_corners_));
            if (kind == 3 || random.coin()) pair.b = static_cast<uint32_t>(any_of(b_corners_));
            return pair;
        }
        return near(targets_.draw(random, acc));
    }

    static void set(Lanes& lanes, int lane, Pair pair) {
        lanes.a[lane] = pair.a;
        lanes.b[lane] = pair.b;
    }

    static Pair pair(const Lanes& lanes, int lane) { return {lanes.a[lane], lanes.b[lane]}; }

    static void swap(Lanes& lanes, int i, int j) {
        std::swap(lanes.a[i], lanes.a[j]);
        std::swap(lanes.b[i], lanes.b[j]);
    }

    // The same product with the other sign, where the format of a has one.
    static Pair negated(Pair pair) {
        if (SPEC.a.is_float) {
            pair.a ^= static_cast<uint32_t>(sign_bit(SPEC.a));
        } else if (SPEC.a.is_signed) {
            pair.a = static_cast<uint32_t>(-u128(pair.a) & ones(SPEC.a.width));
        }
        return pair;
    }
};
