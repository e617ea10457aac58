"""What goes with additions of several cycles in an outer accumulator of a MacSpec."""

from macgen.errors import MacgenError
from macgen.spec_facts import SpecFacts


def check_choices_of_outer_cycles(spec: SpecFacts) -> None:
    """Refuse what does not go with outer additions of several cycles.

    Parameters:
        spec: an array with them.

    Raises:
        MacgenError: it has such a thing.
    """
    for refused, choice, accepted in (
        (
            not spec.has_outer_adder,
            "an array whose outer accumulator has no adder of its own",
            "is 1, or a scale of chunks, an outer other than acc, or chunks with another outer_rounding",
        ),
        (spec.interleave > 1, f"interleave {spec.interleave}", "is 1 of either"),
        (bool(spec.modes), f"modes {', '.join(spec.mode_names)}", "is an array without modes"),
        (spec.counters is not None, f"counters {spec.counters}", "is an array without counters"),
        (spec.preload, "preload", "is an array without preloaded accumulators"),
    ):
        if refused:
            raise MacgenError(f"outer_cycles {spec.outer_cycles} does not go with {choice}; accepted {accepted}")
    if spec.chunk is not None and (steps := spec.chunk // spec.lanes) < spec.outer_cycles:
        raise MacgenError(
            f"outer_cycles {spec.outer_cycles} is more than the {steps} step{'s' if steps > 1 else ''} of a chunk of "
            f"{spec.chunk} with {spec.lanes} lane{'s' if spec.lanes > 1 else ''}; accepted is at most as many"
        )
