"""An interrupted training goes on bit for bit, all of its random numbers included."""

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
    nn.convert(model, nn.Arithmetic())
    with pytest.raises(MacgenError, match="is of a model with other layers or specs"):
        nn.load(tmp_path / "run.pt", model, optimizer)
    with pytest.raises(MacgenError, match="cannot be written"):
        nn.save(tmp_path / "no" / "run.pt", model, optimizer)
