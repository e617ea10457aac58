"""Values on which quantization is tested: grid points, ties, their neighbours, limits, specials and random ones."""

import numpy as np

from macgen.numerics import FixedFormat


def values_around(fmt, seed, count=200):
    """Return doubles that are critical for a float or fixed-point format.

    Random codes, the midpoints between neighbouring values and the doubles on either side of both; the ends of the
    range; values far outside and far below it; zeros. No infinities and no NaN.
    """
    fixed = isinstance(fmt, FixedFormat)
    rng = np.random.default_rng(seed)
    codes = [int.from_bytes(rng.bytes(-(-fmt.width // 8)), "big") >> (-fmt.width % 8) for _ in range(count)]
    on_grid = fmt.decode(codes)
    on_grid = on_grid[np.isfinite(on_grid)]
    ulp = np.ldexp(1.0, fmt.lsb_exponent)
    ends = np.array([fmt.decode(fmt.largest_code(sign)) for sign in (0, 1)])
    with np.errstate(over="ignore"):
        near_zero = ulp * np.array([0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.5])
        wide = np.ldexp(rng.uniform(-2, 2, count), rng.integers(fmt.lsb_exponent - 3, fmt.max_exponent + 4, count))
        steps = np.ldexp(on_grid, -rng.integers(0, 54, on_grid.size))
        grid = np.concatenate([on_grid, ends])
        half_steps = np.ldexp(
            1.0, np.maximum(np.frexp(grid)[1] - 1 - (fmt.width if fixed else fmt.man_bits), fmt.lsb_exponent) - 1
        )
        far = ends * 2.0 ** rng.integers(1, 60)
        x = np.concatenate(
            [
                grid,
                grid + half_steps,
                grid - half_steps,
                on_grid + steps,
                on_grid - steps,
                ends * 1.5,
                far,
                wide,
                near_zero,
            ]
        )
        x = np.concatenate([x, np.nextafter(x, np.inf), np.nextafter(x, -np.inf), -x, [-0.0, 1e308, 5e-324]])
    return x[np.isfinite(x)]
