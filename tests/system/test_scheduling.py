"""Networks and sizes on an array: shapes, bytes and energy by hand, and what is refused."""

import json

import pytest

from macgen import MacSpec, presets
from macgen.bundle import build
from macgen.cost.estimate import Report
from macgen.cost.pricing import Cost
from macgen.errors import MacgenError
from macgen.network import Gemm, Layer, Network, conv_layer, linear_layer, matmul_layer
from macgen.system import MatrixProduct, schedule
from macgen.system.energy import energy_of
from tests.network.models import model, node, saved, value, weight

SPEC = MacSpec(a="int8", b="int4", acc="int20", lanes=2, rows=4, cols=8)


def report_of(spec, **changes):
    power = {"total": 3.0, "combinational": 1.5, "registers": 0.5, "clock": 0.75, "leakage": 0.25}
    cost = Cost(str(spec.acc), {}, 0, 0.0, 0, 0, None, None, "no delays", {}, {}, power, 0.1, 0)
    conditions = {"clock_mhz": 500.0, "library": "generic45", "data": "random operands"}
    return Report("array", spec.to_dict(), cost, None, "none", conditions | changes, ())


def test_a_product():
    """10 x 9 x 7 on 4 x 8 units with 2 lanes: 3 x 2 tiles of 4 beats."""
    (row,) = schedule(SPEC, gemms=[(10, 9, 7)]).rows
    assert (row.tiling.tile_rows, row.tiling.tile_cols, row.tiling.steps) == (3, 2, 4)
    assert row.macs == 630
    latency = 4 + 8 + 1
    assert row.cycles.total == 4 + 5 * (latency + 4) + latency - 1 + 4  # each tile waits for the results before it
    assert row.utilisation == 630 / (row.cycles.total * 64)
    assert row.traffic.operands == 6 * 4 * (4 * 2 * 8 + 8 * 2 * 4) / 8
    assert row.traffic.results == 6 * 4 * 8 * 20 / 8
    assert row.traffic.once == (10 * 7 * 8 + 9 * 7 * 4 + 10 * 9 * 20) / 8
    values = row.to_dict()
    assert values["padding"] == 1 - 630 / (24 * 64)
    assert values["bytes"]["operands_a_cycle"] == row.traffic.operands / row.cycles.total
    assert (values["rows"], values["cols"], values["length"], values["count"]) == (10, 9, 7, 1)


def test_scales_are_operands():
    spec = MacSpec(a="e4m3fn", b="e4m3fn", acc="e6m9", scale="e8m0fnu", chunk=32, outer="fp32", rows=2, cols=3)
    (row,) = schedule(spec, gemms=[(2, 3, 40)]).rows
    assert row.traffic.operands == 40 * (2 + 3) * 2
    assert row.traffic.once == (2 + 3) * (40 + 2) + 2 * 3 * 4


def test_energy_is_the_reports():
    """3 mW at 500 MHz are 6 pJ a cycle, 2 pJ of them clock and leakage."""
    found = schedule(SPEC, gemms=[(10, 9, 7), (4, 8, 1000)], report=report_of(SPEC))
    short, long = found.rows
    assert short.energy_uj == pytest.approx((24 * 6 + (short.cycles.total - 24) * 2) * 1e-6)
    assert long.energy_uj == pytest.approx((500 * 6 + (13 - 1 + 4) * 2) * 1e-6)
    assert found.energy_uj == pytest.approx(short.energy_uj + long.energy_uj)
    assert found.to_dict()["energy_a_cycle_pj"] == {"busy": pytest.approx(6), "idle": pytest.approx(2)}


def test_a_report_of_the_same_core_is_taken_and_one_with_more_fields_refused():
    ports = SPEC.replace(interface="axi-stream", clock_enable=True)
    assert schedule(ports, gemms=[(1, 1, 1)], report=report_of(SPEC)).energy_uj is not None
    values = report_of(SPEC)
    assert schedule(SPEC, gemms=[(1, 1, 1)], report=report_of(ports)).energy == energy_of(values, SPEC)
    values.spec["chunk"] = 64  # which stands in no spec without one
    with pytest.raises(MacgenError, match="is of an array with chunk 64, this one has None; accepted"):
        schedule(SPEC, gemms=[(1, 1, 1)], report=values)
    values.spec["colour"] = "red"
    with pytest.raises(MacgenError, match=r"^report: spec: .*colour"):
        schedule(SPEC, gemms=[(1, 1, 1)], report=values)


def test_figures_of_axi_ports_are_the_cores():
    ports, note = SPEC.replace(interface="axi-stream"), "cycles and bytes are those of the core"
    found, native = (schedule(spec, gemms=[(10, 9, 7)]) for spec in (ports, SPEC))
    assert (found.cycles, found.rows[0].traffic) == (native.cycles, native.rows[0].traffic)
    assert found.to_dict()["notes"][0].startswith(note)
    assert native.to_dict()["notes"] == []


def test_every_layer_of_a_network():
    layers = (
        conv_layer("conv", batch=2, in_channels=4, out_channels=6, kernel=(3, 3), out_size=(5, 5), groups=2),
        matmul_layer("scores", a_shape=(2, 3, 7, 8), b_shape=(2, 3, 8, 9)),
        linear_layer("fc", batch=2, inputs=150, outputs=10),
    )
    network = Network("three", 2, layers, {"Relu": 3, "Loop/MatMul": 1, "Mystery": 2}, ("Loop/MatMul",), ("Mystery",))
    found = schedule(SPEC, network=network)
    assert [(row.layer, row.tiling.product) for row in found.rows] == [
        ("conv", MatrixProduct(50, 18, 3, 2)),
        ("scores", MatrixProduct(7, 8, 9, 6)),
        ("fc", MatrixProduct(2, 150, 10)),
    ]
    assert found.cycles == sum(schedule(SPEC, gemms=[row.tiling.product]).cycles for row in found.rows)
    assert found.macs == 2 * 50 * 18 * 3 + 6 * 7 * 8 * 9 + 2 * 150 * 10
    assert found.uncounted == {"Loop/MatMul": 1, "Mystery": 2}
    assert (found.network, found.batch, found.name) == ("three", 2, "")
    backward = schedule(SPEC, network=network, only=["backward", "gradient"])
    assert [row.kind for row in backward.rows] == [
        "backward",
        "gradient",
        "backward",
        "backward",
        "backward",
        "gradient",
    ]


def test_strided_gradients_use_less_than_they_take():
    """Half of the products of an input gradient of stride 2 are of no taps: they are padded with zeros."""
    from macgen.network.taps import Scatter

    scatter = Scatter(kernel=2, stride=2, dilation=1, size=8, first=0, kept=16)
    layer = conv_layer(
        "conv", batch=1, in_channels=4, out_channels=4, kernel=(2,), out_size=(8,), in_size=(16,), scatters=[scatter]
    )
    (row,) = schedule(SPEC, network=Network("one", 1, (layer,)), only=["backward"]).rows
    assert row.macs == 8 * 2 * 4 * 4
    assert row.tiling.product == MatrixProduct(16, 4, 4)


def test_resnet18():
    """Its multiply-accumulates are those of the paper's table; a 4 x 4 array has no tile to pad but in 7 x 7 layers."""
    found = schedule(presets["default"], network="resnet18")
    assert found.macs == 1_814_073_344
    first = found.rows[0]
    assert first.tiling.product == MatrixProduct(112 * 112, 147, 64)
    tiles = 28 * 112 * 16
    assert first.cycles.total == tiles * (147 + 3) - 1 + 10 - 1 + 4
    assert found.rows[-1].tiling.product == MatrixProduct(1, 512, 1000)
    assert json.dumps(found.to_dict())


def test_every_layer_of_a_model(tmp_path):
    """A convolution in two groups, then the product of what comes of it with itself; both for a batch of 6."""
    nodes = [
        node("Conv", "x w", "y", group=2, kernel_shape=[3, 3]),
        node("Transpose", "y", "t", perm=[0, 1, 3, 2]),
        node("MatMul", "y t", "z"),
    ]
    inputs = [value("x", ["n", 4, 7, 8])]
    file = saved(tmp_path, model(nodes, inputs, [weight("w", 6, 2, 3, 3)]))
    told = []
    found = schedule(SPEC, model=file, dims={"n": 6}, progress=told.append)
    assert [row.tiling.product for row in found.rows] == [
        MatrixProduct(6 * 5 * 6, 18, 3, 2),
        MatrixProduct(5, 6, 5, 36),
    ]
    assert found.batch == 6
    assert told[-1] == "laying out tiles"
    assert schedule(SPEC, model=file, batch=6).rows == found.rows


def test_a_mode_works_as_its_own_spec():
    spec = MacSpec(a="int8", b="int8", acc="int24", rows=2, cols=2, modes=["two:a=int4,b=int4,packed=2"])
    found = schedule(spec, gemms=[(4, 6, 64)], mode="two")
    assert found == schedule(spec.mode("two"), gemms=[(4, 6, 64)])
    assert found.rows[0].cycles.beats * 2 == schedule(spec, gemms=[(4, 6, 64)]).rows[0].cycles.beats
    with pytest.raises(MacgenError, match=r"^mode 'half' is not one of full, two$"):
        schedule(spec, gemms=[(4, 6, 64)], mode="half")
    with pytest.raises(MacgenError, match=r"^report does not go with mode two: .*accepted is one of the two$"):
        schedule(spec, gemms=[(4, 6, 64)], mode="two", report=report_of(spec))


def test_a_bundle_is_as_good_as_its_spec(tmp_path):
    spec = SPEC.replace(rows=1, cols=1)
    bundle = build(spec, tmp_path / "unit")
    for array in (bundle, bundle.directory, str(bundle.directory)):
        found = schedule(array, gemms=[(2, 2, 2)])
        assert (found.name, found.rows) == ("unit", schedule(spec, gemms=[(2, 2, 2)]).rows)


NO_SHAPE = Network("n", 1, (Layer("l", "Gemm", (Gemm("forward", 3, 4),)),))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "nothing given to compute; accepted is one of --gemm MxNxK, --network NAME and a file MODEL.onnx"),
        ({"gemms": [(1, 1, 1)], "model": "x.onnx"}, "gemm and model given to compute; accepted is one of "),
        ({"gemms": 3}, "gemms 3 is no collection; accepted are tuples (M, N, K)"),
        ({"gemms": [(1, 1)]}, "gemm (1, 1) is no size; accepted is a tuple (M, N, K)"),
        ({"gemms": [(1, 0, 1)]}, "gemm (1, 0, 1): cols 0 is not an integer from 1"),
        ({"gemms": [(1, 1, 1)], "batch": 3}, "batch 3 does not go with gemm; accepted is it with a network"),
        ({"gemms": [(1, 1, 1)], "dims": {"n": 3}}, "dim 'n' does not go with gemm; accepted is it with a network"),
        ({"network": "resnet18", "dims": {"n": 3}}, "dim 'n' does not go with network; accepted is it with a model"),
        ({"network": NO_SHAPE, "batch": 3}, "batch 3 does not go with a network of your own, which has one already"),
        ({"network": NO_SHAPE}, "forward GEMM of layer 'l' has no rows and cols; accepted is one that says of which "),
        ({"network": NO_SHAPE, "only": ["gradient"]}, "network 'n' has no GEMMs that are gradient; accepted are some "),
        ({"network": NO_SHAPE, "only": ["all"]}, "only 'all' is not one of forward, backward, gradient"),
        ({"network": "resnet19"}, "network 'resnet19' is unknown; accepted are resnet18, resnet32, alexnet or an ONNX"),
        ({"model": "nowhere.onnx"}, "model 'nowhere.onnx' cannot be read"),
        ({"gemms": [(1, 1, 1)], "report": 3}, "report 3 is no path; accepted is the name of a file or directory"),
        ({"gemms": [(1, 1, 1)], "report": "nowhere"}, "report 'nowhere' cannot be read (No such file or directory); "),
        (
            {"gemms": [(1, 1, 1)], "report": report_of(SPEC.replace(acc="int24"))},
            "report is of an array with acc 'int24', this one has 'int20'; accepted is a report of the same array",
        ),
        (
            {"gemms": [(1, 1, 1)], "report": report_of(SPEC, clock_mhz=0)},
            "report has not the figures of a report; accepted is what macgen report --json writes",
        ),
    ],
)
def test_refusals(arguments, sentence):
    with pytest.raises(MacgenError) as error:
        schedule(SPEC, **arguments)
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not valid JSON"),
        ("[]", "has not the figures of a report"),
        ('{"spec": {}, "cost": {}, "conditions": {}}', "has not the figures of a report"),
        ("[" * 100_000, "is not valid JSON"),
    ],
)
def test_files_that_are_no_reports(text, sentence, tmp_path):
    file = tmp_path / "report.json"
    file.write_text(text)
    with pytest.raises(MacgenError) as error:
        schedule(SPEC, gemms=[(1, 1, 1)], report=file)
    assert str(error.value) == f"report {str(file)!r} {sentence}; accepted is what macgen report --json writes"


def test_a_file_of_a_report(tmp_path):
    file = tmp_path / "report.json"
    file.write_text(json.dumps(report_of(SPEC).to_dict()))
    found = schedule(SPEC, gemms=[(10, 9, 7)], report=file)
    assert found == schedule(SPEC, gemms=[(10, 9, 7)], report=report_of(SPEC))
