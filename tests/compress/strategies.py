"""Hypothesis strategies of compressors and of a step's operands."""

from hypothesis import strategies as st

from macgen.compress import CompressSpec
from macgen.compress.definition import Kept


@st.composite
def specs(draw, most_width=10, most_bin=12):
    """Small compressors of every kind."""
    width = draw(st.integers(2, most_width))
    lanes = draw(st.integers(1, 4))
    return CompressSpec(
        f"int{width}",
        lanes * draw(st.integers(1, max(most_bin // lanes, 1))),
        lanes=lanes,
        learners=draw(st.integers(1, 3)),
        most_bins=1000,
    )


@st.composite
def steps(draw, spec, most=30):
    """What was kept, its scale, and new gradients: integers of few values, so that ties and ends are frequent."""
    count = draw(st.integers(1, most))
    ends = st.sampled_from([spec.lowest, spec.lowest + 1, -1, 0, 0, 1, -spec.lowest - 1])
    values = st.one_of(ends, st.integers(spec.lowest, -spec.lowest - 1))
    kept = [Kept(draw(values), draw(st.booleans())) for _ in range(count)]
    scale = draw(st.one_of(st.sampled_from([0, 1, spec.largest_scale]), st.integers(0, spec.largest_scale)))
    return kept, scale, [draw(values) for _ in range(count)]
