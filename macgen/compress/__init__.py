"""AdaComp: gradients compressed by sending few of them, as one magnitude and signs, and keeping the rest.

The contract is docs/compress.md. `definition` is normative and scalar, `arrays` its fast form, `rtl` the hardware; each
is written from that page.
"""

from macgen.compress.arrays import Learner, Sent
from macgen.compress.spec import CompressSpec

__all__ = ["CompressSpec", "Learner", "Sent"]
