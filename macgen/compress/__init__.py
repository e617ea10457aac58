"""AdaComp: gradients compressed by sending few of them, as one magnitude and signs, and keeping the rest.

The contract is docs/compress.md. `definition` is normative and scalar, `arrays` its fast form, `rtl` the hardware; each
is written from that page.
"""

from typing import TYPE_CHECKING, Any

from macgen.compress.spec import CompressSpec

if TYPE_CHECKING:
    from macgen.compress.arrays import Learner, Sent
else:

    def __getattr__(name: str) -> Any:
        """Load what computes with NumPy's arrays when it is first used; a bundle needs the spec alone."""
        if name in ("Learner", "Sent"):
            from macgen.compress import arrays

            return getattr(arrays, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["CompressSpec", "Learner", "Sent"]
