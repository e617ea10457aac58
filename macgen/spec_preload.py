"""What goes with preloaded accumulators in a MacSpec (docs/arithmetic.md section 11)."""

from macgen.errors import MacgenError
from macgen.spec_facts import SpecFacts
from macgen.spec_fields import Fold, Interface


def check_choices_of_preload(spec: SpecFacts) -> None:
    """Refuse what does not go with preloaded accumulators.

    Parameters:
        spec: an array with them.

    Raises:
        MacgenError: it has such a thing.
    """
    folds = spec.chunk is not None and not spec.has_outer_adder
    cuts = spec.aligned_bits is not None or spec.exponent_bits is not None
    for refused, choice, accepted in (
        (cuts, f"lane_sum {spec.lane_sum!r}", "are fused, tree and bulk:F"),
        (
            folds and spec.fold == Fold.OVERLAP,
            "fold 'overlap' where chunks are folded in the accumulator's adder",
            "is bubble",
        ),
        (spec.interface == Interface.AXI_STREAM, f"interface {spec.interface!r}", "is native"),
        (bool(spec.modes), f"modes {', '.join(spec.mode_names)}", "is an array without modes"),
        (spec.counters is not None, f"counters {spec.counters}", "is an array without counters"),
    ):
        if refused:
            raise MacgenError(f"preload does not go with {choice}; accepted {accepted}")
