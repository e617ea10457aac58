"""Plans of tensors: formats from statistics, arrays, costs, and files of both."""

import json
from dataclasses import replace

import pytest

from macgen.errors import MacgenError
from macgen.numerics import FixedFormat
from macgen.width.plan_file import load_plan, parse_plan
from macgen.width.tensor_file import load_statistics
from macgen.width.tensor_statistics import LayerStatistics, Statistics
from macgen.width.tensors import TENSORS, plan_tensors

LAYER = LayerStatistics(
    name="one",
    op="Linear",
    weights=100,
    activations=20,
    macs=400,
    lengths={"forward": 20, "backward": 5, "gradient": 640},
    weight_gain=16.0,
    activation_gain=1.0,
    weight_largest=0.9,
    activation_least=0.0,
    activation_largest=2.0,
    weight_gradient_least=2.0**-10,
    weight_gradient_largest=0.03,
    activation_gradient_largest=0.001,
    singular_value=20.0,
)
FOUND = Statistics(network="net", batch=32, learning_rate=0.001, layers=(LAYER, replace(LAYER, name="two")))


def formats(**changes):
    layer = replace(LAYER, **changes)
    return plan_tensors(replace(FOUND, layers=(layer,)), least_bits=4).layers[0]


def test_formats_of_a_layer_as_worked_out_by_hand():
    """Weights from -1 to 1 and activations from 0 to 2 span 2, as the authors' do."""
    layer = formats()
    assert str(layer.weights) == "fix1.5"  # 4 + log2 sqrt(16) bits
    assert str(layer.activations) == "ufix1.3"
    assert layer.weight_gradients == FixedFormat(-1, 12)  # 2 * 0.03 * 3.162 = 0.19 below 2^-2; steps 2^-12
    assert layer.activation_gradients == FixedFormat(-4, 15)  # 8 * 0.001 * 3.162 = 0.0253 below 2^-5; 2^-12 / 4.47
    # 0.001 * 2^-2 * 2^(1 - 11) is above 2^-22; half a step of the weight is 2^-6: 1 + log2(2^-6 / 2^-22) bits.
    assert layer.accumulators == FixedFormat(-5, 22)
    assert layer.accumulators.width == 17
    assert layer.master == FixedFormat(1, 22)


def test_ranges_are_powers_of_two_and_count_in_gains():
    """Twice the range at the same number of bits is twice the step: four times the noise, so one bit more."""
    assert str(formats(activation_largest=2.1, weight_gain=64.0).activations) == "ufix2.2"
    wide = formats(activation_largest=4.0, weight_gain=64.0)
    assert (wide.activations.width, wide.weights.width) == (4, 6)
    signed = formats(activation_least=-3.0, activation_largest=1.0, activation_gain=1 / 16)
    assert str(signed.activations) == "fix3.1"


def test_arrays_sum_exactly_and_round_weight_gradients_once():
    plan = plan_tensors(FOUND, least_bits=4)
    forward, backward, gradient = plan.rows[:3]
    assert (str(forward.spec.a), str(forward.spec.b), forward.spec.out) == ("ufix1.3", "fix1.5", None)
    # 20 products of 15/8 * -1 at most in steps of 2^-8: -37.5 and more need 7 bits before the point.
    assert str(forward.spec.acc) == "fix7.8"
    assert backward.spec.a == gradient.spec.a == plan.layers[0].activation_gradients
    assert gradient.spec.b == plan.layers[0].activations
    assert gradient.spec.out == plan.layers[0].weight_gradients
    assert [row.dot.length for row in plan.rows] == [20, 5, 640] * 2


def test_one_array_for_gemms_of_different_formats_takes_their_codes():
    plan = plan_tensors(FOUND, least_bits=4)
    assert plan.spec("one:gradient") == plan.rows[2].spec
    assert plan.remarks("one:gradient") == ()
    whole = plan.spec("one")
    assert (str(whole.a), str(whole.b)) == ("int11", "int6")  # gradients of 11 bits; weights of 6, activations of 4
    assert whole.acc == FixedFormat(max(row.spec.acc.width for row in plan.rows[:3]))
    assert plan.spec() == whole
    assert "codes of 3 GEMMs" in plan.remarks("one")[0]
    assert [each.length for each in plan.sums("one")] == [20, 5, 640]


def test_one_array_holds_the_product_of_its_operands_which_come_from_different_layers():
    """int12 activations in one layer and int12 weights in the other: fix24, where a row needs at most 19 bits."""
    lengths = {"forward": 4}
    narrow, wide = FixedFormat(1, 3), FixedFormat(1, 11)
    layer = plan_tensors(FOUND, least_bits=4).layers[0]
    gradients = {"weight_gradients": narrow, "activation_gradients": narrow, "accumulators": FixedFormat(0, 12)}
    layers = (
        replace(layer, lengths=lengths, weights=narrow, activations=wide, **gradients),
        replace(layer, name="two", lengths=lengths, weights=wide, activations=narrow, **gradients),
    )
    plan = replace(plan_tensors(FOUND), layers=layers)
    assert max(row.spec.acc.width for row in plan.rows) < 24
    whole = plan.spec()
    assert (str(whole.a), str(whole.b), str(whole.acc)) == ("int12", "int12", "int24")
    longer = replace(plan, layers=tuple(replace(each, lengths={"forward": 4096}) for each in layers))
    assert longer.spec().acc.width == max(row.spec.acc.width for row in longer.rows) > 24


@pytest.mark.parametrize("tensor", TENSORS)
def test_fewer_bits_make_steps_coarser_and_leave_ranges(tensor):
    plan = plan_tensors(FOUND, least_bits=4)
    fewer = plan.fewer(tensor, 2)
    for before, after in zip(plan.layers, fewer.layers, strict=True):
        for name in TENSORS:
            old, new = getattr(before, name), getattr(after, name)
            if name == tensor:
                assert new == replace(old, frac_bits=old.frac_bits - 2)
            elif (tensor, name) == ("weights", "accumulators"):
                assert (new.frac_bits, new.width) == (old.frac_bits, old.width + 2)
            else:
                assert new == old
    assert plan.fewer(tensor, 100).layers[0].spec("forward")  # a bit is left


def test_costs_count_every_layer():
    plan = plan_tensors(FOUND, least_bits=4)
    costs = plan.costs
    assert costs.weights == 2 * 100 * (6 + 11 + 17)
    assert costs.activations == 2 * 20 * (4 + 11)
    assert costs.multiplications == 2 * 400 * (6 * 4 + 6 * 11 + 4 * 11)
    assert costs.communication == 2 * 100 * 11
    assert plan.float_costs.weights == 2 * 100 * 96


def test_the_limit_decides_how_many_bits_the_smallest_gain_has():
    """Steps of both layers' tensors: 4 * (16 * 4^(1 - B - 2) + 4^(1 - B)) / 2 = 4 * 4^(1 - B) <= limit."""
    for limit, bits in ((1.0, 2), (0.25, 3), (0.24, 4), (4.0**-6, 8)):
        assert plan_tensors(FOUND, mismatch=limit).layers[0].activations.width == bits


def test_what_nothing_depends_on_gets_the_fewest_bits():
    assert formats(activation_gain=0.0, weight_gain=16.0).activations.width == 4


# -- files -------------------------------------------------------------------------------------------------------------


def test_plans_and_statistics_are_read_back(tmp_path):
    (tmp_path / "found.json").write_text(FOUND.to_json())
    assert load_statistics(tmp_path / "found.json") == FOUND
    plan = plan_tensors(FOUND)
    (tmp_path / "plan.json").write_text(plan.to_json())
    assert load_plan(tmp_path / "plan.json") == plan


def broken(change):
    values = json.loads(plan_tensors(FOUND, least_bits=4).to_json())
    change(values)
    return json.dumps(values)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda v: v.update(schema=9), "plan has schema 9; accepted is 1"),
        (lambda v: v.update(layers=[]), "plan has no layers; accepted"),
        (lambda v: v.update(layers=3), "plan: layers 3 is not a list; accepted"),
        (lambda v: v.update(batch=0), "plan: batch 0 is not an integer from 1 to 2^63 - 1; accepted"),
        (lambda v: v.update(learning_rate=None), "plan: learning_rate None is not from 2^-200 to 2^200"),
        (lambda v: v.update(learning_rate=True), "plan: learning_rate True is not from 2^-200 to 2^200"),
        (lambda v: v.update(learning_rate=10**400), "plan: learning_rate 10000"),
        (lambda v: v.update(batch=10**400), "plan: batch 10000"),
        (lambda v: v["layers"][1]["lengths"].update(forward=10**400), "plan, layer 2: length forward of layer 'two'"),
        (lambda v: v["layers"][0].pop("lengths"), "plan, layer 1 lacks 'lengths'; accepted"),
        (lambda v: v["layers"].__setitem__(1, 7), "plan, layer 2 7 is not an object; accepted"),
        (lambda v: v["layers"][0]["lengths"].pop("forward"), "plan, layer 1: lengths of layer 'one' lack forward; "),
        (lambda v: v["layers"][0]["lengths"].update(sideways=3), "plan, layer 1: lengths of layer 'one' 'sideways'"),
        (lambda v: v["layers"][0]["sizes"].update(macs=True), "plan, layer 1: macs True is not an integer from 1 to "),
        (lambda v: v["layers"][0]["formats"].update(weights="e5m2"), "plan, layer 1, weights: format 'e5m2'"),
        (lambda v: v["layers"][0]["formats"].update(weights=8), "plan, layer 1, weights: format 8"),
        (
            lambda v: v["layers"][0]["formats"].update(weights="ufix1.8"),
            "plan, layer 1: weights ufix1.8 of layer 'one'",
        ),
        (lambda v: v["layers"][0]["formats"].update(weights="fix1.40"), "plan, layer 1: weights of layer 'one' need"),
        (lambda v: v["layers"][0]["formats"].update(accumulators="fix0.60"), "plan, layer 1: master copy of layer"),
        (
            lambda v: v["layers"][0]["formats"].update(weights="fix20.-10", accumulators="fix10.240"),
            "plan, layer 1: master copy of layer 'one': format fix20.240 has 260 bits",
        ),
        (
            lambda v: v["layers"][1].update(master="fix1.21"),
            "plan, layer 2: master 'fix1.21' contradicts the formats; accepted is 'fix1.22'",
        ),
        (
            lambda v: v["layers"][0]["gemms"]["forward"].update(acc="fix7.7"),
            "plan, layer 1: gemms {'forward': {'a': 'ufix1.3', 'b': 'fix1.5', 'acc': 'fix7.7'",
        ),
        (lambda v: v["layers"][0].update(gemms=None), "plan, layer 1: gemms None contradicts the formats; "),
        (lambda v: v["costs"].update(weights=1), "plan: costs {'weights': 1, "),
        (lambda v: v.update(float_costs=0), "plan: float_costs 0 contradicts the formats; accepted is {'weights'"),
    ],
)
def test_broken_plans_are_refused(change, sentence):
    with pytest.raises(MacgenError) as refused:
        parse_plan(broken(change), "plan")
    assert str(refused.value).startswith(sentence)


def test_plans_may_leave_out_what_follows_from_the_formats():
    plan = plan_tensors(FOUND, least_bits=4)
    values = json.loads(plan.to_json())
    for holder, field in ((values, "costs"), (values, "float_costs"), (values["layers"][0], "master")):
        del holder[field]
    del values["layers"][1]["gemms"]
    assert parse_plan(json.dumps(values), "plan") == plan


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is not valid JSON"),
        ("[]", "are none of tensors"),
        ('{"statistics": "per-tensor", "schema": 2}', "has schema 2"),
        (json.dumps({**json.loads(FOUND.to_json()), "batch": "x"}), "batch 'x'"),
        (json.dumps({**json.loads(FOUND.to_json()), "layers": [{}]}), "layer 1 lacks 'name'"),
    ],
)
def test_broken_statistics_are_refused(tmp_path, content, sentence):
    (tmp_path / "found.json").write_text(content)
    with pytest.raises(MacgenError, match=sentence):
        load_statistics(tmp_path / "found.json")


def test_missing_statistics_are_refused(tmp_path):
    with pytest.raises(MacgenError, match="cannot be read"):
        load_statistics(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"weights": 0}, "weights of layer 'one' 0"),
        ({"weight_gain": float("nan")}, "weight_gain nan of layer 'one' is not 0 or from 2^-200 to 2^200"),
        ({"weight_gain": -1.0}, "weight_gain -1.0 of layer 'one' is not 0 or from 2^-200 to 2^200"),
        ({"weight_gain": 10**400}, "weight_gain 1000"),
        ({"weight_gain": 1e308}, "weight_gain 1e+308 of layer 'one' is not 0 or from 2^-200 to 2^200"),
        ({"weight_gradient_largest": 1e308}, "weight_gradient_largest 1e+308 of layer 'one' is not 0 or from"),
        ({"singular_value": 1e-320}, "singular_value 1e-320 of layer 'one' is not 0 or from"),
        ({"singular_value": True}, "singular_value True of layer 'one' is not 0 or from"),
        (
            {"activation_least": -1e100},
            "activation_least -1e+100 of layer 'one' is not 0 or of a magnitude from 2^-200 to 2^200",
        ),
        ({"macs": 10**400}, "macs of layer 'one' 1000"),
        ({"activation_least": 5.0}, "activation_least 5 of layer 'one' is above activation_largest 2; "),
        ({"lengths": {}}, "lengths of layer 'one' lack forward"),
        ({"lengths": 3}, "lengths of layer 'one' 3"),
    ],
)
def test_refused_statistics(changes, sentence):
    with pytest.raises(MacgenError) as refused:
        replace(LAYER, **changes)
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"learning_rate": 0}, "learning_rate 0 is not from 2^-200 to 2^200"),
        ({"learning_rate": True}, "learning_rate True is not from 2^-200 to 2^200"),
        ({"learning_rate": 10**400}, "learning_rate 1000"),
        ({"learning_rate": 1e-300}, "learning_rate 1e-300 is not from"),
        ({"batch": 10**400}, "batch 1000"),
        ({"layers": ()}, "layers are none"),
        ({"layers": (LAYER, LAYER)}, "layer 'one' is there twice"),
        ({"batch": 0}, "batch 0"),
    ],
)
def test_refused_statistics_of_networks(changes, sentence):
    with pytest.raises(MacgenError) as refused:
        replace(FOUND, **changes)
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize(
    ("options", "changes", "sentence"),
    [
        ({"mismatch": 0}, {}, "mismatch 0 is not from 2^-200 to 1"),
        ({"mismatch": 1e-300}, {}, "mismatch 1e-300 is not from 2^-200 to 1"),
        ({"mismatch": 10**400}, {}, "mismatch 1000"),
        ({}, {"weight_largest": 2.0**-190}, "activations of layer 'one' need"),
        ({}, {"weight_largest": 2.0**190, "weight_gain": 2.0**200}, "weights of layer 'one'"),
        ({}, {"activation_largest": 2.0**-199, "activation_gain": 2.0**-100}, "weights of layer 'one'"),
        ({}, {"singular_value": 2.0**199}, "activation_gradients of layer 'one' need"),
        ({"mismatch": "x"}, {}, "mismatch 'x'"),
        ({"least_bits": 40}, {}, "least_bits 40"),
        ({}, {"weight_gain": 0.0, "activation_gain": 0.0}, "statistics have no noise gain above 0"),
        ({}, {"singular_value": 0.0}, "singular_value of layer 'one' is 0"),
        ({}, {"weight_gradient_least": 0.0}, "weight_gradient_least of layer 'one' is 0"),
        ({}, {"weight_gradient_least": 1e-13}, "weight_gradients of layer 'one' need fix-1.46"),
        ({"mismatch": 1e-12}, {"weight_gain": 1e9}, "weights of layer 'one' need"),
    ],
)
def test_refused_plans(options, changes, sentence):
    with pytest.raises(MacgenError) as refused:
        plan_tensors(replace(FOUND, layers=(replace(LAYER, **changes),)), **options)
    assert str(refused.value).startswith(sentence)


def test_every_tensor_has_a_format_or_is_named_at_the_ends_of_what_statistics_may_have():
    """No other exception, and no sentence that leaves out where: each field at both ends, in one layer of two."""
    small, large = 2.0**-200, 2.0**200
    cases = [
        {"weight_gain": small, "activation_gain": large},
        {"weight_gain": large, "activation_gain": small},
        {"weight_largest": small},
        {"weight_largest": large},
        {"activation_least": -large},
        {"activation_largest": small},
        {"activation_largest": large, "activation_gain": large},
        {"weight_gradient_least": small},
        {"weight_gradient_least": small, "weight_gradient_largest": small},
        {"weight_gradient_largest": large},
        {"weight_gradient_least": large, "weight_gradient_largest": large},
        {"activation_gradient_largest": small},
        {"activation_gradient_largest": large},
        {"singular_value": small},
        {"singular_value": large},
    ]
    for rate, mismatch in ((0.001, 1 / 400), (small, 1.0), (large, small)):
        for changes in cases:
            found = replace(FOUND, learning_rate=rate, layers=(replace(LAYER, **changes), replace(LAYER, name="two")))
            try:
                assert plan_tensors(found, mismatch=mismatch).rows
            except MacgenError as error:
                assert "of layer '" in str(error)


def test_unknown_kinds_of_tensors_are_refused():
    with pytest.raises(MacgenError, match="tensor 'biases'"):
        plan_tensors(FOUND).fewer("biases", 1)


def test_layers_that_a_plan_lacks_are_refused():
    with pytest.raises(MacgenError, match="layer 'three' is not in the plan; accepted are one, two"):
        plan_tensors(FOUND).spec("three")
