"""Preloaded accumulators of the Verilog: products in parts, the testbench, and each mutant is caught."""

import functools
import shutil

import numpy as np
import pytest

import macgen.simulate.verify as verifying
from macgen import MacSpec, build, golden
from macgen.errors import MacgenError
from macgen.simulate.matmul import run_matmul
from macgen.simulate.verify import verify
from macgen.system.tiling import MatrixProduct, Tiling
from tests.mutants import connect, load

PLAIN = {"a": "e4m3", "b": "e4m3", "acc": "e5m3", "rows": 2, "cols": 2, "preload": True}
SPECS = {
    "bubble": MacSpec(**PLAIN | {"chunk": 4}),
    "outer": MacSpec(**PLAIN | {"chunk": 4, "outer": "e6m5", "interleave": 2, "pipeline": 2, "out": "e5m2"}),
    "random": MacSpec(**PLAIN | {"rounding": "stochastic:3", "chunk": 2, "interleave": 3, "pipeline": 3, "rows": 1}),
    "plain": MacSpec(**PLAIN | {"acc": "e5m3:flush", "rounding": "odd", "lanes": 2, "pipeline": 3, "cols": 1}),
    "coarse": MacSpec(**PLAIN | {"a": "e2m1finite", "b": "e2m1finite", "acc": "e6m6", "overflow": "infinity"}),
    "drop": MacSpec(**PLAIN | {"rounding": "drop", "product": "e5m3"}),
    "fixed": MacSpec(**PLAIN | {"a": "fix2.3", "b": "fix2.3", "acc": "fix5.4", "overflow": "wrap", "chunk": 2}),
}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    @functools.cache
    def bundle(name):
        return build(SPECS[name], tmp_path_factory.mktemp(name) / "mac", name="mac").directory

    return bundle


def test_a_product_in_parts_is_the_undivided_one(bundles):
    spec, rng = SPECS["bubble"], np.random.default_rng(3)
    a, b = (spec.a.encode(spec.a.quantize(rng.standard_normal(shape) * 4)) for shape in ((3, 13), (13, 3)))
    start = spec.acc.encode(spec.acc.quantize(rng.standard_normal((3, 3))))
    first = run_matmul(bundles("bubble"), a[:, :8], b[:8], preload=start, simulator="icarus")
    second = run_matmul(bundles("bubble"), a[:, 8:], b[8:], preload=first.codes, simulator="icarus")
    codes, flags = golden.matmul(spec, a, b, preload=start)
    np.testing.assert_array_equal(second.codes, codes)
    np.testing.assert_array_equal(first.flags | second.flags, flags)
    for wrong in (None, start[:2]):
        with pytest.raises(MacgenError, match=r"preload (is missing|has the shape)"):
            run_matmul(bundles("bubble"), a, b, preload=wrong)


@pytest.mark.prove
@pytest.mark.parametrize("name", SPECS)
def test_the_testbench_agrees_with_start_values(bundles, name, tmp_path, monkeypatch):
    monkeypatch.setattr(verifying, "testbench_of", lambda _: "sim.test_preload")
    result = verify(bundles(name), simulator="icarus", tiles=8, workdir=tmp_path)
    assert result.passed, result.runs[0].failed


MUTANTS = {
    "dot products do not wait": ("bubble", lambda v: connect(v, "sequencer", "loaded", "1'b1")),
    "start values move on too early": ("outer", lambda v: connect(v, "preloader", "used", "sequencer__starts")),
    "the start value is not used up": ("bubble", lambda v: load(v, "started", "1'b0", module="mac_preloader")),
}


@pytest.mark.prove
@pytest.mark.parametrize("change", MUTANTS)
def test_a_mutant_of_start_values_is_caught(bundles, change, tmp_path, monkeypatch):
    name, mutate = MUTANTS[change]
    directory = tmp_path / "mac"
    shutil.copytree(bundles(name), directory)
    verilog = directory / "rtl" / "mac.v"
    text = verilog.read_text()
    changed = mutate(text).verilog
    assert changed != text
    verilog.write_text(changed)
    monkeypatch.setattr(verifying, "testbench_of", lambda _: "sim.test_preload")
    assert not verify(directory, simulator="icarus", tiles=8, workdir=tmp_path / "work", trust=True).passed


def test_what_has_no_start_values_is_refused():
    with pytest.raises(MacgenError, match=r"^preload does not go with products larger than the array"):
        Tiling(SPECS["bubble"], MatrixProduct(1, 1, 1))


WIDE = PLAIN | {"a": "fix8.8", "b": "fix8.8", "rows": 1, "cols": 1}


def test_start_values_of_64_bits(tmp_path):
    spec = MacSpec(**WIDE | {"acc": "fix40.24"})
    bundle, start = build(spec, tmp_path / "mac"), (1 << 63) + 1
    found = run_matmul(bundle.directory, [[1]], [[3]], preload=[[start]], simulator="icarus")
    assert int(found.codes[0, 0]) == golden.dot(spec, [1], [3], preload=start)[0]
    assert golden.matmul(spec, [[1]], [[3]], preload=[[start]])[0][0, 0] == golden.dot(spec, [1], [3], preload=start)[0]


@pytest.mark.parametrize(
    ("acc", "start", "sentence"),
    [
        ("fix41.24", 1, r"results of the format fix41\.24 have 65 bits; accepted here are 64"),
        ("fix20.16narrow", 1 << 35, "code.* is no number of fix20.16narrow"),
    ],
)
def test_start_values_that_cannot_be_given_to_the_verilog(acc, start, sentence, tmp_path):
    bundle = build(MacSpec(**WIDE | {"acc": acc}), tmp_path / "mac")
    with pytest.raises(MacgenError, match=sentence):
        run_matmul(bundle.directory, [[1]], [[3]], preload=[[start]], simulator="icarus")
