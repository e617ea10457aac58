"""Products of any size through the Verilog: emulate's results, and the cycles that were predicted."""

from pathlib import Path

import numpy as np
import pytest

from macgen import emulate, presets
from macgen.bundle import build
from macgen.errors import MacgenError, ToolError
from macgen.rtl import Design
from macgen.system import MatrixProduct, Stalls, Tiling, compiled, cycles, matmul, simulation
from macgen.system.timing import cycles_before
from tests.mutants import load
from tests.system.arrays import ARRAYS, operands

# Nothing to spare, one more and one less; a dot product of one step; rows, columns and sums much longer than others.
SIZES = [(1, 1, 1), (2, 3, 4), (3, 4, 5), (9, 1, 1), (1, 14, 3), (7, 5, 1), (4, 6, 24), (5, 7, 33), (2, 2, 150)]
STALLS = [Stalls(a=30, b=20, c=40, seed=5), Stalls(a=80, seed=3), Stalls(c=80, seed=4), Stalls(b=60, c=10)]


def same(left, right):
    """Compare values bit by bit, but NaN, which all are the canonical one."""
    return np.array_equal(left, right, equal_nan=True) and np.array_equal(
        np.signbit(left) & ~np.isnan(left), np.signbit(right) & ~np.isnan(right)
    )


def check(array, rows, cols, length, rng, stalls):
    """One product without stalls and one with some, in each mode."""
    for mode in array.spec.mode_names:
        check_mode(array, mode, rows, cols, length, rng, stalls)


def check_mode(array, mode, rows, cols, length, rng, stalls):
    spec = array.spec.mode(mode)
    a, b, scales = operands(rng, spec, rows, cols, length)
    wanted, flags = emulate.matmul(spec, a, b, flags=True, **scales)
    predicted = cycles(Tiling(spec, MatrixProduct(rows, length, cols)))
    quick = array.run(a, b, mode=mode, **scales)
    assert (quick.operand_stalls, quick.result_stalls) == (0, 0)
    assert quick.cycles == predicted.total, (rows, cols, length)
    assert quick.cycles_before == cycles_before(Design(spec))
    slow = array.run(a, b, stalls=stalls, mode=mode, **scales)
    stalled = slow.operand_stalls + slow.result_stalls
    assert predicted.total <= slow.cycles <= predicted.most(stalled), (rows, cols, length, stalls)
    for run in (quick, slow):
        assert same(run.values, wanted)
        np.testing.assert_array_equal(run.flags, flags)


@pytest.mark.thinned("bubbles, turns, lanes")
@pytest.mark.parametrize("name", ARRAYS)
def test_products_are_emulates_and_take_the_cycles_predicted(name, tmp_path):
    rng = np.random.default_rng(1)
    with compiled(build(ARRAYS[name], tmp_path / "array")) as array:
        for index, (rows, cols, length) in enumerate(SIZES):
            check(array, rows, cols, length, rng, STALLS[index % len(STALLS)])
        check_refusals(array)


@pytest.mark.parametrize(
    "ports",
    [
        {"reset_active": "low", "reset": "async"},
        {"clock_enable": True},
        {"interface": "axi-stream", "reset_active": "low", "clock_enable": True, "interleave": 2},
    ],
)
def test_other_ports_make_no_difference(ports, tmp_path):
    """Clock, reset and clock enable are driven as they are named; of AXI4-Stream it is the core that runs."""
    rng = np.random.default_rng(6)
    with compiled(build(ARRAYS["plain"].replace(rows=1, **ports), tmp_path / "array")) as array:
        check(array, 3, 4, 5, rng, STALLS[0])


def check_refusals(array):
    spec = array.spec
    a, b, scales = operands(np.random.default_rng(5), spec, 2, 3, 5)
    off_grid = np.full((5, 3), 1e300)
    for operand, other, sentence in (
        ([1, 2, 3], b, "A has the shape (3,); accepted are matrices with rows and columns"),
        (a, b[1:], "B has 4 rows and A 5 columns; accepted are A of shape (M, K) and B of shape (K, N)"),
        (a, off_grid, f"B: value[0, 0] = 1e+300 is not a value of format {spec.b}"),
    ):
        with pytest.raises(MacgenError) as error:
            array.matmul(operand, other, **scales)
        assert str(error.value).startswith(sentence)
    given, sentence = {"A_scales": [[1.0]] * 2}, "A_scales is given, but the array has no scales; accepted is none"
    if spec.scale is not None:
        given, sentence = {}, f"A_scales is missing; accepted is values of {spec.scale} in the shape (2, "
    with pytest.raises(MacgenError) as error:
        array.matmul(a, b, **given)
    assert str(error.value).startswith(sentence)
    with pytest.raises(MacgenError, match="stalls 3 is of type int; accepted is Stalls"):
        array.run(a, b, **scales, stalls=3)


@pytest.mark.thinned(prove=3)
@pytest.mark.parametrize("name", ARRAYS)
def test_random_sizes_up_to_300(name, tmp_path):
    rng = np.random.default_rng(2)
    with compiled(build(ARRAYS[name], tmp_path / "array")) as array:
        for _ in range(12):
            rows, cols, length = (int(np.exp(rng.uniform(0, np.log(300)))) for _ in range(3))
            stalls = Stalls(*(int(percent) for percent in rng.integers(0, 91, 3)), seed=int(rng.integers(1000)))
            check(array, rows, cols, length, rng, stalls)
        if array.spec.lanes > 1:  # which is the quickest to simulate
            check(array, 300, 299, 298, rng, Stalls(a=20, b=20, c=20))


@pytest.mark.thinned(prove=2)
@pytest.mark.parametrize("name", ["default", "mxfp8", "nvfp4", "deepseek-v3", "kulisch-e4m3"])
def test_presets(name, tmp_path):
    rng = np.random.default_rng(3)
    spec = presets[name].replace(rows=2, cols=2)
    with compiled(build(spec, tmp_path / "array")) as array:
        for rows, cols, length in ((4, 4, 100), (17, 30, 65), (1, 50, 200)):
            check(array, rows, cols, length, rng, STALLS[0])


@pytest.mark.prove
def test_random_numbers_begin_anew_with_each_product(tmp_path):
    """As after a reset; stalls do not change them."""
    spec = ARRAYS["plain"].replace(acc="e3m2", rounding="stochastic:4", chunk=4, interleave=2, cols=1)
    rng = np.random.default_rng(4)
    a, b, _ = operands(rng, spec, 5, 3, 21)
    with compiled(build(spec, tmp_path / "array")) as array:
        runs = [array.run(a, b, stalls=stalls).codes for stalls in (Stalls(), Stalls(a=50), Stalls())]
        values, flags = array.matmul(a, b, flags=True)
    for run in runs[1:]:
        np.testing.assert_array_equal(run, runs[0])
    wanted, wanted_flags = emulate.matmul(spec, a, b, flags=True)
    np.testing.assert_array_equal(values, wanted)
    np.testing.assert_array_equal(flags, wanted_flags)


def test_an_array_that_is_too_large_to_be_compiled_as_a_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(simulation, "MOST_UNITS", 0)
    bundle = build(ARRAYS["plain"], tmp_path / "array")
    with pytest.raises(MacgenError, match=r"units is too large to be compiled as a whole, .* at most 0 units"):
        compiled(bundle).__enter__()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Stalls(a=96), "stalls of a 96 is not an integer from 0 to 95"),
        (lambda: Stalls(c=0.5), "stalls of c 0.5 is not an integer from 0 to 95"),
        (lambda: Stalls(seed=-1), "seed -1 is not an integer from 0 to 2^63 - 1"),
        (lambda: matmul("/nowhere", [[1]], [[1]]), "bundle '/nowhere' "),
        (lambda: matmul("/nowhere", [[1]], [[1]], flags=1), "flags 1 is not true or false"),
        (lambda: compiled("/nowhere", timeout=0).__enter__(), "timeout 0 is not a positive number of seconds"),
    ],
)
def test_refusals(make, sentence):
    with pytest.raises(MacgenError) as error:
        make()
    assert str(error.value).startswith(sentence)


@pytest.mark.prove
def test_a_simulation_that_hangs_ends_with_its_log(tmp_path):
    """Of an array that never takes a last beat; its directory stays, with the log."""
    bundle = build(ARRAYS["plain"].replace(rows=1, cols=1), tmp_path / "array")
    bundle.verilog.write_text(load(bundle.verilog.read_text(), "busy", "1'b1").verilog)
    with pytest.raises(
        ToolError, match=r"nothing moved for 100000 cycles: 2 beats .*; its log is .*stream.txt$"
    ) as error:
        matmul(bundle, [[1, 1, 1]], [[1], [1], [1]], trust=True)
    assert Path(str(error.value).partition("its log is ")[2]).is_file()
    with pytest.raises(MacgenError, match="was changed after it was built"):
        matmul(bundle, [[1]], [[1]])
