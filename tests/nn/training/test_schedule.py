"""Arithmetics that change during training: metrics, rules, phases, scales from the tensors before."""

import pytest

from macgen.errors import MacgenError
from macgen.spec import MacSpec
from tests.optional import need_package

torch = need_package("torch")

from macgen import nn  # noqa: E402
from macgen.nn.training.history import History  # noqa: E402
from macgen.nn.training.schedule import Look, Shares  # noqa: E402

torch.set_num_threads(1)

NARROW = MacSpec(a="int4", b="int4", acc="int24")
WIDE = MacSpec(a="int12", b="int12", acc="int36")
RANDOM = nn.Arithmetic.of(WIDE).replace(gradient_rounding="stochastic:6")
PHASES = {"narrow": NARROW, "wide": RANDOM}


def network():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3))


def made(phases=None, rule=None):
    model = nn.convert(network(), NARROW)
    optimizer = nn.Optimizer(model, lambda p: torch.optim.SGD(p, lr=0.1))
    return model, optimizer, nn.Schedule(model, PHASES if phases is None else phases, rule or nn.EpochRule((2,)))


def steps(model, optimizer, count=3):
    x, y = torch.linspace(-1, 1, 48).reshape(8, 6).sin(), torch.arange(8) % 3
    for _ in range(count):
        optimizer.zero_grad()
        optimizer.backward(torch.nn.functional.cross_entropy(model(x), y))
        optimizer.step()


def test_metrics_of_a_gradient():
    gradient = torch.tensor([[0.0, -0.5, 4.0], [0.25, 0.125, 1.0]])
    found = nn.GradientMetrics.of(gradient)
    assert found == nn.GradientMetrics(0.125, 0.25 - 0.125, 32.0, pytest.approx(1 / 6))  # quarter of 5: the second
    assert nn.GradientMetrics.of(torch.zeros(3)) == nn.GradientMetrics(0.0, 0.0, 0.0, 1.0)


def test_metrics_are_of_weights_that_have_gradients():
    model = network()
    assert nn.metrics(model) == {}
    model(torch.ones(2, 6)).sum().backward()
    assert {*nn.metrics(model)} == {"0.weight", "2.weight"}
    assert nn.metrics(model)["2.weight"] == nn.GradientMetrics.of(model[2].weight.grad)


def test_switching_computes_as_a_model_converted_anew_and_keeps_counters():
    model, optimizer, _ = made()
    steps(model, optimizer)
    calls = nn.counters(model)["0"]["forward"].calls
    x = torch.linspace(-2, 2, 12).reshape(2, 6)
    nn.switch(model, WIDE)
    other = nn.convert(network(), WIDE)
    other.load_state_dict(model.state_dict())
    assert torch.equal(model(x), other(x))
    assert nn.counters(model)["0"]["forward"].calls == calls + 1
    nn.switch(model, {"0": WIDE, "2": NARROW})
    assert nn.layers(model)["2"].gemms.arithmetic.forward == NARROW


def test_random_numbers_go_on_over_phases():
    """Two steps at random, then narrow ones, then at random again: the register is where it was."""
    model, optimizer, schedule = made({"random": RANDOM, "narrow": NARROW}, nn.EpochRule((1,)))
    steps(model, optimizer, 2)
    before = nn.layers(model)["0"].gemms.state()["gradient"]["registers"]
    other = RANDOM.replace(count_every=1)
    nn.switch(model, other)
    assert nn.layers(model)["0"].gemms.state()["gradient"]["registers"] == before
    assert schedule.look(1) == "narrow"
    steps(model, optimizer, 1)


def test_phases_by_epochs():
    model, optimizer, schedule = made()
    names = []
    for epoch in range(4):
        names.append(schedule.look(epoch))
        steps(model, optimizer, 1)
        expected = NARROW if epoch < 2 else WIDE
        assert nn.layers(model)["0"].gemms.arithmetic.gradient == expected
    assert names == schedule.taken == ["narrow", "narrow", "wide", "wide"]


def look(**given):
    return Look(
        **{"epoch": 0, "phase": 1, "phases": 3, "since": 1, "metrics": {}, "first": {}, "shares": Shares()} | given
    )


@pytest.mark.parametrize(
    ("rule", "now", "moved"),
    [
        (nn.MetricRule(smallest=0.5), (0.4, 1.0, 1.0), 1),
        (nn.MetricRule(smallest=0.5), (0.6, 0.0, 9.0), 0),
        (nn.MetricRule(spread=0.5), (1.0, 0.4, 1.0), 1),
        (nn.MetricRule(spread=0.5, ratio=4.0), (0.0, 0.6, 3.9), 0),
        (nn.MetricRule(spread=0.5, ratio=4.0), (0.0, 0.6, 4.1), 1),
    ],
)
def test_rules_of_metrics_compare_with_the_first_look(rule, now, moved):
    first = {"w": nn.GradientMetrics(1.0, 1.0, 1.0, 0.0), "v": nn.GradientMetrics(1.0, 1.0, 1.0, 0.0)}
    seen = {**first, "v": nn.GradientMetrics(*now, 0.0), "new": nn.GradientMetrics(0.0, 0.0, 0.0, 1.0)}
    assert rule.wanted(look(metrics=seen, first=first)) == 1 + moved


@pytest.mark.parametrize(
    ("rule", "shares", "since", "wanted"),
    [
        (nn.CounterRule(flushed=0.3), Shares(flushed=0.4), 1, 2),
        (nn.CounterRule(flushed=0.3), Shares(flushed=0.2, swamped=1.0), 1, 1),
        (nn.CounterRule(flushed=0.3, calm=0.5), Shares(flushed=0.2), 1, 1),
        (nn.CounterRule(flushed=0.3, calm=0.5), Shares(flushed=0.1), 1, 0),
        (nn.CounterRule(flushed=0.3, swamped=0.1, calm=0.5), Shares(flushed=0.1, swamped=0.07), 1, 1),
        (nn.CounterRule(saturated=0.01, calm=0.5, hold=3), Shares(saturated=1.0), 2, 1),
        (nn.CounterRule(saturated=0.01, calm=0.5, hold=3), Shares(saturated=1.0), 3, 2),
    ],
)
def test_rules_of_counters_go_both_ways(rule, shares, since, wanted):
    assert rule.wanted(look(shares=shares, since=since)) == wanted


def test_schedules_count_what_was_lost_since_the_last_look():
    """Four-bit gradients are flushed; of twelve bits hardly any are. So the phases alternate."""
    rule = nn.CounterRule(flushed=0.1, calm=1.0)
    model, optimizer, schedule = made(rule=rule)
    for epoch in range(1, 5):
        steps(model, optimizer, 2)
        schedule.look(epoch)
    assert schedule.taken == ["wide", "narrow", "wide", "narrow"]


def test_interrupted_schedules_go_on_bit_for_bit(tmp_path):
    model, optimizer, schedule = made()
    for epoch in range(3):
        schedule.look(epoch)
        steps(model, optimizer, 2)
    nn.save(tmp_path / "run.pt", model, optimizer, schedule=schedule)
    again, other, its = made()
    with pytest.raises(MacgenError, match="was saved with a schedule and is loaded without one"):
        nn.load(tmp_path / "run.pt", again, other)
    nn.load(tmp_path / "run.pt", again, other, schedule=its)
    assert its.state() == schedule.state()
    for each in ((model, optimizer), (again, other)):
        steps(*each)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in again.state_dict().items())


def test_checkpoints_of_other_schedules_change_nothing(tmp_path):
    model, optimizer, schedule = made()
    schedule.look(2)
    nn.save(tmp_path / "run.pt", model, optimizer, schedule=schedule)
    again, other, its = made({"narrow": NARROW, "wider": WIDE})
    with pytest.raises(MacgenError, match=r"schedule of the phases \['narrow', 'wide'\]"):
        nn.load(tmp_path / "run.pt", again, other, schedule=its)
    again, other, its = made({"narrow": NARROW, "wide": WIDE})
    with pytest.raises(MacgenError, match="gradient_rounding of layer '0' was"):
        nn.load(tmp_path / "run.pt", again, other, schedule=its)
    assert its.name == "narrow"
    assert nn.layers(again)["0"].gemms.arithmetic.forward == NARROW


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: nn.EpochRule((3, 2)), r"starts \(3, 2\) do not ascend"),
        (lambda: nn.EpochRule((0,)), "starts 0"),
        (lambda: nn.MetricRule(), "no limit is given; accepted is at least one of smallest, spread, ratio"),
        (lambda: nn.MetricRule(ratio=-1), "ratio -1 is not a positive number"),
        (lambda: nn.CounterRule(calm=0.5), "no limit is given; accepted is at least one of flushed"),
        (lambda: nn.CounterRule(flushed=0.1, calm=2), "calm 2 is not from 0 to 1"),
        (lambda: nn.Schedule(nn.convert(network(), NARROW), {}, nn.EpochRule((1,))), "phases are none"),
        (lambda: nn.Schedule(nn.convert(network(), NARROW), PHASES, 3), "rule 3 is none"),
        (lambda: nn.Schedule(network(), PHASES, nn.EpochRule((1,))), "model has no layer on an arithmetic"),
        (lambda: nn.switch(nn.convert(network(), NARROW), {"0": WIDE}), "arithmetic lacks layer '2'"),
        (
            lambda: nn.Arithmetic(forward=MacSpec(a="e5m2", b="e5m2", acc="fp32"), scales="history"),
            "scales 'history' does not go with forward e5m2",
        ),
    ],
)
def test_refused_schedules(make, sentence):
    with pytest.raises(MacgenError, match=sentence):
        make()


# -- scales from the tensors before ------------------------------------------------------------------------------------


def test_the_first_scale_fits_and_the_next_follow_from_those_before():
    history = History()
    assert history.scale(0.9, 127.0) == 128.0  # 115.2; twice that would not fit
    assert history.scale(0.1, 127.0) == 64.0  # expected: 2 * 0.9 and a little, and 127 / 1.8 = 70
    assert history.scale(0.1, 127.0) == 16.0  # a deviation of 0.4: 2 * (0.9 + 1.2) = 4.2, and 127 / 4.2 = 30
    assert history.exponents == [4, 7]


def test_a_hundred_units_of_16_bits_are_added_to_what_is_expected():
    history = History()
    assert history.scale(1.0, 32767.0) == 16384.0
    # 2 * (1 + 100 / 16384) = 2.0122; without the 100 units 32767 / 2 would still be below 16384.
    assert history.scale(1.0, 32767.0) == 8192.0
    # Largest 0.997 each time. 2 * 0.997 = 1.994, and 32767 / 1.994 = 16432; with 100 units of 8192 it is 16037.
    history.load_state({"maxima": [0.997] * 16, "exponents": [13, 14], "last": [13]})
    assert history.scale(0.997, 32767.0) == 8192.0
    history.load_state({"maxima": [0.99] * 16, "exponents": [13, 14], "last": [14]})
    assert history.scale(0.99, 32767.0) == 16384.0  # 2 * (0.99 + 100 / 16384) = 1.9922


def test_five_bits_hold_the_exponents():
    history = History()
    assert history.scale(1e-9, 127.0) == 2.0**31  # 36 would be as large as fits
    assert history.scale(1e6, 127.0) == 2.0**31  # saturates, and counts as 2 * 127 / 2**31
    assert history.scale(1e6, 127.0) == 2.0**28
    for _ in range(12):
        scale = history.scale(1e6, 127.0)
    assert scale == 1.0  # 1e6 is beyond what the format holds with any exponent
    assert history.exponents == [0, 31]


def test_after_zeros_alone_a_tensor_is_looked_at():
    history = History()
    for _ in range(20):
        history.scale(0.0, 127.0)
    assert history.scale(0.9, 127.0) == 128.0
    assert history.exponents == [7, 7]


def test_tensors_beyond_their_format_make_room():
    history = History()
    history.scale(1.0, 100.0)
    assert history.scale(50.0, 100.0) == 32.0  # 1600, far beyond 100
    assert history.maxima == [2 * 100 / 32]
    assert history.scale(0.0, 100.0) == 4.0  # 100 / 12.5 = 8, and a little more is expected


def test_the_tensor_after_a_saturation_gets_eight_times_the_room():
    history = History()
    history.load_state({"maxima": [1.9], "exponents": [], "last": [5]})
    assert history.scale(10.0, 127.0) == 32.0  # expected: 3.8, and 127 / 3.8 = 33; 320 saturates at 127
    assert history.scale(10.0, 127.0) == 4.0  # twice what fitted, 7.94; 127 / 15.9 is 8, and a little more is expected
    assert history.maxima[-1] == 10.0


def test_zeros_need_no_scale():
    assert History().scale(0.0, 127.0) == 1.0


def test_models_train_with_scales_from_before_and_go_on(tmp_path):
    def begun():
        model = nn.convert(network(), WIDE, scales="history")
        return model, nn.Optimizer(model, lambda p: torch.optim.SGD(p, lr=0.1))

    model, optimizer = begun()
    steps(model, optimizer)
    nn.save(tmp_path / "run.pt", model, optimizer)
    again, other = begun()
    nn.load(tmp_path / "run.pt", again, other)
    for each in ((model, optimizer), (again, other)):
        steps(*each)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in again.state_dict().items())
    state = nn.layers(model)["0"].gemms.state()["forward"]["histories"]["a"]
    assert len(state["maxima"]) == 6
