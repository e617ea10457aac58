"""Master copies of weights, updates at random, scaled losses."""

import numpy as np
import pytest

from macgen.errors import MacgenError
from macgen.numerics import Lfsr, Stochastic, parse_format
from macgen.spec import MacSpec
from tests.optional import need_package

torch = need_package("torch")

from macgen import nn  # noqa: E402


def one_weight(value):
    layer = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(value)
    return layer


def steps(layer, optimizer, count, slope=1.0):
    for _ in range(count):
        optimizer.zero_grad()
        optimizer.backward(slope * layer(torch.ones(1, 1)).sum())
        optimizer.step()
    return float(layer.weight.detach())


def test_small_updates_stall_to_nearest_and_arrive_at_random():
    """Steps of a tenth of the last place: to nearest none arrives, at random all of them do in the mean."""
    stalled, taken = one_weight(0.5), one_weight(0.5)
    lr = 2.0**-8 / 10

    def make(parameters):
        return torch.optim.SGD(parameters, lr=lr)

    nearest = nn.Optimizer(stalled, make, master="fix8.8")
    assert steps(stalled, nearest, 400) == 0.5
    assert nearest.updates["weight"].stalled == nearest.updates["weight"].values == 400
    random = nn.Optimizer(taken, make, master="fix8.8", rounding="stochastic:20", seed=1)
    assert steps(taken, random, 400) == pytest.approx(0.5 - 400 * lr, abs=4 * 2.0**-8 * (400 * 0.09) ** 0.5)


def test_updates_at_random_are_the_contracts_with_the_registers_numbers():
    """Each weight takes the next number of the hardware's register, as a rounding unit at an array's edge does."""
    fmt, bits = parse_format("fix4.6"), 8
    layer = torch.nn.Linear(5, 4, bias=False)
    optimizer = nn.Optimizer(
        layer, lambda p: torch.optim.SGD(p, lr=1.0), master=fmt, rounding=f"stochastic:{bits}", seed=7
    )
    old = layer.weight.detach().double().numpy().copy()
    np.testing.assert_array_equal(old, fmt.quantize(old))
    gradient = np.random.default_rng(3).normal(size=(4, 5)).astype("f4")
    layer.weight.grad = torch.from_numpy(gradient.copy())
    optimizer.step()
    lfsr = Lfsr.of(bits)
    state, expected = lfsr.seed(7, 1000), []  # beyond the columns of arrays
    for value in (old - gradient.astype("f8")).flat:
        number = state % (1 << bits)
        state = lfsr.advance(state, bits)
        numerator, denominator = abs(value).as_integer_ratio()
        rounded = fmt.round(
            int(value < 0), numerator, 1 - denominator.bit_length(), Stochastic(bits, number), "saturate"
        )
        expected.append(fmt.decode(np.array([rounded.code]))[0])
    np.testing.assert_array_equal(layer.weight.detach().numpy().reshape(-1), expected)


def test_saturated_updates_are_counted():
    layer = one_weight(7.0)
    optimizer = nn.Optimizer(layer, lambda p: torch.optim.SGD(p, lr=1.0), master="fix4.4")
    assert steps(layer, optimizer, 3, slope=-1.0) == 7.9375
    assert optimizer.updates["weight"].saturated == 3


def test_without_a_master_it_is_torchs_own():
    plain, scaled = one_weight(0.25), one_weight(0.25)
    own = torch.optim.Adam(plain.parameters(), lr=0.01)
    for _ in range(5):
        own.zero_grad()
        plain(torch.ones(1, 1)).sum().backward()
        own.step()
    optimizer = nn.Optimizer(scaled, lambda p: torch.optim.Adam(p, lr=0.01), loss_scale=1024)
    assert steps(scaled, optimizer, 5) == float(plain.weight.detach())


def test_a_dynamic_loss_scale_halves_and_leaves_the_step_out(monkeypatch):
    from macgen.nn.training import optimizer as module

    monkeypatch.setattr(module, "GROWTH_STEPS", 2)
    layer = one_weight(1.0)
    optimizer = nn.Optimizer(layer, lambda p: torch.optim.SGD(p, lr=0.5), loss_scale="dynamic")
    assert optimizer.loss_scale == 65536
    layer.weight.grad = torch.full((1, 1), float("inf"))
    assert optimizer.step() is False
    assert (optimizer.loss_scale, float(layer.weight.detach())) == (32768, 1.0)
    assert steps(layer, optimizer, 2) == 0.0
    assert optimizer.loss_scale == 65536


def test_gradients_that_are_no_numbers_name_what_exploded_first():
    narrow = MacSpec(a="e5m2", b="e5m2", acc="e5m6", overflow="infinity")
    layer = nn.convert(torch.nn.Linear(64, 2), nn.Arithmetic(gradient=narrow, scales="one"))
    optimizer = nn.Optimizer(layer, lambda p: torch.optim.SGD(p, lr=1.0))
    optimizer.backward(layer(torch.full((1, 64), 300.0)).sum() * 400.0)
    with pytest.raises(
        MacgenError,
        match="gradient of 'weight' is infinite or NaN in step 0; the first to explode was layer 'Linear' in its "
        "gradient GEMM in step 0: 128 of 128 results are infinite or NaN",
    ):
        optimizer.step()


def test_refusals():
    layer = one_weight(1.0)

    def make(parameters):
        return torch.optim.SGD(parameters, lr=1.0)

    for options, sentence in (
        ({"loss_scale": -1}, "loss_scale -1 is neither a positive number nor dynamic"),
        ({"rounding": "stochastic:8"}, "rounding 'stochastic:8' does not go with master None; accepted is a format"),
        ({"master": "fix8.8", "rounding": "drop"}, "rounding 'drop' is not one of rne, rtz, floor, stochastic"),
        ({"master": "fp32", "rounding": "stochastic:32"}, "takes 56 bits; accepted are up to 52"),
        ({"master": "fix8.8", "seed": -1}, ""),
    ):
        if sentence:
            with pytest.raises(MacgenError, match=sentence):
                nn.Optimizer(layer, make, **options)
    other = nn.Optimizer(one_weight(1.0), make, master="fix8.8").state_dict()
    with pytest.raises(MacgenError, match="state is of an optimizer of other parameters or master copies"):
        nn.Optimizer(layer, make).load_state_dict(other)


def test_a_dynamic_loss_scale_survives_what_a_layer_refuses():
    """The infinite gradient reaches the GEMMs of the layer before, which refuse it: that step is left out, too."""
    narrow = MacSpec(a="e5m2", b="e5m2", acc="e5m6", overflow="infinity")
    model = torch.nn.Sequential(torch.nn.Linear(4, 64), torch.nn.Linear(64, 2))
    nn.convert(model, nn.Arithmetic(backward=narrow, gradient=narrow, scales="one"))
    with torch.no_grad():
        model[1].weight.fill_(1.0)
    optimizer = nn.Optimizer(model, lambda p: torch.optim.SGD(p, lr=0.5), loss_scale="dynamic")
    before = model[0].weight.detach().clone()
    optimizer.zero_grad()
    optimizer.backward(model(torch.full((1, 4), 1.0)).sum())
    assert optimizer.step() is False
    assert optimizer.loss_scale == 32768
    assert torch.equal(model[0].weight, before)
    assert {watch.step for watch in (layer.gemms.watch for layer in nn.layers(model).values())} == {1}
    optimizer.loss_scale = 1.0
    optimizer.zero_grad()
    optimizer.backward(model(torch.full((1, 4), 1.0)).sum())
    assert optimizer.step() is True
    fixed = nn.Optimizer(model, lambda p: torch.optim.SGD(p, lr=0.5), loss_scale=65536)
    with pytest.raises(MacgenError, match="layer '0' got an operand a that is infinite or NaN in its gradient GEMM"):
        fixed.backward(model(torch.full((1, 4), 1.0)).sum())


def test_of_several_watches_the_first_explosion_is_named():
    """Layers built by hand have a watch each; the one that saw something first is asked, not the first layer's."""
    spec = MacSpec(a="e5m2", b="e5m2", acc="e5m6")
    model = torch.nn.Sequential(
        nn.Linear(2, 2, arithmetic=spec, name="one"), nn.Linear(2, 2, arithmetic=spec, name="two")
    )
    model[1].gemms.watch.note("two", "forward", "it exploded")
    with pytest.raises(MacgenError, match="the first to explode was layer 'two'"):
        nn.check_loss(float("nan"), model)
    optimizer = nn.Optimizer(model, lambda p: torch.optim.SGD(p, lr=0.5))
    model[0].weight.grad = torch.full((2, 2), float("nan"))
    with pytest.raises(MacgenError, match="the first to explode was layer 'two'"):
        optimizer.step()
