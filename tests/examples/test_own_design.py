import numpy as np

import macgen
from tests.examples.runner import output_of


def test_it_prints_the_layer_s_results():
    """Its operands are drawn as the example draws them; the sums are emulate's, which knows nothing of hardware."""
    spec = macgen.MacSpec(a="e5m2", b="e5m2", acc="e6m5", chunk=16)
    rng = np.random.default_rng(1)
    weights = spec.b.quantize(rng.normal(size=(40, 3)))
    tiles = [spec.a.quantize(rng.normal(size=(2, 40))) for _ in range(2)]
    results = np.maximum(macgen.emulate.matmul(spec, np.concatenate(tiles), weights), 0)
    assert 0 < (results == 0).sum() < results.size
    *rows, verdict = output_of("own_design.py").splitlines()
    assert [[float(value) for value in row.split()] for row in rows] == results.tolist()
    assert verdict == "equal to the golden model"
