"""Hypothesis strategies of formats and specs, shared by the tests of all packages."""

import dataclasses

from hypothesis import assume
from hypothesis import strategies as st

from macgen.errors import MacgenError
from macgen.numerics import MAX_RANDOM_BITS, SUM_ROUNDINGS, Encoding, FixedFormat, FloatFormat
from macgen.numerics.fixed_format import MAX_WIDTH
from macgen.spec import MacSpec
from macgen.spec_fields import MAX_CHUNK, MAX_INTERLEAVE, MAX_OPERAND_WIDTH, MAX_PIPELINE, MAX_SIDE, Fold

EXPECTED_CONTRADICTIONS = (
    "lane_sum 'exponents:",
    "lane_sum 'bulk:",
    "does not divide lanes",
    "is not a power of two",
    "does not go with acc",
    "'fused' adds",
    "is unsigned, but",
    "in more than one place",
    "is too narrow",
    "outer_cycles",
)


@st.composite
def float_formats(draw, max_exp_bits=11, max_man_bits=52):
    """Every float format: all encodings, biases and widths, every kind of subnormals."""
    encoding = draw(st.sampled_from(Encoding))
    least = 1 if encoding in ("ieee", "quiet") else 0
    exp_bits = draw(st.integers(least + 1, max_exp_bits))
    man_bits = draw(st.integers(1 if encoding == "fn" and exp_bits == 1 else least, max_man_bits))
    top_field = (1 << exp_bits) - (2 if least or (encoding == "fn" and man_bits == 0) else 1)
    subnormals = draw(st.sampled_from(["gradual", "flush", "none"] if man_bits else ["gradual", "flush"]))
    lowest_bias, highest_bias = top_field - 1023, 1075 - man_bits - (subnormals == "none")
    assume(lowest_bias <= highest_bias)
    usual = (1 << (exp_bits - 1)) - (0 if encoding == "fnuz" else 1)
    biases = st.integers(lowest_bias, highest_bias)
    near = (
        st.integers(max(lowest_bias, usual - 4), min(highest_bias, usual + 4)) if usual - 4 <= highest_bias else biases
    )
    usual_bias = st.none() if lowest_bias <= usual <= highest_bias else biases
    return FloatFormat(
        exp_bits,
        man_bits,
        bias=draw(usual_bias | near | biases),
        encoding=encoding,
        subnormals=subnormals,
    )


@st.composite
def fixed_formats(draw, max_width=256):
    """Every integer and fixed-point format."""
    signed = draw(st.booleans())
    width = draw(st.integers(1, max_width))
    int_bits = draw(st.integers(int(signed), width) | st.integers(-8, width + 8).filter(lambda bits: bits <= MAX_WIDTH))
    return FixedFormat(int_bits, width - int_bits, signed=signed)


def narrowed(formats_of):
    """The same formats; of signed fixed-point ones now and then the narrow one."""

    def of(fmt):
        may_be = isinstance(fmt, FixedFormat) and fmt.signed and fmt.width > 1
        return st.sampled_from([fmt, dataclasses.replace(fmt, narrow=True)]) if may_be else st.just(fmt)

    return formats_of.flatmap(of)


def formats(max_exp_bits=11, max_man_bits=52, max_width=256):
    """Every format that operands and accumulators can have."""
    return float_formats(max_exp_bits, max_man_bits) | fixed_formats(max_width)


@st.composite
def _float_accumulators(draw, a, b, max_exp_bits, max_man_bits):
    """Float formats that reach as far as two operands."""
    fmt = draw(float_formats(max_exp_bits, max_man_bits))
    missing = max(a.max_exponent, b.max_exponent) - fmt.max_exponent
    if missing <= 0:
        return fmt
    bias = fmt.bias - min(missing + draw(st.integers(0, 3)), 1023 - fmt.max_exponent)
    return dataclasses.replace(fmt, bias=bias)


@st.composite
def _fixed_accumulators(draw, a, b, max_width):
    """Fixed-point formats that hold the products of two operands; their width may exceed `max_width` for that."""
    signed = any(isinstance(fmt, FloatFormat) or fmt.signed for fmt in (a, b)) or draw(st.booleans())
    product_bits = a.max_exponent + b.max_exponent + 2 + signed  # before the point, enough and at most one too many
    int_bits = product_bits + draw(st.integers(-1, 4))
    assume(int_bits <= MAX_WIDTH)
    most = min(max(max_width - int_bits, 8), MAX_WIDTH - max(int_bits, 0))
    assume(1 - int_bits <= most)
    return FixedFormat(int_bits, draw(st.integers(max(1 - int_bits, -8), most)), signed)


def roundings():
    """Every rounding of a sum."""
    bits, beneath = st.integers(1, MAX_RANDOM_BITS), st.sampled_from(["", ":nearest"])
    return st.sampled_from(SUM_ROUNDINGS) | st.builds("stochastic:{}{}".format, bits, beneath)


@st.composite
def specs(draw, max_exp_bits=8, max_man_bits=10, max_width=24, max_side=MAX_SIDE, max_chunk=MAX_CHUNK):
    """Every kind of accepted spec; the arguments bound the operands, an accumulator may have about twice the width."""
    operands = narrowed(formats(max_exp_bits, max_man_bits, max_width)).filter(
        lambda fmt: fmt.width <= MAX_OPERAND_WIDTH
    )
    a = draw(operands)
    b = draw(st.just(a) | operands)
    float_accumulators = _float_accumulators(a, b, min(max_exp_bits + 1, 11), min(2 * max_man_bits + 1, 52))
    fixed_accumulators = narrowed(_fixed_accumulators(a, b, min(2 * max_width + 8, MAX_WIDTH)))
    acc = draw(st.just(a) | float_accumulators | fixed_accumulators)
    if isinstance(acc, FixedFormat):
        overflow = st.sampled_from(["saturate"] if acc.narrow else ["saturate", "wrap"])
    else:
        special = ["infinity", "to-infinity"] if acc.has_infinity else ["nan"] if acc.has_nan else []
        overflow = st.sampled_from(["saturate", *special])
    try:
        return MacSpec(
            a=a,
            b=b,
            acc=acc,
            chunk=draw(st.none() | st.integers(1, min(8, max_chunk)) | st.integers(1, max_chunk)),
            rounding=draw(roundings()),
            overflow=draw(overflow),
            rows=draw(st.integers(1, max_side)),
            cols=draw(st.integers(1, max_side)),
            pipeline=draw(st.integers(1, MAX_PIPELINE)),
            fold=draw(st.sampled_from(Fold)),
        )
    except MacgenError as error:
        assume("too narrow" not in str(error) and "is unsigned" not in str(error))
        raise


def _moved_to(fmt, top):
    """Return a float format with another bias, so that its largest exponent is `top` where binary64 allows that."""
    bias = fmt.bias + fmt.max_exponent - top
    least = fmt.max_code - (fmt.max_code & ((1 << fmt.man_bits) - 1)) >> fmt.man_bits
    return dataclasses.replace(fmt, bias=min(max(bias, least - 1023), 1073 - fmt.man_bits))


def _aligned(kind):
    return st.integers(1, 40).map((kind + ":{}").format)


@st.composite
def family_specs(draw, **limits):
    """Every kind of accepted spec: `specs` with rounded products, lanes, outer accumulators, scales, results and turns.

    What contradicts the rest of the spec is left out, so that nothing need be drawn again. The arguments are `specs`'.
    """
    spec = draw(specs(**limits))
    floats = float_formats(limits.get("max_exp_bits", 8), limits.get("max_man_bits", 10))

    def near(top):
        """Formats whose largest magnitude is about 2**top."""
        return st.builds(_moved_to, floats, st.integers(top - 3, top + 3)) | narrowed(fixed_formats(24))

    def change(**values):
        nonlocal spec
        try:
            spec = dataclasses.replace(spec, **values)
        except MacgenError as error:
            assert any(word in str(error) for word in EXPECTED_CONTRADICTIONS), error

    lanes = draw(st.sampled_from([1, 1, 2, 3, 4, 8]))
    change(lanes=lanes, chunk=draw(st.none() | st.integers(1, 3).map(lanes.__mul__)))
    change(lane_sum=draw(st.just("tree") | _aligned("aligned") | _aligned("exponents") | _aligned("bulk")))
    if draw(st.booleans()):
        top = min(spec.acc.max_exponent - 3, spec.a.max_exponent + spec.b.max_exponent)
        change(product=draw(near(top)))
    if draw(st.booleans()):
        change(outer=draw(near(spec.acc.max_exponent)))
    change(outer_rounding=draw(st.none() | roundings()))
    if draw(st.booleans()):
        floats_of_scales = st.sampled_from(["e4m3fn", "e5m2", "e4m3:none", "fp16", "bf16", "fp32"])
        change(scale=draw(st.integers(2, 8).map("e{}m0fnu".format) | floats_of_scales))
        if spec.exponent_bits is not None and spec.scale is not None and draw(st.booleans()):
            change(scale_place="lanes")
            change(scale_block=draw(st.none() | st.integers(1, lanes)))
            change(lane_sum=f"{spec.lane_sum}/{draw(st.integers(2, 8))}")
    if draw(st.booleans()):
        change(out=draw(near(spec.outer_format.max_exponent)))
    change(interleave=draw(st.integers(1, MAX_INTERLEAVE)))
    if spec.interleave == 1 and spec.has_outer_adder:
        change(outer_cycles=draw(st.integers(1, 4)))
    return spec


def corner_codes(fmt):
    """Return the codes at which something changes: zeros, ends of subnormals, normals and range, one, infinity, NaN."""
    top = 1 << fmt.width - 1
    if isinstance(fmt, FixedFormat):
        one = 1 << max(fmt.frac_bits, 0)
        near = {0, 1, 2, one - 1, one, one + 1, fmt.max_integer - 1, fmt.max_integer}
        near |= {-x for x in near} | {fmt.min_integer, fmt.min_integer + 1}
        return sorted({x % (2 * top) for x in near if fmt.min_integer <= x <= fmt.max_integer})
    normal, largest = 1 << fmt.man_bits, fmt.max_code
    one = fmt.bias << fmt.man_bits
    magnitudes = {0, 1, 2, 3, normal - 1, normal, normal + 1, 2 * normal, one - 1, one, one + 1, largest - 1, largest}
    magnitudes |= {largest + 1, largest + 2, top - 2, top - 1, largest + 1 + normal // 2, largest + normal // 2}
    return sorted({m | sign for m in magnitudes if 0 <= m < top for sign in (0, top)})


def codes(fmt):
    """Every code of a format, the corners often."""
    every = st.integers(0, (1 << fmt.width) - 1)
    if isinstance(fmt, FixedFormat) and fmt.narrow:
        every = every.filter(lambda code: code != fmt.missing_code)
    return st.sampled_from(corner_codes(fmt)) | every
