import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macgen import MacSpec
from macgen.errors import MacgenError
from macgen.network.gemm import Gemm, Layer, Measurement, Network, OperandStatistics
from macgen.network.papers import paper_network
from macgen.numerics import FixedFormat, FloatFormat
from macgen.width import exponent, nsr
from macgen.width.network_plan import choose_spec, load_specs, measured_sum, plan_length, plan_network
from macgen.width.planning import Goal, Sum, plan

WRITES = "accepted is what macgen plan --json writes"

SMALL = Network(
    "small",
    2,
    (
        Layer("first", "Conv", (Gemm("forward", 27, 100), Gemm("gradient", 5000, 27))),
        Layer("last", "Gemm", (Gemm("forward", 4608, 10), Gemm("backward", 10, 4608), Gemm("gradient", 2, 46080))),
    ),
    {"Relu": 3},
)


def statistics(nonzero=1.0, largest=1.0, rms=0.5, dtype="float32"):
    return OperandStatistics(nonzero, largest, 0.01, rms, dtype)


def with_measurement(measured):
    gemms = Gemm("forward", 4608, 10), Gemm("gradient", 640, 4608)
    return Network("measured", 1, (Layer("only", "Conv", gemms, measured),))


def written(tmp_path, planned, name="plan.json"):
    path = tmp_path / name
    path.write_text(planned.to_json(), encoding="utf-8")
    return path


# -- totals ----------------------------------------------------------------------------------------------------------


def test_rows_are_the_plans_of_the_gemms():
    goal = Goal(chunk=64)
    calls = []
    found = plan_network(SMALL, goal, progress=lambda *call: calls.append(call))
    assert calls == [(k, 5) for k in range(1, 6)]
    assert [(row.layer, row.op, row.gemm.kind, row.gemm.length) for row in found.rows] == [
        ("first", "Conv", "forward", 27),
        ("first", "Conv", "gradient", 5000),
        ("last", "Gemm", "forward", 4608),
        ("last", "Gemm", "backward", 10),
        ("last", "Gemm", "gradient", 2),
    ]
    assert all(row.plan == plan(goal, Sum(length=row.gemm.length)) for row in found.rows)
    assert (found.network, found.batch, found.goal, found.skipped) == ("small", 2, goal, {"Relu": 3})


def test_totals_by_hand():
    """NSR 0.0225 n / 4^m <= 0.01: m = 3 for 27, 7 for 5000 and 4608, 3 for 10 (0.0225 * 10 / 4^2 > 0.01), 2 for 2."""
    found = plan_network(SMALL, Goal())
    formats = [str(row.plan.chosen.acc) for row in found.rows]
    assert formats == ["e5m3", "e5m7", "e5m7", "e5m3", "e5m2"]
    macs = [2700, 135000, 46080, 46080, 92160]
    assert [row.gemm.macs for row in found.rows] == macs
    bits = (2700 * 9 + 135000 * 13 + 46080 * 13 + 46080 * 9 + 92160 * 8) / sum(macs)
    assert found.mean_bits == pytest.approx(bits, rel=1e-12)
    assert found.saving == pytest.approx(1 - bits / 32, rel=1e-12)
    assert found.widest == FloatFormat(5, 7)


def test_the_widest_joins_exponent_and_mantissa():
    """A short sum of tight noise and a long one that reaches far: no row has both."""
    layers = (Layer("a", "Gemm", (Gemm("forward", 1 << 30, 1),)), Layer("b", "Gemm", (Gemm("forward", 4, 1),)))
    found = plan_network(Network("two", 1, layers), Goal(a="e2m3", b="e2m3"))
    accs = [row.plan.chosen.acc for row in found.rows]
    assert found.widest == FloatFormat(max(x.exp_bits for x in accs), max(x.man_bits for x in accs))
    spec = choose_spec(
        (
            ("a", "forward", MacSpec(a="e2m1", b="e2m1", acc="e5m3")),
            ("b", "forward", MacSpec(a="e2m1", b="e2m1", acc="e4m6")),
        ),
        None,
    )
    assert spec.acc == FloatFormat(5, 6)


def test_kinds():
    found = plan_network(SMALL, Goal(), kinds=("forward",))
    assert [row.gemm.kind for row in found.rows] == ["forward", "forward"]
    assert found.mean_bits == pytest.approx((2700 * 9 + 46080 * 13) / 48780, rel=1e-12)


def test_integers_save_against_int32():
    found = plan_network(SMALL, Goal(a="int8", b="int8"), kinds=("forward",))
    assert [str(row.plan.chosen.acc) for row in found.rows] == ["int20", "int28"]
    assert found.widest == FixedFormat(28)
    assert found.saving == pytest.approx(1 - (2700 * 20 + 46080 * 28) / 48780 / 32, rel=1e-12)


def test_resnet18_forward():
    """The VRR's widths of the blocks, without chunks; the 1 x 1 projections are shorter."""
    found = plan_network(paper_network("resnet18", 256), Goal(chunk=64), kinds=("forward",))
    blocks = {1: 7, 2: 7, 3: 8, 4: 9}
    for row in found.rows:
        if row.layer.endswith("conv2"):
            assert row.plan.answer("vrr", None).man_bits == blocks[int(row.layer[5])]
            assert row.plan.answer("vrr", 64).man_bits == 5


def test_one_length():
    found = plan_length(4608, Goal(chunk=64), nzr=0.5)
    (row,) = found.rows
    assert row.plan == plan(Goal(chunk=64), Sum(length=4608, nzr=0.5))
    assert found.widest == row.plan.chosen.acc
    assert found.mean_bits == row.plan.chosen.acc.width


def test_networks_without_products():
    for network, kinds in ((Network("empty", 1, ()), ("forward",)), (SMALL, ())):
        with pytest.raises(MacgenError) as caught:
            plan_network(network, Goal(), kinds=kinds)
        assert str(caught.value) == (
            f"network {network.name!r} has no multiply-accumulates of the kinds {', '.join(kinds)}; accepted are "
            f"networks with convolutions or matrix products"
        )


def test_absurd_lengths():
    network = Network("long", 1, (Layer("x", "Gemm", (Gemm("forward", 1 << 41, 1),)),))
    with pytest.raises(MacgenError) as caught:
        plan_network(network, Goal())
    assert str(caught.value) == "length 2199023255552 is not an integer from 1 to 2^40"


# -- measured --------------------------------------------------------------------------------------------------------


def test_measured_sparsity_and_range_enter_the_forward_gemm_only():
    measured = Measurement(statistics(nonzero=0.25, rms=0.5), statistics(nonzero=0.5, rms=0.125))
    found = plan_network(with_measurement(measured), Goal())
    assert found.rows[0].plan.sum == Sum(length=4608, nzr=0.125, rms=0.0625)
    assert found.rows[1].plan.sum == Sum(length=640)
    acc = found.rows[0].plan.chosen.acc
    assert acc.man_bits == nsr.min_man_bits(576, 0.01)
    assert acc.exp_bits == exponent.choose(*Goal().formats, 4608, acc.man_bits, rms=0.0625).bits


def test_measured_weights_bound_integers():
    numbers = statistics(largest=127.0, rms=30.0, dtype="int8")
    found = plan_network(with_measurement(Measurement(numbers, numbers, weight_l1=20000)), Goal(a="uint8", b="int8"))
    assert (found.rows[0].plan.chosen.method, str(found.rows[0].plan.chosen.acc)) == ("weights", "int24")
    assert found.rows[1].plan.chosen.method == "exact"


@pytest.mark.parametrize(
    ("a", "b", "goal", "rms"),
    [
        (statistics(largest=3.0, rms=0.5), statistics(largest=6.0, rms=2.0), Goal(a="e2m1finite", b="e2m1finite"), 1.0),
        (
            statistics(largest=6.1, rms=0.5),
            statistics(largest=48.0, rms=2.0),
            Goal(a="e2m1finite", b="e2m1finite"),
            0.25 * 0.25,
        ),
        # Real numbers fill a fixed-point format: 0.4 * 256 = 102.4, not 204.8; 500 / 4 = 125
        (statistics(largest=0.4, rms=0.1), statistics(rms=2.0), Goal(a="int8", b="e5m2"), 25.6 * 2),
        (statistics(largest=500.0, rms=100.0), statistics(rms=2.0), Goal(a="int8", b="e5m2"), 25.0 * 2),
        (statistics(largest=9.0, rms=3.0, dtype="int8"), statistics(rms=2.0), Goal(a="int8", b="e5m2"), 6.0),
    ],
)
def test_operands_are_scaled_into_their_formats(a, b, goal, rms):
    assert measured_sum(100, Measurement(a, b), goal) == Sum(length=100, rms=rms)


@pytest.mark.parametrize(
    "a", [statistics(nonzero=0.0, largest=0.0, rms=0.0), statistics(rms=0.0), statistics(largest=0.0, rms=0.0)]
)
@pytest.mark.parametrize("goal", [Goal(), Goal(a="int8", b="e5m2")])
def test_nothing_but_zeros(a, goal):
    assert measured_sum(100, Measurement(a, statistics(), 7), goal) == Sum(length=100, weight_l1=7)


# -- the file --------------------------------------------------------------------------------------------------------


def test_json_says_everything():
    found = plan_network(SMALL, Goal(chunk=64, rounding="rtz"))
    values = json.loads(found.to_json())
    assert {name: values[name] for name in ("schema", "network", "batch", "skipped", "widest")} == {
        "schema": 1,
        "network": "small",
        "batch": 2,
        "skipped": {"Relu": 3},
        "widest": str(found.widest),
    }
    assert values["goal"] == {
        "a": "e5m2",
        "b": "e5m2",
        "chunk": 64,
        "rounding": "rtz",
        "nsr": 0.01,
        "limit": 50.0,
        "reading": "per-level",
        "overflow_probability": 1e-6,
    }
    assert (values["mean_bits"], values["saving"]) == (found.mean_bits, found.saving)
    row, planned = values["rows"][2], found.rows[2].plan
    assert {
        name: row[name] for name in ("layer", "op", "kind", "length", "outputs", "macs", "nzr", "rms", "chunk")
    } == {
        "layer": "last",
        "op": "Gemm",
        "kind": "forward",
        "length": 4608,
        "outputs": 10,
        "macs": 46080,
        "nzr": 1.0,
        "rms": None,
        "chunk": 64,
    }
    assert (row["acc"], row["decided_by"], row["reason"]) == (str(planned.chosen.acc), "noise", planned.chosen.reason)
    assert row["warnings"] == list(planned.warnings) != []
    assert [(x["method"], x["chunk"], x["acc"], x["man_bits"], x["reason"]) for x in row["answers"]] == [
        (x.method, x.chunk, str(x.acc), x.man_bits, x.reason) for x in planned.answers
    ]


@pytest.mark.parametrize(
    "goal",
    [
        Goal(),
        Goal(chunk=64, rounding="drop"),
        Goal(chunk="auto", rounding="rtz", a="e4m3fn"),
        Goal(a="uint8", b="int8"),
        Goal(a="fix2.6", b="ufix0.8", chunk=32),
        Goal(a="e4m3:bias=9", b="int4"),
    ],
)
def test_specs_are_read_back(tmp_path, goal):
    found = plan_network(SMALL, goal)
    path = written(tmp_path, found)
    assert load_specs(path) == tuple((row.layer, row.gemm.kind, row.plan.spec()) for row in found.rows)
    assert load_specs(str(path)) == load_specs(path)


def test_measured_plans_are_read_back(tmp_path):
    network = with_measurement(Measurement(statistics(nonzero=0.5), statistics()))
    found = plan_network(network, Goal(chunk=64))
    assert load_specs(written(tmp_path, found))[0] == ("only", "forward", found.rows[0].plan.spec())


def sentence_of(path):
    """What refuses a file: one line that names it or a field, and what is accepted."""
    with pytest.raises(MacgenError) as caught:
        load_specs(path)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 1000
    return text


def test_truncated_files(tmp_path):
    path = tmp_path / "plan.json"
    whole = plan_network(SMALL, Goal(), kinds=("forward",)).to_json().encode()
    for length in range(0, len(whole) - 2, 7):
        path.write_bytes(whole[:length])
        assert sentence_of(path) == f"plan {str(path)!r} cannot be read (not valid JSON); {WRITES}"
    path.write_bytes(whole[:-1])  # without the last newline it is whole
    assert len(load_specs(path)) == 2


@given(st.data())
def test_changed_bytes(tmp_path_factory, data):
    """A plan that is read is one of specs; everything else is a sentence."""
    whole = bytearray(plan_network(SMALL, Goal(), kinds=("forward",)).to_json().encode())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("changed") / "plan.json"
    path.write_bytes(bytes(whole))
    try:
        found = load_specs(path)
    except MacgenError as error:
        assert "\n" not in str(error)
    else:
        assert all(isinstance(spec, MacSpec) for _, _, spec in found)


def changed(tmp_path, change):
    values = json.loads(plan_network(SMALL, Goal()).to_json())
    values = change(values) or values
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def in_row(**fields):
    return lambda values: values["rows"][1].update(fields)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda values: [1], "plan {path} is incomplete (list indices must be integers or slices, not str); {writes}"),
        (lambda values: 7, "plan {path} is incomplete ('int' object is not subscriptable); {writes}"),
        (lambda values: {"schema": 1}, "plan {path} is incomplete ('goal'); {writes}"),
        (lambda values: values.update(schema=2), "plan {path} has schema 2; accepted is 1"),
        (lambda values: values.update(schema=[]), "plan {path} has schema []; accepted is 1"),
        (
            lambda values: values.update(goal=None),
            "plan {path} is incomplete ('NoneType' object is not subscriptable); {writes}",
        ),
        (lambda values: values.update(rows=[]), "plan {path} has no rows; {writes}"),
        (lambda values: values.update(rows={}), "plan {path} has no rows; {writes}"),
        (lambda values: values.update(rows=3), "plan {path} is incomplete ('int' object is not iterable); {writes}"),
        (lambda values: values["rows"][0].__delitem__("acc"), "plan {path} is incomplete ('acc'); {writes}"),
        (in_row(kind="sideways"), "plan {path} has no rows; {writes}"),
        (in_row(kind=[]), "plan {path} has no rows; {writes}"),
        (in_row(layer=3), "plan {path} has no rows; {writes}"),
        (in_row(acc=3), "acc: format 3 is not a string; accepted are strings such as e5m2, fp16, int8 or fix8.8"),
        (in_row(acc="e9"), None),
        (in_row(acc="e2m3"), None),
        (in_row(chunk=0), "chunk 0 is not an integer from 1 to 1048576 or none"),
        (in_row(chunk="64"), "chunk '64' is not an integer from 1 to 1048576 or none"),
        (in_row(chunk=10**4000), None),
        (in_row(acc="e" + "9" * 100000), None),
        (lambda values: values["goal"].update(rounding={}), "rounding {{}} is not one of rne, rtz, drop"),
        (lambda values: values["goal"].update(a="\n"), None),
    ],
)
def test_wrong_contents(tmp_path, change, sentence):
    path = changed(tmp_path, change)
    found = sentence_of(path)
    if sentence is not None:
        assert found == sentence.format(path=repr(str(path)), writes=WRITES)


@pytest.mark.parametrize(
    "text", ["", "null", "{" * 100000, "[" * 100000, '{"schema": 1' + "0" * 5000 + "}", "\ud800", "\0"]
)
def test_no_json(tmp_path, text):
    path = tmp_path / "plan.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    sentence_of(path)


def test_a_key_twice(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text('{"schema": 1, "schema": 1}', encoding="utf-8")
    assert sentence_of(path).endswith("has the key 'schema' twice; accepted is each key once")


def test_paths_without_a_plan(tmp_path):
    fifo, huge, missing = tmp_path / "fifo", tmp_path / "huge", tmp_path / "missing"
    os.mkfifo(fifo)
    with huge.open("wb") as file:
        file.truncate((1 << 28) + 1)
    for path in (tmp_path, fifo, huge, missing):
        assert sentence_of(path) == f"plan {shown_path(path)} is no file of a plan; {WRITES}"
    sentence_of(tmp_path / ("x" * 300))
    sentence_of(f"{tmp_path}/nul\0")


def shown_path(path):
    text = repr(str(path))
    return text if len(text) <= 80 else text[:80] + "..."


# -- choosing --------------------------------------------------------------------------------------------------------


def loaded(tmp_path, **goal):
    return load_specs(written(tmp_path, plan_network(SMALL, Goal(**goal))))


def test_a_layer_takes_the_widest_of_its_gemms(tmp_path):
    specs = loaded(tmp_path)
    assert str(choose_spec(specs, "first").acc) == "e5m7"
    assert str(choose_spec(specs, "first:forward").acc) == "e5m3"
    assert str(choose_spec(specs, "last:backward").acc) == "e5m3"
    assert choose_spec(specs, "last:gradient") == specs[4][2]


def test_all_rows_take_the_widest(tmp_path):
    found = choose_spec(loaded(tmp_path, chunk=64, rounding="rtz"), None)
    assert found.acc == plan_network(SMALL, Goal(chunk=64, rounding="rtz")).widest
    assert (found.chunk, found.rounding, str(found.a)) == (64, "rtz", "e5m2")


def test_unknown_layers(tmp_path):
    for layer in ("middle", "first:sideways", "first:backward", "", ":forward"):
        with pytest.raises(MacgenError) as caught:
            choose_spec(loaded(tmp_path), layer)
        assert str(caught.value) == f"layer {layer!r} is not in the plan; accepted are first, last"


def test_different_chunks(tmp_path):
    specs = loaded(tmp_path, chunk="auto")
    for layer, lengths in ((None, "2, 4, 64"), ("last", "2, 4, 64"), ("first", "4, 64")):
        with pytest.raises(MacgenError) as caught:
            choose_spec(specs, layer)
        assert str(caught.value) == (
            f"plan has rows with different chunk lengths ({lengths}); accepted is one layer and kind, or a plan with "
            f"one chunk length"
        )
    assert choose_spec(specs, "last:forward").chunk == 64


def rows_of(*accs, a="int4", b="int4"):
    return tuple((f"layer{k}", "forward", MacSpec(a=a, b=b, acc=acc)) for k, acc in enumerate(accs))


@pytest.mark.parametrize(
    ("accs", "operand", "expected"),
    [
        (("int12", "int20"), "int4", "int20"),
        (("fix12.2", "fix9.8"), "int4", "fix12.8"),
        (("uint12", "int12"), "uint4", "int13"),
        (("uint12", "uint14"), "uint4", "uint14"),
        (("e4m3fn", "e4m3fn"), "e2m1", "e4m3fn"),
        (("e5m3", "e4m6"), "e2m1", "e5m6"),
    ],
)
def test_one_accumulator_for_all_rows(accs, operand, expected):
    """It holds every value of each."""
    found = choose_spec(rows_of(*accs, a=operand, b=operand), None).acc
    assert str(found) == expected


@pytest.mark.parametrize("accs", [("e5m3", "int12"), ("e4m3fn", "e5m3"), ("e5m3:bias=20", "e5m4")])
def test_no_accumulator_for_all_rows(accs):
    with pytest.raises(MacgenError) as caught:
        choose_spec(rows_of(*accs, a="e2m1", b="e2m1"), None)
    assert str(caught.value) == (
        f"plan has the accumulators {', '.join(accs)}, for which no one does; accepted is one layer and kind"
    )
