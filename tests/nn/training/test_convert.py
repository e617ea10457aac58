"""Models onto an arithmetic: which layers, which specs, and what is refused."""

import copy

import numpy as np
import pytest

from macgen.errors import MacgenError
from macgen.spec import MacSpec
from tests.optional import need_package

torch = need_package("torch")

from macgen import nn  # noqa: E402

SPEC = MacSpec(a="e4m3fn", b="e4m3fn", acc="e6m5", chunk=16)


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten()
        )
        self.head = torch.nn.Linear(4 * 36, 3)

    def forward(self, x):
        return self.head(self.body(x))


def test_state_dict_and_parameters_stay():
    model = Network()
    before, parameters = model.state_dict(), list(model.parameters())
    assert nn.convert(model, SPEC) is model
    assert list(model.state_dict()) == list(before)
    assert all(own is old for own, old in zip(model.parameters(), parameters, strict=True))
    assert [type(layer) for layer in nn.layers(model).values()] == [nn.Conv2d, nn.Linear]
    fresh = Network()
    fresh.load_state_dict(model.state_dict())
    again = nn.convert(copy.deepcopy(fresh), SPEC)
    x = torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    assert torch.equal(again.eval()(x), model.eval()(x))


def test_layers_used_in_two_places_are_swapped_in_both():
    shared = torch.nn.Linear(3, 3)
    model = nn.convert(torch.nn.Sequential(shared, torch.nn.ReLU(), shared), SPEC)
    assert type(model[0]) is type(model[2]) is nn.Linear
    model(torch.ones(2, 3))
    assert nn.counters(model)["0"]["forward"].calls == 2


def test_an_arithmetic_for_each_layer_and_options():
    own = {"body.0": SPEC, "head": nn.Arithmetic(gradient=SPEC)}
    model = nn.convert(Network(), own, count_every=3)
    arithmetics = {name: layer.gemms.arithmetic for name, layer in nn.layers(model).items()}
    assert arithmetics["body.0"].forward == SPEC
    assert (arithmetics["head"].forward, arithmetics["head"].gradient) == (None, SPEC)
    assert {each.count_every for each in arithmetics.values()} == {3}
    nn.convert(model, SPEC)  # again
    assert nn.layers(model)["head"].gemms.arithmetic == nn.Arithmetic.of(SPEC)


def test_left_layers_stay():
    model = nn.convert(Network(), SPEC, leave=["body"])
    assert list(nn.layers(model)) == ["head"]
    with pytest.raises(MacgenError, match=r"leave has 'tail', which is no layer; accepted are \['body'"):
        nn.convert(Network(), SPEC, leave=["tail"])


@pytest.mark.parametrize("made", [
    lambda: torch.nn.LSTM(3, 4), lambda: torch.nn.ConvTranspose2d(2, 2, 3), lambda: torch.nn.MultiheadAttention(4, 2),
    lambda: torch.nn.Conv3d(1, 1, 2), lambda: torch.nn.Bilinear(2, 2, 2), lambda: torch.nn.GRUCell(2, 2),
])  # fmt: skip
def test_layers_that_are_not_supported_are_named(made):
    model = torch.nn.ModuleDict({"fine": torch.nn.Linear(2, 2), "other": made()})
    kind = type(model["other"]).__name__
    with pytest.raises(
        MacgenError, match=f"layer 'other' is of type {kind}, which is not supported; accepted are Linear"
    ):
        nn.convert(model, SPEC)
    assert type(model["fine"]) is torch.nn.Linear  # nothing is half done
    nn.convert(model, SPEC, leave=["other"])


def test_other_refusals():
    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.matrix = torch.nn.Parameter(torch.ones(2, 2))

    with pytest.raises(MacgenError, match="the model itself of type Own has weights of its own, matrix, which may"):
        nn.convert(Own(), SPEC)
    listed = torch.nn.ModuleDict({"head": torch.nn.Linear(2, 2), "own": Own()})
    listed["more"] = torch.nn.ParameterList([torch.ones(2, 2)])
    with pytest.raises(MacgenError, match="layer 'own' of type Own has weights of its own, matrix"):
        nn.convert(listed, SPEC)
    with pytest.raises(MacgenError, match="layer 'more' of type ParameterList has weights of its own, 0"):
        nn.convert(listed, SPEC, leave=["own.matrix"])
    nn.convert(listed, SPEC, leave=["own.matrix", "more"])
    with pytest.raises(MacgenError, match="'bogus' is no field of an arithmetic; accepted are forward, backward"):
        nn.convert(Network(), SPEC, bogus=3)
    with pytest.raises(MacgenError, match="model has no layer to be swapped"):
        nn.convert(torch.nn.ReLU(), SPEC)
    with pytest.raises(MacgenError, match=r"model 3 is of type int; accepted is a torch.nn.Module"):
        nn.convert(3, SPEC)
    with pytest.raises(MacgenError, match="arithmetic has 'neck', which is no layer"):
        nn.convert(Network(), {"neck": SPEC})
    with pytest.raises(MacgenError, match="arithmetic lacks layer 'head'"):
        nn.convert(Network(), {"body.0": SPEC})


def test_a_plans_file(tmp_path):
    """Rows are found by the names that torch writes into ONNX files; each GEMM gets its own spec."""
    from macgen.network.gemm import KINDS, Gemm, Layer
    from macgen.network.gemm import Network as Shapes
    from macgen.width.goal import Goal
    from macgen.width.network_plan import NetworkPlan, plan_network

    shapes = Shapes(
        name="net",
        batch=8,
        layers=(
            Layer("/body/body.0/Conv", "Conv", (Gemm("forward", 9, 4 * 288), Gemm("gradient", 288, 36))),
            Layer(
                "/head/Gemm", "Gemm", (Gemm("forward", 144, 24), Gemm("backward", 3, 8 * 144), Gemm("gradient", 8, 432))
            ),
        ),
    )
    made = plan_network(shapes, Goal(), kinds=KINDS)
    assert isinstance(made, NetworkPlan)
    file = tmp_path / "plan.json"
    file.write_text(made.to_json(), encoding="utf-8")
    model = nn.convert(Network(), file)
    first, head = (layer.gemms.arithmetic for layer in nn.layers(model).values())
    rows = {(row.layer, row.gemm.kind): row for row in made.rows}
    assert first.forward.acc == rows["/body/body.0/Conv", "forward"].plan.chosen.acc
    assert first.backward is None
    assert {head.forward.acc, head.backward.acc, head.gradient.acc} == {
        row.plan.chosen.acc for (layer, _), row in rows.items() if layer == "/head/Gemm"
    }
    wider = torch.nn.Sequential(torch.nn.Linear(10, 3))
    with pytest.raises(MacgenError, match="plan has no forward GEMM of layer '0'"):
        nn.convert(wider, file)
    with pytest.raises(
        MacgenError, match="with sums of 144 products, where layer '0' sums 10; accepted is a plan of this"
    ):
        nn.convert(wider, file, names={"0": "/head/Gemm"})


def test_losses_that_are_no_numbers_name_what_exploded_first():
    """An accumulator that overflows to infinity: the layer and its counter are named, not where NaN was seen."""
    narrow = MacSpec(a="e5m2", b="e5m2", acc="e5m6", overflow="infinity")
    model = torch.nn.Sequential(torch.nn.Linear(64, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    nn.convert(model, {"0": nn.Arithmetic(forward=narrow, scales="one"), "2": nn.Arithmetic()})
    with torch.no_grad():
        model[0].weight.fill_(200.0)
    nn.layers(model)["0"].gemms.watch.step = 41
    y = model(torch.full((3, 64), 200.0))
    loss = (y - y).sum()  # infinity minus itself
    with pytest.raises(
        MacgenError,
        match="loss is nan in step 41; the first to explode was layer '0' in its forward GEMM in step 41: 24 of 24 "
        "results are infinite or NaN",
    ):
        nn.check_loss(loss, model)
    nn.check_loss(torch.tensor(1.0), model)


def test_saturation_is_what_exploded_first():
    narrow = MacSpec(a="e5m2", b="e5m2", acc="e5m6")
    model = nn.convert(torch.nn.Sequential(torch.nn.Linear(64, 8)), nn.Arithmetic(forward=narrow, scales="one"))
    with torch.no_grad():
        model[0].weight.fill_(200.0)
    model(torch.full((3, 64), 200.0))
    with pytest.raises(MacgenError, match="24 of 24 results are as large as e5m6 has numbers"):
        nn.check_loss(float("inf"), model)


@pytest.mark.parametrize("arithmetic", [SPEC, nn.Arithmetic(forward=SPEC, approximation="difference")])
@pytest.mark.parametrize(("dtype", "size"), [(torch.float32, 2e20), (torch.float16, 300.0)])
def test_results_beyond_the_type_of_their_tensor_are_what_exploded_first(arithmetic, dtype, size):
    """Scaled back they are finite in float64, and infinite in the network: in outputs, and in gradients."""
    model = nn.convert(torch.nn.Sequential(torch.nn.Linear(4, 2, bias=False)).to(dtype), arithmetic)
    with torch.no_grad():
        model[0].weight.fill_(size)
    y = model(torch.full((3, 4), size, dtype=dtype))
    name = str(dtype).removeprefix("torch.")
    assert nn.counters(model)["0"]["forward"].lost == 6
    with pytest.raises(MacgenError, match=f"layer '0' in its forward GEMM in step 0: 6 of 6 results are beyond {name}"):
        nn.check_loss(float(y.detach().sum() - y.detach().sum()), model)
    nn.reset_counters(model)
    y = model(torch.full((3, 4), 1.0, dtype=dtype))
    assert torch.isfinite(y).all()
    y.backward(torch.full((3, 2), size, dtype=dtype))
    assert nn.layers(model)["0"].gemms.watch.first is None
    layer = nn.convert(torch.nn.Linear(4, 2, bias=False).to(dtype), arithmetic)
    layer(torch.full((3, 4), size, dtype=dtype)).backward(torch.full((3, 2), size, dtype=dtype))
    with pytest.raises(MacgenError, match="layer 'Linear' in its gradient GEMM in step 0: 8 of 8 results are beyond"):
        nn.check_loss(float("nan"), layer)
    counted = nn.counters(layer)[""]
    if arithmetic is SPEC:
        assert counted["gradient"].lost == 8
    else:  # gradients of approximations have no GEMM of their own
        assert "gradient" not in counted


def test_operands_that_are_no_numbers_stop_at_once():
    model = nn.convert(torch.nn.Linear(2, 2), SPEC)
    with pytest.raises(
        MacgenError, match="layer 'Linear' got an operand a that is infinite or NaN in its forward GEMM"
    ):
        model(torch.tensor([[np.nan, 1.0]]))


def test_encoders_compute_layer_by_layer_in_evaluation():
    """Torch's fused kernels take the weights and pass the layers by: then nothing would be on the arithmetic."""
    one = torch.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    model = nn.convert(torch.nn.TransformerEncoder(one, 2), SPEC, leave=["layers.0.self_attn", "layers.1.self_attn"])
    x, padding = torch.ones(2, 3, 4), torch.tensor([[False, False, True], [False, False, False]])
    with torch.no_grad():
        model.eval()(x, src_key_padding_mask=padding)
        model.layers[0](x)
    calls = {name: kinds["forward"].calls for name, kinds in nn.counters(model).items()}
    assert calls == {"layers.0.linear1": 2, "layers.0.linear2": 2, "layers.1.linear1": 1, "layers.1.linear2": 1}
