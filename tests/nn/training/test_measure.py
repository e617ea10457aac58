"""What plans of tensors are made from, against NumPy; and trainings on such plans."""

import copy

import numpy as np
import pytest

from macgen.errors import MacgenError
from macgen.width.plan_file import load_plan
from macgen.width.tensors import plan_tensors
from tests.optional import need_package

torch = need_package("torch")

from macgen import nn  # noqa: E402
from macgen.nn.training.measure import noise_gains, squared_singular_value  # noqa: E402

torch.set_num_threads(1)  # such small operations wait for each other longer than they take


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.05)


def network():
    torch.manual_seed(3)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(4 * 16, 3),
    )


def examples(count=96):
    generator = torch.Generator().manual_seed(1)
    y = torch.randint(0, 3, (count,), generator=generator)
    return torch.rand(count, 1, 8, 8, generator=generator) + y.reshape(-1, 1, 1, 1) / 2 - 1, y


@pytest.fixture(scope="module")
def found():
    x, y = examples()
    return nn.measure(network(), x, y, make=sgd, epochs=4, batch=32, examples=12, network="small")


def test_noise_gains_of_a_linear_layer_are_those_on_paper():
    """Z = W x: d(Z_i - Z_y) is x and -x in two rows of W, and W_i - W_y for x."""
    torch.manual_seed(2)
    layer = torch.nn.Linear(5, 4)
    x = torch.rand(7, 5)
    w, b, rows = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy(), x.double().numpy()
    weight_gain = activation_gain = 0.0
    for row in rows:
        z = w @ row + b
        y = int(z.argmax())
        for i in set(range(4)) - {y}:
            weight_gain += 2 * (row**2).sum() / (24 * (z[i] - z[y]) ** 2) / len(rows)
            activation_gain += ((w[i] - w[y]) ** 2).sum() / (24 * (z[i] - z[y]) ** 2) / len(rows)
    ((of_weights, of_inputs),) = noise_gains(torch.nn.Sequential(layer), x, [layer])
    assert of_weights == pytest.approx(weight_gain, rel=1e-4)
    assert of_inputs == pytest.approx(activation_gain, rel=1e-4)


def test_singular_values_are_those_of_squared_inputs():
    """Each output's gradient meets each input of its window once, so the squared Jacobian has squared inputs."""
    torch.manual_seed(5)
    x = torch.randn(6, 9)
    expected = np.linalg.svd(x.double().numpy() ** 2, compute_uv=False)[0]
    assert squared_singular_value(torch.nn.Linear(9, 3), x) == pytest.approx(expected, rel=1e-4)
    images = torch.randn(3, 2, 7, 7)
    windows = torch.nn.functional.unfold(images, 3, padding=1, stride=2)  # (N, taps, places)
    matrix = windows.transpose(1, 2).reshape(-1, 18).double().numpy() ** 2
    convolution = torch.nn.Conv2d(2, 5, 3, stride=2, padding=1)
    assert squared_singular_value(convolution, images) == pytest.approx(
        np.linalg.svd(matrix, compute_uv=False)[0], rel=1e-4
    )


def test_what_is_measured_of_a_training(found):
    convolution, linear = found.layers
    assert (convolution.name, convolution.op, linear.name, linear.op) == ("0", "Conv2d", "3", "Linear")
    assert (convolution.weights, convolution.activations, convolution.macs) == (36, 64, 64 * 9)
    assert dict(convolution.lengths) == {"forward": 9, "gradient": 32 * 16}  # the first layer passes nothing back
    assert dict(linear.lengths) == {"forward": 64, "backward": 3, "gradient": 32}
    assert (found.batch, found.learning_rate, found.network) == (32, 0.05, "small")
    assert convolution.activation_least == pytest.approx(float(examples()[0].min()))
    assert linear.activation_least == 0.0
    assert convolution.activation_largest == pytest.approx(float(examples()[0].max()))
    assert 0 < convolution.weight_gradient_least <= convolution.weight_gradient_largest
    assert min(convolution.weight_gain, linear.activation_gain) > 0


def test_deviations_are_running_means_of_the_gradients_variances():
    """One layer, one example a step: the gradient is (softmax - one-hot) x, which NumPy trains as well."""
    torch.manual_seed(4)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2))
    x, y = torch.rand(5, 3), torch.tensor([0, 1, 1, 0, 1])
    w, b = model[0].weight.detach().double().numpy().copy(), model[0].bias.detach().double().numpy().copy()
    order = torch.randperm(5, generator=torch.Generator().manual_seed(9)).tolist()
    running, kept = None, []
    for row in order:
        example = x[row].double().numpy()
        z = w @ example + b
        g = np.exp(z) / np.exp(z).sum() - np.eye(2)[int(y[row])]
        variances = np.array([np.outer(g, example).var(), g.var()])
        running = variances if running is None else 0.9 * running + 0.1 * variances
        kept.append(running)
        w, b = w - 0.05 * np.outer(g, example), b - 0.05 * g
    layer = nn.measure(model, x, y, make=sgd, epochs=1, batch=1, seed=9, samples=5, examples=5).layers[0]
    assert layer.weight_gradient_least == pytest.approx(min(each[0] for each in kept) ** 0.5, rel=1e-4)
    assert layer.weight_gradient_largest == pytest.approx(max(each[0] for each in kept) ** 0.5, rel=1e-4)
    assert layer.activation_gradient_largest == pytest.approx(max(each[1] for each in kept) ** 0.5, rel=1e-4)


def test_measuring_leaves_the_model_as_it_is():
    model, (x, y) = network(), examples()
    before = copy.deepcopy(model.state_dict())
    nn.measure(model, x, y, make=sgd, epochs=1, batch=32, examples=2)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not model[0]._forward_hooks
    assert not model[0]._forward_pre_hooks


def test_schedules_of_learning_rates_count():
    x, y = examples()
    rate = nn.measure(
        network(),
        x,
        y,
        make=sgd,
        epochs=3,
        batch=48,
        examples=2,
        schedule=lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1),
    ).learning_rate
    assert rate == pytest.approx(0.05 * 0.01)


def train(model, optimizer, epochs=4):
    x, y = examples()
    for _ in range(epochs):
        for rows in torch.arange(len(x)).split(32):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x[rows]), y[rows])
            optimizer.backward(loss)
            optimizer.step()
    return float(loss.detach())


def test_models_train_on_a_plan_and_weights_are_on_their_grids(found, tmp_path):
    plan = plan_tensors(found)
    (tmp_path / "plan.json").write_text(plan.to_json())
    model = nn.convert(network(), tmp_path / "plan.json")
    optimizer = nn.Optimizer(model, sgd, master=load_plan(tmp_path / "plan.json").masters)
    assert {*optimizer.updates} == {"0.weight", "3.weight"}  # biases have no format
    loss = train(model, optimizer)
    for name, fmt in plan.masters.items():
        values = model.get_parameter(name).detach().double().numpy()
        np.testing.assert_array_equal(values, fmt.quantize(values))
    float_model = network()
    expected = train(float_model, nn.Optimizer(float_model, sgd))
    assert loss == pytest.approx(expected, abs=0.02)
    first = nn.layers(model)["0"].gemms.arithmetic
    assert (first.scales, first.forward) == ("one", plan.spec("0:forward"))
    gradients = model[0].weight.grad.double().numpy()
    np.testing.assert_array_equal(gradients, plan.layers[0].weight_gradients.quantize(gradients))


def test_checkpoints_of_some_masters_go_on_bit_for_bit(found, tmp_path):
    plan = plan_tensors(found)

    def made():
        model = nn.convert(network(), plan)
        return model, nn.Optimizer(model, sgd, master=plan.masters, rounding="stochastic:8")

    model, optimizer = made()
    train(model, optimizer, 1)
    nn.save(tmp_path / "run.pt", model, optimizer)
    train(model, optimizer, 1)
    again, other = made()
    nn.load(tmp_path / "run.pt", again, other)
    train(again, other, 1)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in again.state_dict().items())


def test_masters_of_unknown_parameters_are_refused():
    with pytest.raises(MacgenError, match=r"master has '9\.weight', which is no parameter; accepted are \['0\.weight'"):
        nn.Optimizer(network(), sgd, master={"9.weight": "fix1.8"})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": 3}, "model 3"),
        ({"x": [1]}, r"x \[1\]"),
        ({"y": torch.zeros(96)}, r"y \(96,\) of torch.float32"),
        ({"x": torch.tensor(1.0)}, r"x is \(\) of torch.float32"),
        ({"x": torch.rand(96, 5)}, r"model does not take examples x of the shape \(1, 5\) \(RuntimeError"),
        ({"y": torch.full((96,), 3)}, "y has the class 3; accepted are 0 to 2, of the model's 3 outputs"),
        ({"y": torch.full((96,), -1)}, "y has the class -1; accepted are 0 to 2"),
        ({"seed": 10**23}, "seed 1"),
        (
            {"model": torch.nn.Sequential(torch.nn.Conv2d(1, 3, 8), torch.nn.Flatten(2))},
            r"model has outputs \(1, 3, 1\) of torch.float32 for examples x \(1, 1, 8, 8\); accepted are",
        ),
        ({"epochs": 0}, "epochs 0"),
        ({"batch": 97}, "batch 97"),
        ({"leave": ["none"]}, "leave has 'none'"),
        ({"make": lambda p: torch.optim.SGD(p, lr=1e30)}, "loss of the training in float32 is nan in step"),
        ({"model": torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LSTM(64, 3))}, "layer '1' is of type LSTM"),
    ],
)
def test_refused_measurements(changes, sentence):
    x, y = examples()
    given = {"model": network(), "x": x, "y": y, "make": sgd, "epochs": 2, "batch": 32, **changes}
    with pytest.raises(MacgenError, match=sentence):
        nn.measure(given.pop("model"), given.pop("x"), given.pop("y"), **given)


def test_models_that_detach_their_outputs_are_refused():
    class Detached(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(64, 3)

        def forward(self, x):
            return self.layer(x.flatten(1)).detach()

    with pytest.raises(MacgenError, match="layer 'layer' gets no gradient"):
        nn.measure(Detached(), *examples(), make=sgd, epochs=1, batch=32)


def test_layers_that_are_used_twice_are_refused():
    layer = torch.nn.Linear(4, 4)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 4), layer, layer)
    with pytest.raises(MacgenError, match="layer '2' is used twice in a forward pass"):
        nn.measure(model, *examples(), make=sgd, epochs=1, batch=32)


def test_layers_without_gradient_are_refused():
    class Idle(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = torch.nn.Linear(64, 3), torch.nn.Linear(64, 3)

        def forward(self, x):
            return self.used(x.flatten(1))

    with pytest.raises(MacgenError, match="layer 'idle' gets no gradient"):
        nn.measure(Idle(), *examples(), make=sgd, epochs=1, batch=32)
