"""The normative model of docs/arithmetic.md: codes in, codes and flags out, in Python integers only."""

from macgen.golden.draws import draws
from macgen.golden.model import Model
from macgen.golden.operations import convert, dot, dot_counts, fold, matmul, matmul_counts, step
from macgen.numerics import Flags

__all__ = ["Flags", "Model", "convert", "dot", "dot_counts", "draws", "fold", "matmul", "matmul_counts", "step"]
