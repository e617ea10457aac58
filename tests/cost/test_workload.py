import numpy as np
import pytest

from macgen import golden
from macgen.bundle.verilog import to_verilog
from macgen.cost.netlist.netlist import Netlist
from macgen.cost.synthesize import synthesize_gates
from macgen.cost.workload import LANES, data_workload, random_workload, simulate
from macgen.errors import MacgenError
from macgen.spec import MacSpec

SPEC = MacSpec(a="e4m3fn", b="int4", acc="e5m3", chunk=5, rows=2, cols=1)


def netlist_of(spec: MacSpec, directory, change=lambda text: text) -> Netlist:
    file = directory / "array.v"
    file.write_text(change(to_verilog(spec, "array")))
    return synthesize_gates([file], "array", workdir=directory / "work").netlist


def test_random_operands_are_finite_reproducible_and_fill_two_chunks():
    spec = MacSpec(a="e5m2", b="e2m1finite", acc="e6m5", chunk=100, rows=3, cols=2)
    one, same, other = (random_workload(spec, seed) for seed in (1, 1, 2))
    assert one.a.shape == (2, LANES, 3, 200)
    assert one.b.shape == (2, LANES, 200, 2)
    assert np.array_equal(one.a, same.a)
    assert not np.array_equal(one.a, other.a)
    a, b = spec.a.decode(one.a), spec.b.decode(one.b)
    assert np.isfinite(a).all()
    assert a.std() == pytest.approx(1.0, rel=0.05)  # E5M2 reaches far beyond 1
    assert b.std() == pytest.approx(1.0, rel=0.1)  # E2M1 ends at 6


def test_integer_operands_use_a_quarter_of_their_range():
    spec = MacSpec(a="int8", b="uint4", acc="int32")
    workload = random_workload(spec, 1)
    assert spec.a.decode(workload.a).std() == pytest.approx(127 / 4, rel=0.05)


@pytest.mark.thinned(2)
@pytest.mark.parametrize("extra", [{}, {"fold": "overlap"}, {"chunk": None, "pipeline": 2}])
def test_the_netlist_computes_the_workload_at_full_rate(extra, tmp_path):
    spec = MacSpec.from_dict(SPEC.to_dict() | extra)
    workload = random_workload(spec, 3)
    run = simulate(spec, netlist_of(spec, tmp_path), workload)
    assert run.results_checked == 2 * spec.rows * spec.cols
    bubbles = -(-workload.products // spec.chunk) - 1 if spec.chunk and spec.fold == "bubble" else 0
    # The bubble of the tile before the counted one comes after its last operands.
    first = 1 if spec.chunk and spec.fold == "bubble" else 0
    assert run.cycles_per_mac == (workload.products + bubbles + first) / workload.products
    assert 0 < run.activity.toggles.mean() < 1


@pytest.mark.parametrize(
    "extra", [{"chunk": 4}, {"chunk": 4, "outer": "fix70.4", "interleave": 2}], ids=["accumulator", "outer, 74 bits"]
)
def test_start_values_are_drawn_as_operands_are(extra, tmp_path):
    spec = MacSpec(a="int4", b="int4", acc="int16", rows=2, cols=1, preload=True, **extra)
    workload = random_workload(spec, 3)
    assert workload.starts.shape == (2 * spec.interleave, LANES, 2, 1)
    assert len(set(workload.starts.ravel().tolist())) > LANES
    assert "start values" in workload.description
    # Of each tile and turn a lane's results are golden's, from its start values.
    assert simulate(spec, netlist_of(spec, tmp_path), workload).results_checked == 4 * spec.interleave


FIXED_MODES = MacSpec(
    a="fix8.8", b="fix4.4", acc="fix20.12", chunk=4, rows=1, cols=2, pipeline=2,
    modes=["half:a=fix4.4,b=fix2.2,acc=fix20.6", "two:a=fix4.4,b=fix2.2,packed=2"],
)  # fmt: skip


def test_modes_are_streamed_at_full_rate(tmp_path):
    """A packed mode takes half as many cycles; of what a mode does without no register toggles."""
    netlist = netlist_of(FIXED_MODES, tmp_path)
    registers = np.concatenate([group.states for group in netlist.levels.flip_flops])
    still, cycles = [], []
    for number, _ in enumerate(FIXED_MODES.mode_names):
        run = simulate(FIXED_MODES, netlist, random_workload(FIXED_MODES.mode(number), 3), number)
        assert run.results_checked == 2 * FIXED_MODES.rows * FIXED_MODES.cols
        still.append(int((run.activity.toggles[registers] == 0).sum()))
        cycles.append(run.cycles_per_mac)
    # A bubble for each chunk: 4 beats and one, or 2 and one.
    assert cycles[:2] == [pytest.approx(5 / 4, rel=0.01)] * 2
    assert cycles[2] == pytest.approx(3 / 4, rel=0.01)
    # Skews of a and b, their registers in a PE, raw products, accumulators and totals and results: their last bits.
    skews, passed, products, states = 4 + 2 * 3, 4, 2 * 6, 2 * 3 * 6
    assert still[1] - still[0] >= skews + passed + products + states


@pytest.mark.thinned(3)
@pytest.mark.parametrize(
    "extra",
    [
        {"lanes": 5, "chunk": 5},
        {"lanes": 3, "lane_sum": "aligned:6", "chunk": None},
        {"interleave": 2, "fold": "overlap"},
        {"interleave": 3, "rounding": "stochastic:4", "lanes": 5},
        {"interleave": 2, "outer": "e6m5", "out": "e5m2", "chunk": 64},
    ],
    ids=str,
)
def test_lanes_and_turns_are_streamed_at_full_rate(extra, tmp_path):
    spec = MacSpec.from_dict(SPEC.to_dict() | extra)
    workload = random_workload(spec, 3)
    run = simulate(spec, netlist_of(spec, tmp_path), workload)
    assert run.results_checked == 2 * spec.interleave * spec.rows * spec.cols
    beats = -(-workload.products // spec.lanes)
    bubbles = spec.fold == "bubble" and spec.chunk is not None and not spec.has_outer_adder
    folds = -(-workload.products // spec.chunk) * bubbles if spec.chunk else 0
    assert run.cycles_per_mac == (beats + folds) / workload.products


def test_scales_are_streamed_and_results_of_another_format_compared(tmp_path):
    spec = MacSpec(
        a="e2m1finite", b="e2m1finite", acc="fix9.2", chunk=80, scale="e4m3fn", outer="e5m5", out="e4m3", rows=1, cols=1
    )
    workload = random_workload(spec, 3)
    assert set(spec.scale.decode(workload.a_scales).ravel()) == {0.5, 1.0, 2.0}
    assert (workload.a_scales.shape, workload.b_scales.shape) == ((2, LANES, 1, 2), (2, LANES, 2, 1))
    run = simulate(spec, netlist_of(spec, tmp_path), workload)
    assert (run.results_checked, run.cycles_per_mac) == (2, 1.0)


def test_a_wrong_netlist_is_not_priced(tmp_path):
    def change(text: str) -> str:
        assert text.count("assign result__round_up = ") == 1
        return text.replace("assign result__round_up = ", "assign result__round_up = 1'h1 ^ ")

    netlist = netlist_of(SPEC, tmp_path, change)
    with pytest.raises(MacgenError, match=r"^netlist array computes other results than the golden model"):
        simulate(SPEC, netlist, random_workload(SPEC, 3))


def test_data_is_quantised_and_picked_by_rows_and_columns(tmp_path):
    file = tmp_path / "layer.npz"
    a, b = np.full((1, 700), 1.06), np.arange(700.0)[:, None] % 16 - 8
    np.savez(file, a=a, b=b)
    workload = data_workload(SPEC, file, 1)
    assert workload.products == 512
    assert workload.a.shape == (2, LANES, 2, 512)
    assert (SPEC.a.decode(workload.a) == 1.0).all()
    assert (SPEC.b.decode(workload.b)[0, 0, :, 0] == np.clip(b[:512, 0], -8, 7)).all()
    codes, _ = golden.matmul(SPEC, workload.a[0, 0], workload.b[0, 0])
    assert codes.shape == (2, 1)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"a": np.ones((2, 3))}, "has no array 'b'"),
        ({"a": np.ones((2, 3)), "b": np.ones((2, 3))}, r"accepted are \(M, K\) and \(K, N\)"),
        ({"a": np.ones(3), "b": np.ones((3, 1))}, r"accepted are \(M, K\) and \(K, N\)"),
        ({"a": np.ones((0, 3)), "b": np.ones((3, 1))}, r"accepted are \(M, K\) and \(K, N\)"),
        ({"a": np.full((2, 3), np.nan), "b": np.ones((3, 1))}, "accepted are finite numbers"),
        ({"a": np.array([["x"]]), "b": np.ones((1, 1))}, "holds other than numbers"),
        ({"a": np.array([[1j]]), "b": np.ones((1, 1))}, "holds other than numbers"),
        ({"a": np.array([[object()]]), "b": np.ones((1, 1))}, "holds other than numbers"),
    ],
)
def test_wrong_data_is_refused_in_one_sentence(arrays, sentence, tmp_path):
    file = tmp_path / "layer.npz"
    np.savez(file, **arrays)
    with pytest.raises(MacgenError, match=sentence) as error:
        data_workload(SPEC, file, 1)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 truncated", b"no archive"])
def test_an_unreadable_data_file_is_refused(content, tmp_path):
    file = tmp_path / "layer.npz"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(MacgenError, match=r"layer.npz"):
        data_workload(SPEC, file, 1)
