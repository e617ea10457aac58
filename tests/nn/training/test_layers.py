"""Layers on an arithmetic: torch's own where sums are exact, golden's where they are not, for all three GEMMs."""

import itertools

import numpy as np
import pytest

from macgen import golden
from macgen.errors import MacgenError
from macgen.numerics import Lfsr
from macgen.spec import MacSpec
from tests.optional import need_package

torch = need_package("torch")

from macgen import nn  # noqa: E402

WIDE = MacSpec(a="e8m23", b="e8m23", acc="e11m52")
"""Operands as float32 has them, short sums without an error that float32 would show."""

KULISCH = MacSpec(a="e4m3fn", b="e4m3fn", acc="fix31.18")
"""Every sum is exact."""

CONVOLUTIONS = [
    (torch.nn.Conv1d, (4, 6, 3), {"padding": 1}, (2, 4, 9)),
    (torch.nn.Conv1d, (4, 6, 2), {"stride": 2, "groups": 2}, (3, 4, 7)),
    (torch.nn.Conv2d, (3, 4, 3), {"padding": "same", "dilation": 2}, (2, 3, 6, 7)),
    (torch.nn.Conv2d, (3, 4, 4), {"padding": "same"}, (2, 3, 5, 6)),
    (torch.nn.Conv2d, (4, 4, 3), {"stride": 2, "padding": 1, "groups": 4, "bias": False}, (2, 4, 8, 7)),
    (torch.nn.Conv2d, (2, 6, (3, 1)), {"padding": (1, 0), "padding_mode": "circular"}, (2, 2, 5, 4)),
]


def gradients(layer, x):
    """Return outputs and the gradients of inputs and parameters of a fixed scalar of them."""
    x = x.clone().requires_grad_()
    layer.zero_grad()
    y = layer(x)
    factors = torch.arange(1.0, y.numel() + 1).reshape(y.shape).remainder(7) - 3
    (y * factors.to(y.dtype)).sum().backward()
    return [y.detach(), x.grad, *(p.grad for p in layer.parameters())]


def both(make, arithmetic, x):
    """Return what torch and what a converted copy compute."""
    torch.manual_seed(3)
    plain = make()
    found = nn.convert(make(), arithmetic, scales="pow2")
    found.load_state_dict(plain.state_dict())
    return gradients(plain.to(x.dtype), x), gradients(found.to(x.dtype), x)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")  # torch's own layer says so
@pytest.mark.parametrize("which", ["all", "float"])
@pytest.mark.parametrize(("kind", "sizes", "options", "shape"), CONVOLUTIONS)
def test_convolutions_with_wide_sums_are_torchs(kind, sizes, options, shape, which):
    arithmetic = WIDE if which == "all" else nn.Arithmetic()
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    expected, found = both(lambda: kind(*sizes, **options), arithmetic, x)
    for wanted, own in zip(expected, found, strict=True):
        torch.testing.assert_close(own, wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("shape", [(5, 8), (8,), (2, 3, 8)])
def test_linear_with_wide_sums_is_torchs(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    expected, found = both(lambda: torch.nn.Linear(8, 4), WIDE, x)
    for wanted, own in zip(expected, found, strict=True):
        torch.testing.assert_close(own, wanted, rtol=2e-5, atol=2e-5)


def test_one_example_without_a_batch():
    x = torch.randn(3, 6, 6, generator=torch.Generator().manual_seed(4))
    expected, found = both(lambda: torch.nn.Conv2d(3, 2, 3), WIDE, x)
    for wanted, own in zip(expected, found, strict=True):
        torch.testing.assert_close(own, wanted, rtol=2e-5, atol=2e-5)


def on_grid(fmt, shape, random):
    return torch.from_numpy(fmt.quantize(random.normal(size=shape)))


def test_exact_sums_are_those_of_float64():
    """Operands on their grids and exact sums: autograd of float64 gives the same numbers, to the last bit."""
    random = np.random.default_rng(6)
    layers = [(torch.nn.Linear(12, 5, bias=False), (7, 12)), (torch.nn.Conv2d(2, 3, 3, bias=False), (2, 2, 5, 5))]
    for plain, shape in layers:
        plain = plain.double()
        x = on_grid(KULISCH.a, shape, random)
        with torch.no_grad():
            plain.weight.copy_(on_grid(KULISCH.b, plain.weight.shape, random))
        expected = gradients(plain, x)
        found = gradients(nn.convert(plain, KULISCH, scales="one"), x)
        for wanted, own in zip(expected, found, strict=True):
            assert torch.equal(own, wanted)


def test_gradcheck_of_exact_gemms():
    """By finite differences: without specs, float64 as torch computes it passes through the same function."""
    for layer, shape in (
        (torch.nn.Linear(4, 3), (2, 4)),
        (torch.nn.Conv2d(2, 2, 2, stride=2, padding="valid"), (1, 2, 4, 4)),
        (torch.nn.Conv1d(2, 2, 4, padding="same"), (1, 2, 5)),
    ):
        layer = nn.convert(layer.double(), nn.Arithmetic())
        x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(8), requires_grad=True)
        assert torch.autograd.gradcheck(
            lambda x, w, layer=layer: torch.func.functional_call(layer, {"weight": w}, x), (x, layer.weight)
        )


def test_finite_differences_where_sums_round():
    """A narrow accumulator is a staircase; over wide steps its mean slope is the gradient that is passed on."""
    spec = MacSpec(a="e5m10", b="e5m10", acc="e6m7", chunk=8)
    layer = nn.convert(torch.nn.Linear(32, 1, bias=False), nn.Arithmetic(forward=spec))
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(200, 32, generator=generator)
    found = gradients(layer, x)[1]
    step = 0.5
    for place in (0, 17, 31):
        moved = torch.zeros(32)
        moved[place] = step
        with torch.no_grad():
            slope = (layer(x + moved) - layer(x - moved)) / (2 * step)
        factors = torch.arange(1.0, 201).remainder(7) - 3
        expected = slope[:, 0] * factors
        assert torch.linalg.norm(expected - found[:, place]) < 0.06 * torch.linalg.norm(found[:, place])


SPECS = {
    "forward": MacSpec(a="e4m3fn", b="e5m2", acc="e6m3", chunk=4),
    "backward": MacSpec(a="e5m2", b="e4m3fn", acc="e6m4", rounding="rtz"),
    "gradient": MacSpec(a="e5m2", b="e4m3fn", acc="e6m2", chunk=8),
}


def product(spec, a, b):
    """Return golden's product of values, scaled to powers of two that the test chooses as the rules say it."""
    codes, _ = golden.matmul(spec, spec.a.encode(spec.a.quantize(a)), spec.b.encode(spec.b.quantize(b)))
    return spec.out_format.decode(codes)


def test_each_gemm_is_golden_on_its_own_spec():
    random = np.random.default_rng(9)
    x, w, g = (random.normal(size=size).astype("f4") for size in ((6, 20), (5, 20), (6, 5)))
    layer = nn.Linear(20, 5, bias=False, arithmetic=nn.Arithmetic(**SPECS, scales="one"))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(w))
    inputs = torch.from_numpy(x).requires_grad_()
    y = layer(inputs)
    y.backward(torch.from_numpy(g))
    for own, wanted in (
        (y.detach(), product(SPECS["forward"], x, w.T)),
        (inputs.grad, product(SPECS["backward"], g, w)),
        (layer.weight.grad, product(SPECS["gradient"], g.T, x)),
    ):
        np.testing.assert_array_equal(own.numpy(), wanted.astype("f4"))


def test_lengths_of_a_convolutions_sums_are_the_papers():
    """Forward C_in kh kw, backward C_out kh kw, weights' gradient batch H W: seen by its multiply-accumulates."""
    layer = nn.convert(torch.nn.Conv2d(3, 4, 3, padding=1), WIDE)
    gradients(layer, torch.randn(2, 3, 5, 6, generator=torch.Generator().manual_seed(1)))
    macs = {kind: each.macs for kind, each in layer.gemms.counters.items()}
    outputs = {"forward": 2 * 4 * 30, "backward": 2 * 3 * 30, "gradient": 4 * 27}
    lengths = {kind: macs[kind] / outputs[kind] for kind in macs}
    assert lengths == {"forward": 27, "backward": 36, "gradient": 60}


def test_matmul_of_activations():
    generator = torch.Generator().manual_seed(7)
    a = torch.randn(2, 1, 3, 4, generator=generator, requires_grad=True)
    b = torch.randn(3, 4, 5, generator=generator, requires_grad=True)
    expected = torch.autograd.grad((a @ b).square().sum(), (a, b))
    y = nn.matmul(a, b, WIDE)
    torch.testing.assert_close(y, a @ b, rtol=1e-5, atol=1e-5)
    for own, wanted in zip(torch.autograd.grad(y.square().sum(), (a, b)), expected, strict=True):
        torch.testing.assert_close(own, wanted, rtol=1e-4, atol=1e-4)
    with pytest.raises(MacgenError, match=r"a has the shape \(2, 3\) and b \(4, 5\); accepted are"):
        nn.matmul(torch.zeros(2, 3), torch.zeros(4, 5), WIDE)


@pytest.mark.parametrize("scales", ["pow2", "amax"])
@pytest.mark.parametrize("headroom", ["bound", "measured"])
def test_scales_keep_sums_within_a_narrow_range(scales, headroom):
    """Operands of any size come to their formats, and no accumulator of four exponent bits saturates."""
    spec = MacSpec(a="e3m4finite", b="e3m4finite", acc="e4m7finite:bias=6")
    for size in (1e-6, 1.0, 3e5):
        layer = nn.convert(torch.nn.Linear(50, 6), spec, scales=scales, headroom=headroom, count_every=1)
        gradients(layer, size * torch.randn(9, 50, generator=torch.Generator().manual_seed(1)))
        for each in layer.gemms.counters.values():
            assert each.a.saturated == each.b.saturated == 0
            assert each.steps.saturated == each.at_the_end == each.lost == 0


def test_counters():
    spec = MacSpec(a="e4m3fn", b="e4m3fn", acc="e5m3", chunk=8)
    layer = nn.convert(torch.nn.Linear(20, 3), spec, count_every=2)
    for _ in range(3):
        gradients(layer, torch.randn(4, 20, generator=torch.Generator().manual_seed(1)))
    each = nn.counters(layer)[""]["forward"]
    assert (each.calls, each.counted, each.macs, each.results) == (3, 2, 3 * 240, 36)
    assert (each.steps.additions, each.folds.additions) == (2 * 240, 2 * 2 * 12)
    assert each.steps.swamped > 0
    assert each.a.values == 3 * 80
    nn.reset_counters(layer)
    assert nn.counters(layer)[""]["forward"].calls == 0


def test_operands_rounded_at_random_are_right_in_the_mean():
    spec = MacSpec(a="e3m2finite", b="e3m2finite", acc="fix16.12")
    layer = nn.convert(torch.nn.Linear(1, 1, bias=False), spec, scales="one", rounding="stochastic:13", seed=4)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        y = layer(torch.full((20000, 1), 1.1))
    assert set(y.unique().tolist()) == {1.0, 1.25}
    assert float(y.mean()) == pytest.approx(1.1, abs=4 * 0.125 / 20000**0.5)


@pytest.mark.parametrize("approximation", ["overflow", "difference", "recursive-overflow", "recursive-difference"])
def test_approximated_gradients_equal_plain_ones_where_nothing_is_lost(approximation):
    spec = MacSpec(a="e4m3fn", b="e4m3fn", acc="e8m40", chunk=4)
    x = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(3))
    layer = torch.nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)
    exact = nn.Arithmetic(forward=spec)
    plain = gradients(nn.convert(layer, exact), x)
    found = gradients(nn.convert(layer, exact, approximation=approximation), x)
    for own, wanted, on_operands in zip(found, plain, (0, 1, 2, 0), strict=True):
        # Gradients pass the rounded operands here, not those of float32.
        tolerance = 0.05 * float(wanted.abs().max()) if on_operands else 1e-6
        torch.testing.assert_close(own, wanted, rtol=0, atol=tolerance)


def test_refusals():
    with pytest.raises(MacgenError, match="does not go with these GEMMs; accepted is backward and gradient None"):
        nn.Arithmetic.of(WIDE).replace(approximation="difference")
    with pytest.raises(MacgenError, match="scales 'two' is not one of pow2, amax, one"):
        nn.Arithmetic(scales="two")
    with pytest.raises(MacgenError, match="rounding 'rtz' of operands is not rne or stochastic:r"):
        nn.Arithmetic(rounding="rtz")
    with pytest.raises(MacgenError, match="arithmetic 3 is of type int; accepted is a MacSpec"):
        nn.Linear(2, 2, arithmetic=3)
    layer = nn.Linear(2, 2, arithmetic=MacSpec(a="uint8", b="int8", acc="int32"))
    with pytest.raises(MacgenError, match="has operands a down to -1, where format uint8 has no negative numbers"):
        layer(-torch.ones(1, 2))


def test_all_kinds_of_layers_are_looked_at():
    assert {kind for kind, *_ in CONVOLUTIONS} == set(itertools.chain([torch.nn.Conv1d, torch.nn.Conv2d]))


def test_random_sums_go_on_from_call_to_call():
    """As an array that is not reset: the second product takes the random numbers that follow the first one's."""
    spec = MacSpec(a="e4m3fn", b="e4m3fn", acc="e6m3", rounding="stochastic:9")
    layer = nn.Linear(16, 4, bias=False, arithmetic=nn.Arithmetic(forward=spec, scales="one"))
    x = on_grid(spec.a, (4, 16), np.random.default_rng(1)).float()
    with torch.no_grad():
        layer.weight.copy_(on_grid(spec.b, (4, 16), np.random.default_rng(2)))
        found = torch.cat([layer(x), layer(x)]).numpy()
    expected = product(spec, np.concatenate([x, x]), layer.weight.detach().numpy().T)
    np.testing.assert_array_equal(found, expected.astype("f4"))
    assert (found[:4] != found[4:]).any()


def test_block_scales():
    """Chunks with scales of their own: E4M3 blocks of 32 come close to float32 in all three GEMMs."""
    from macgen import presets

    x = torch.randn(40, 70, generator=torch.Generator().manual_seed(2))
    expected, found = both(lambda: torch.nn.Linear(70, 33), presets["mxfp8"], x)
    for wanted, own in zip(expected, found, strict=True):
        assert torch.linalg.norm(own - wanted) < 0.05 * torch.linalg.norm(wanted)
    with pytest.raises(MacgenError, match="scales 'one' does not go with forward 'e8m0fnu' block scales"):
        nn.Arithmetic(forward=presets["mxfp8"], scales="one")


def test_gradients_of_gradients_are_refused():
    layer = nn.convert(torch.nn.Linear(3, 1), KULISCH)
    x = torch.ones(1, 3, requires_grad=True)
    (slope,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


@pytest.mark.parametrize("approximation", ["identity", "difference"])
def test_no_examples(approximation):
    for made, shape in ((torch.nn.Linear(3, 2), (0, 3)), (torch.nn.Conv1d(3, 2, 2), (0, 3, 4))):
        layer = nn.convert(made, nn.Arithmetic(forward=KULISCH), approximation=approximation)
        y, of_x, of_w, _ = gradients(layer, torch.zeros(shape))
        assert y.shape[0] == of_x.shape[0] == 0
        assert not of_w.any()


def test_exact_sums_are_not_counted():
    layer = nn.convert(torch.nn.Linear(3, 2), KULISCH, exact=True, count_every=1)
    layer(torch.ones(1, 3))
    forward = layer.gemms.counters["forward"]
    assert (forward.calls, forward.counted, forward.steps.additions) == (1, 0, 0)


def test_operands_rounded_at_random_stay_within_wide_exponents():
    """e9m6 has 16 bits and goes far beyond float32: 2^200 is a value of it, not infinity."""
    spec = MacSpec(a="e9m6", b="e9m6", acc="e11m20")
    layer = nn.convert(torch.nn.Linear(1, 1, bias=False).double(), spec, scales="one", rounding="stochastic:8")
    with torch.no_grad():
        layer.weight.fill_(1.0)
        assert float(layer(torch.full((1, 1), 2.0**200, dtype=torch.float64))) == 2.0**200


@pytest.mark.parametrize(
    ("layer", "shape", "accepted"),
    [
        (torch.nn.Conv2d(4, 4, 3, groups=2), (1, 5, 6, 6), r"\(N, 4, 3 or more, 3 or more\), or without N"),
        (torch.nn.Conv2d(4, 4, 3, padding=1), (1, 4, 6, 0), r"\(N, 4, 1 or more, 1 or more\), or without N"),
        (torch.nn.Conv2d(4, 4, 3, dilation=2), (4, 4, 8), r"\(N, 4, 5 or more, 5 or more\), or without N"),
        (torch.nn.Conv1d(4, 4, 3), (1, 4, 6, 6), r"\(N, 4, 3 or more\), or without N"),
        (torch.nn.Linear(8, 2), (3, 7), r"\(..., 8\)"),
        (torch.nn.Linear(8, 2), (), r"\(..., 8\)"),
    ],
)
def test_inputs_of_other_shapes_are_refused(layer, shape, accepted):
    model = nn.convert(torch.nn.Sequential(layer), WIDE)
    with pytest.raises(MacgenError, match=f"layer '0' got inputs of the shape .*; accepted are {accepted}$"):
        model(torch.zeros(shape))


def test_matmul_of_nothing_and_of_lists():
    a = torch.ones(0, 2, 3, requires_grad=True)
    y = nn.matmul(a, torch.ones(3, 4), WIDE)
    y.sum().backward()
    assert (y.shape, a.grad.shape) == ((0, 2, 4), (0, 2, 3))
    assert nn.matmul(torch.ones(2, 0, 3), torch.ones(3, 4), WIDE).shape == (2, 0, 4)
    with pytest.raises(MacgenError, match=r"a \[\[1\]\] is of type list; accepted is a torch.Tensor"):
        nn.matmul([[1]], torch.ones(1, 1), WIDE)


def test_no_two_sources_of_random_numbers_begin_alike():
    """Of the arrays' PEs, of the operands of layers built by hand, and of the weights' updates."""
    spec = MacSpec(a="e4m3fn", b="e4m3fn", acc="e6m7", rounding="stochastic:9")
    own = nn.Arithmetic.of(spec).replace(rounding="stochastic:9", gradient_rounding="stochastic:9")
    model = torch.nn.Sequential(*[nn.Linear(2, 2, arithmetic=own) for _ in range(3)])
    optimizer = nn.Optimizer(model, lambda p: torch.optim.SGD(p, lr=1.0), master="fix8.8", rounding="stochastic:9")
    states = [each.state()[kind]["registers"][which] for each in (layer.gemms for layer in model)
              for kind in SPECS for which in ("a", "b")]  # fmt: skip
    lfsr = Lfsr.of(9)
    states += [optimizer.state_dict()["register"], *(lfsr.seed(0, column) for column in range(128))]
    assert len(states) == len(set(states)) == 3 * 6 + 1 + 128


def test_random_numbers_of_a_product_of_activations_go_on():
    """A function forgets, a module does not; counters and state are those of both calls."""
    spec = MacSpec(a="e4m3fn", b="e4m3fn", acc="e6m3", rounding="stochastic:9")
    own = nn.Arithmetic.of(spec).replace(scales="one")
    a, b = (on_grid(spec.a, (16, 16), np.random.default_rng(seed)).float() for seed in (1, 2))
    model = torch.nn.ModuleDict({"scores": nn.Matmul(own)})
    found = torch.cat([model["scores"](a, b), model["scores"](a, b)]).numpy()
    expected = product(spec, np.concatenate([a, a]), b.numpy())
    np.testing.assert_array_equal(found, expected.astype("f4"))
    assert (found[:16] != found[16:]).any()
    assert nn.counters(model)["scores"]["forward"].calls == 2
    assert torch.equal(nn.matmul(a, b, own), nn.matmul(a, b, own))
