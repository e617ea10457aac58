"""Networks on a spec's arithmetic, bit for bit: ONNX models, every counted layer by `macgen.emulate`."""

from macgen.nn.emulation import emulate
from macgen.nn.model import EmulatedModel
from macgen.nn.results import Answers, Emulation, LayerResult, Run

__all__ = ["Answers", "EmulatedModel", "Emulation", "LayerResult", "Run", "emulate"]
