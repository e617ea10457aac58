"""The normative model of docs/arithmetic.md: codes in, codes and flags out, in Python integers only."""

from macgen.golden.draws import draws
from macgen.golden.model import Model
from macgen.golden.operations import convert, dot, fold, matmul, step
from macgen.numerics import Flags

__all__ = ["Flags", "Model", "convert", "dot", "draws", "fold", "matmul", "step"]
