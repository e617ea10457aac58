"""A convolution of a trained network through the generated Verilog equals the emulator, bit for bit."""

import numpy as np
import pytest

from macgen.bundle import build
from macgen.nn.arithmetic import Float32, OnSpec, Watched
from macgen.nn.model import EmulatedModel
from macgen.nn.scaling import ScaleRule, choose_scales
from macgen.simulate.matmul import run_matmul
from macgen.spec import MacSpec
from tests.network.models import trained

SPEC = MacSpec(a="e4m3fn", b="e4m3fn", acc="e6m4", chunk=16, rows=4, cols=4)


class InVerilog(OnSpec):
    """Products that a simulation of a bundle computes."""

    def __init__(self, bundle, *arguments):
        super().__init__(*arguments)
        self.bundle = bundle
        self.tiles = 0

    def _counted(self, function, a, b, scales):
        found = run_matmul(self.bundle, SPEC.a.encode(a), SPEC.b.encode(b), simulator="icarus")
        self.tiles += found.tiles
        return SPEC.out_format.decode(found.codes)


@pytest.mark.prove
def test_a_convolution_in_verilog(tmp_path):
    """The first layer of the text-direction network: 3 x 3, 3 to 8 channels, stride 2, in 27 products a sum."""
    x = np.random.default_rng(5).uniform(-1, 1, size=(1, 3, 32, 16)).astype("float32")
    x[:, :, 8:24, 4:12] = 1.0  # a letter, say
    model = EmulatedModel(trained("_cls_"), x)
    feed = model.batches[0].feed
    watched = [Watched(layer.layer.name, layer.weight is not None) for layer in model.layers]
    model.run(feed, watched)
    scales = choose_scales(SPEC, watched[0].seen, ScaleRule(), weights=True)
    hardware = InVerilog(build(SPEC, tmp_path / "mac"), "first", SPEC, scales)
    results = []
    for first in (OnSpec("first", SPEC, scales), hardware):
        kept = model.run(feed, [first, *[Float32()] * (len(model.layers) - 1)], keep=True)
        results.append(kept)
    layer = model.layers[0]
    assert (layer.layer.op, layer.layer.forward.length, layer.layer.forward.outputs) == ("Conv", 27, 16 * 8 * 8)
    assert hardware.tiles == 16 * 8 // 4 * 2
    np.testing.assert_array_equal(results[0][layer.output], results[1][layer.output])
    np.testing.assert_array_equal(results[0][model.outputs[0]], results[1][model.outputs[0]])
    assert np.unique(results[0][layer.output]).size > 50
