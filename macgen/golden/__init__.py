"""The normative model of docs/arithmetic.md: codes in, codes and flags out, in Python integers only."""

from macgen.golden.api import dot, fold, matmul, step
from macgen.golden.model import Model, additions
from macgen.numerics import Flags

__all__ = ["Flags", "Model", "additions", "dot", "fold", "matmul", "step"]
