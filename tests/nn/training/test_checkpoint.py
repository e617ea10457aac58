"""An interrupted training goes on bit for bit, all of its random numbers included."""

import resource

import numpy as np
import pytest

from macgen.errors import MacgenError
from macgen.spec import MacSpec
from tests.optional import need_package

torch = need_package("torch")

from macgen import nn  # noqa: E402


def make(seed=0):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.ReLU(), torch.nn.Dropout(0.2),
        torch.nn.Flatten(), torch.nn.Linear(48, 4),
    )  # fmt: skip
    spec = MacSpec(a="e5m2", b="e5m2", acc="e6m4", chunk=8)
    nn.convert(model, spec, gradient_rounding="stochastic:9", rounding="stochastic:5", seed=2, count_every=2)
    optimizer = nn.Optimizer(
        model,
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
        master="fix4.12",
        rounding="stochastic:13",
        loss_scale="dynamic",
        seed=3,
    )
    return model, optimizer


def train(model, optimizer, steps):
    for _ in range(steps):
        x, y = torch.randn(4, 1, 6, 6), torch.randint(0, 4, (4,))
        optimizer.zero_grad()
        optimizer.backward(torch.nn.functional.cross_entropy(model(x), y))
        optimizer.step()


def everything(model, optimizer):
    counters = {
        name: {kind: each.to_dict() for kind, each in kinds.items()} for name, kinds in nn.counters(model).items()
    }
    return model.state_dict(), optimizer.state_dict(), counters


def equal(x, y):
    if isinstance(x, dict):
        return x.keys() == y.keys() and all(equal(x[key], y[key]) for key in x)
    if isinstance(x, (list, tuple)):
        return len(x) == len(y) and all(map(equal, x, y))
    return torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y


def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path):
    whole = make()
    train(*whole, 6)
    first = make()
    train(*first, 3)
    nn.save(tmp_path / "run.pt", *first, epoch=7, order=torch.arange(3))
    train(*first, 1)  # what the interrupt lost
    torch.manual_seed(99)
    resumed = make(seed=55)
    more = nn.load(tmp_path / "run.pt", *resumed)
    assert more["epoch"] == 7
    assert torch.equal(more["order"], torch.arange(3))
    train(*resumed, 3)
    assert equal(everything(*resumed), everything(*whole))
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


def test_refusals(tmp_path):
    model, optimizer = make()
    with pytest.raises(MacgenError, match=r"checkpoint '.*none.pt' is no file; accepted is what macgen.nn.save wrote"):
        nn.load(tmp_path / "none.pt", model, optimizer)
    (tmp_path / "half.pt").write_bytes(b"PK\x03\x04 half")
    with pytest.raises(MacgenError, match="cannot be read"):
        nn.load(tmp_path / "half.pt", model, optimizer)
    torch.save({"schema": 99}, tmp_path / "later.pt")
    with pytest.raises(MacgenError, match="is none of this version"):
        nn.load(tmp_path / "later.pt", model, optimizer)
    nn.save(tmp_path / "run.pt", model, optimizer)
    with pytest.raises(MacgenError, match="cannot be written"):
        nn.save(tmp_path / "no" / "run.pt", model, optimizer)


def linear(spec="e5m2", inputs=4, inner=torch.optim.SGD, master="fix4.12", more=(), scale="dynamic", **options):
    layers = [torch.nn.Linear(inputs, 4), *[torch.nn.Linear(4, 4) for _ in more]]
    model = torch.nn.Sequential(*layers)
    nn.convert(model, MacSpec(a=spec, b=spec, acc="e6m4"), **options)
    return model, nn.Optimizer(model, lambda p: inner(p, lr=0.1), master=master, loss_scale=scale)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"spec": "e4m3"}, "a of forward of layer '0' was e5m2 and is e4m3;"),
        ({"inputs": 3}, r"the shape of 0.weight was \(4, 4\) and is \(4, 3\);"),
        ({"rounding": "stochastic:5"}, "rounding of layer '0' was rne and is stochastic:5;"),
        ({"scales": "one"}, "scales of layer '0' was pow2 and is one;"),
        ({"backward": None}, "backward.* of layer '0' was .* and is "),
        ({"inner": torch.optim.Adam}, "the optimizer was SGD and is Adam;"),
        ({"master": "fix4.10"}, "the master copy was fix4.12 and is fix4.10;"),
        ({"master": None}, "the master copy was fix4.12 and is None;"),
        ({"more": [1]}, r"the shape of 1.weight was absent and is \(4, 4\);"),
        ({"scale": 8.0}, "the loss scale was dynamic and is fixed;"),
    ],
)
def test_checkpoints_of_others_change_nothing(tmp_path, options, sentence):
    nn.save(tmp_path / "run.pt", *linear())
    other = linear(**options)
    with torch.no_grad():
        other[0][0].weight.fill_(0.25)
    before = [other[1].state_dict()["masters"], torch.get_rng_state()]
    with pytest.raises(MacgenError, match=f"is of another model or optimizer: {sentence}"):
        nn.load(tmp_path / "run.pt", *other)
    assert (other[0][0].weight == 0.25).all()
    assert equal([other[1].state_dict()["masters"], torch.get_rng_state()], before)


def test_what_exploded_first_is_kept(tmp_path):
    model, optimizer = linear()
    watch = model[0].gemms.watch
    watch.step = 7
    watch.note("0", "backward", "it exploded")
    nn.save(tmp_path / "run.pt", model, optimizer)
    resumed = linear()
    nn.load(tmp_path / "run.pt", *resumed)
    assert resumed[0][0].gemms.watch.first == watch.first


@pytest.mark.parametrize("value", [lambda: 0, np.float64(1.5), {"deep": [np.arange(3)]}])
def test_what_could_not_be_loaded_again_is_not_saved(tmp_path, value):
    with pytest.raises(
        MacgenError, match=r"best .* of a checkpoint could not be loaded again .*; accepted are Python's"
    ):
        nn.save(tmp_path / "run.pt", *linear(), epoch=3, best=value)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_sentence_and_keeps_the_file_before(tmp_path):
    run = linear()
    nn.save(tmp_path / "run.pt", *run, epoch=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(MacgenError, match=r"run.pt' cannot be written \(File too large\)"):
            nn.save(tmp_path / "run.pt", *run, epoch=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert nn.load(tmp_path / "run.pt", *run)["epoch"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


def test_products_of_activations_are_in_checkpoints(tmp_path):
    def made():
        model, optimizer = linear()
        model.append(nn.Matmul(nn.Arithmetic(forward=MacSpec(a="e5m2", b="e5m2", acc="e6m4")), name="scores"))
        return model, optimizer

    model, optimizer = made()
    model[1](torch.ones(2, 2), torch.ones(2, 2))
    nn.save(tmp_path / "run.pt", model, optimizer)
    resumed = made()
    nn.load(tmp_path / "run.pt", *resumed)
    assert nn.counters(resumed[0])["1"]["forward"].calls == 1
    with pytest.raises(MacgenError, match="the number of watches was 2 and is 1"):
        nn.load(tmp_path / "run.pt", *linear())
