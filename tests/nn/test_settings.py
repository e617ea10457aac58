"""What a network runs on: names that tell arithmetics apart, and plans that fit the network."""

from dataclasses import replace

import pytest

import macgen
from macgen.errors import MacgenError
from macgen.network.gemm import linear_layer
from macgen.nn.settings import make_settings
from macgen.spec import MacSpec
from macgen.width.plan_file import parse_plan

SPEC = MacSpec(a="e4m3fn", b="e4m3fn", acc="e6m4")
NAMES = ("one", "two")


def layers(names=NAMES, length=500):
    return [linear_layer(name, batch=1, inputs=length, outputs=3, op="dot") for name in names]


def labels(spec=None, plan=None, sweep=(), names=NAMES):
    return [setting.label for setting in make_settings(layers(names), spec, plan, sweep)]


def planned(**options):
    return parse_plan(macgen.plan(length=500, a="e4m3fn", b="e4m3fn", **options).to_json(), "plan")


def test_accumulator_and_chunk():
    assert labels(SPEC) == ["e6m4, no chunks"]
    assert labels([SPEC, SPEC.replace(chunk=16)]) == ["e6m4, no chunks", "e6m4, chunks of 16"]


def test_what_else_differs_is_named():
    """Only where accumulator and chunk are those of another."""
    specs = [SPEC, SPEC.replace(rounding="rtz"), SPEC.replace(acc="e6m5"), SPEC.replace(lanes=4, rounding="rtz")]
    assert labels(specs) == [
        "e6m4, no chunks, rounding rne, lanes 1", "e6m4, no chunks, rounding rtz, lanes 1", "e6m5, no chunks",
        "e6m4, no chunks, rounding rtz, lanes 4",
    ]  # fmt: skip
    assert labels([SPEC, SPEC.replace(rounding="rtz")], sweep=[2, 3]) == [
        "e6m2, no chunks, rounding rne", "e6m3, no chunks, rounding rne",
        "e6m2, no chunks, rounding rtz", "e6m3, no chunks, rounding rtz",
    ]  # fmt: skip


def test_each_layer_has_the_spec():
    (setting,) = make_settings(layers(), SPEC, None, ())
    assert (setting.specs, setting.man_bits, setting.exact) == ((SPEC, SPEC), None, False)


def test_plans_of_the_same_chunks_are_counted():
    plans = [planned(), planned(nsr=0.04), planned(chunk=16)]
    (layer,) = {row.layer for row in plans[0].rows}
    assert labels(plan=plans, names=[layer]) == ["plan 1, no chunks", "plan 2, no chunks", "plan, chunks of 16"]
    as_planned = plans[0].rows[0].spec
    assert labels(as_planned, plans[0], names=[layer])[1] == "plan, no chunks"


def test_given_twice():
    with pytest.raises(MacgenError, match=r"^e6m4, no chunks is given twice; accepted is each arithmetic once$"):
        labels([SPEC, SPEC])
    plan = planned()
    with pytest.raises(MacgenError, match=r"^plan 2, no chunks is given twice"):
        labels(plan=[plan, plan], names=[plan.rows[0].layer])
    with pytest.raises(MacgenError, match=r"^e6m2, no chunks is given twice"):
        labels([SPEC, SPEC.replace(acc="e6m5")], sweep=[2])


def test_a_plan_of_another_model_with_these_names():
    plan = planned()
    names = [plan.rows[0].layer]
    with pytest.raises(MacgenError) as error:
        make_settings(layers(names, 512), None, plan, ())
    assert str(error.value) == (
        f"plan has layer {names[0]!r} as 'dot of 500 products', where the model has 'dot of 512 products'; accepted "
        f"is a plan of this model and of the data's shapes"
    )
    (row,) = plan.rows
    other = replace(plan, rows=(replace(row, op="Conv"),))
    with pytest.raises(MacgenError, match=r"as 'Conv of 500 products', where the model has 'dot of 500 products'"):
        make_settings(layers(names), None, other, ())
