"""Plans as files: what is read back, what is refused, and the accumulator that does for a layer or for all."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macgen import MacSpec
from macgen.errors import MacgenError, shown_path
from macgen.network.measurement import Measurement
from macgen.numerics import FloatFormat
from macgen.width.goal import Goal, Sum
from macgen.width.network_plan import plan_network
from macgen.width.plan_file import PlanFile, PlannedRow, load_plan, parse_plan
from macgen.width.planning import plan
from tests.width.test_network_plan import SMALL, statistics, with_measurement

WRITES = "accepted is what macgen plan --json writes"


def written(tmp_path, planned, name="plan.json"):
    path = tmp_path / name
    path.write_text(planned.to_json(), encoding="utf-8")
    return path


# -- what is read back -----------------------------------------------------------------------------------------------


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
def test_plans_are_read_back(tmp_path, goal):
    found = plan_network(SMALL, goal)
    path = written(tmp_path, found)
    loaded = load_plan(path)
    assert loaded.goal == goal
    assert loaded.rows == tuple(
        PlannedRow(row.layer, row.gemm.kind, row.plan.sum, row.plan.spec(), row.op) for row in found.rows
    )
    assert load_plan(str(path)) == loaded == parse_plan(found.to_json(), "plan")


def test_measured_plans_are_read_back(tmp_path):
    network = with_measurement(Measurement(statistics(nonzero=0.5), statistics()))
    found = plan_network(network, Goal(chunk=64))
    first = load_plan(written(tmp_path, found)).rows[0]
    assert (first.spec, first.dot) == (found.rows[0].plan.spec(), found.rows[0].plan.sum)


def test_what_is_known_of_weights_is_read_back(tmp_path):
    numbers = statistics(largest=100.0, rms=30.0, dtype="int8")
    measured = Measurement(numbers, numbers, weight_l1=1000, weight_range=(400, 600))
    found = plan_network(with_measurement(measured), Goal(a="int8", b="int8", chunk=64, outer="int18"))
    loaded = load_plan(written(tmp_path, found))
    assert loaded.sums() == tuple(row.plan.sum for row in found.rows)
    assert loaded.sums()[0] == Sum(
        length=4608, rms=900.0, weight_l1=1000, weight_range=(400, 600), reach=((-100, 100),) * 2
    )
    assert loaded.rows[0].spec == found.rows[0].plan.spec()


def test_plans_without_weights_are_read(tmp_path):
    values = json.loads(plan_network(SMALL, Goal()).to_json())
    for row in values["rows"]:
        del row["weight_l1"], row["weight_range"], row["reach"]
    del values["goal"]["outer"]
    assert parse_plan(json.dumps(values), "plan").rows == parse_plan(plan_network(SMALL, Goal()).to_json(), "plan").rows


@pytest.mark.parametrize(
    ("key", "value"),
    [("weight_l1", -1), ("weight_l1", "9"), ("weight_range", [1]), ("weight_range", 3), ("reach", [[2, 1], None])],
)
def test_weights_that_cannot_be(key, value):
    values = json.loads(plan_network(SMALL, Goal()).to_json())
    values["rows"][1][key] = value
    with pytest.raises(MacgenError, match=f"^plan, row 2: {key} "):
        parse_plan(json.dumps(values), "plan")


# -- what is refused -------------------------------------------------------------------------------------------------


def sentence_of(path):
    """What refuses a file: one line that names it or a field, and what is accepted."""
    with pytest.raises(MacgenError) as caught:
        load_plan(path)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 1000
    return text


def test_truncated_files(tmp_path):
    path = tmp_path / "plan.json"
    whole = plan_network(SMALL, Goal(), kinds=("forward",)).to_json().encode()
    for length in range(0, len(whole) - 2, 7):
        path.write_bytes(whole[:length])
        assert sentence_of(path) == f"plan {str(path)!r} is not valid JSON; {WRITES}"
    path.write_bytes(whole[:-1])  # without the last newline it is whole
    assert len(load_plan(path).rows) == 2


@given(st.data())
def test_changed_bytes(tmp_path_factory, data):
    """A plan that is read is one of specs; everything else is a sentence."""
    whole = bytearray(plan_network(SMALL, Goal(), kinds=("forward",)).to_json().encode())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("changed") / "plan.json"
    path.write_bytes(bytes(whole))
    try:
        found = load_plan(path)
    except MacgenError as error:
        assert "\n" not in str(error)
    else:
        assert all(isinstance(row.spec, MacSpec) for row in found.rows)


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
        (lambda values: [1], "plan {path}: [1] is not an object; {writes}"),
        (lambda values: 7, "plan {path}: 7 is not an object; {writes}"),
        (lambda values: {"schema": 1}, "plan {path} lacks 'goal'; {writes}"),
        (lambda values: values.update(schema=2), "plan {path} has schema 2; accepted is 1"),
        (lambda values: values.update(schema=True), "plan {path}: schema True is not an integer; {writes}"),
        (lambda values: values.update(schema=[]), "plan {path}: schema [] is not an integer; {writes}"),
        (lambda values: values.update(goal=None), "plan {path}: goal None is not an object; {writes}"),
        (lambda values: values.update(rows=[]), "plan {path} has no rows; {writes}"),
        (lambda values: values.update(rows={}), "plan {path}: rows {{}} is not a list; {writes}"),
        (lambda values: values["rows"].append(3), "plan {path}, row 6: 3 is not an object; {writes}"),
        (lambda values: values["rows"][0].__delitem__("acc"), "plan {path}, row 1 lacks 'acc'; {writes}"),
        (in_row(kind="sideways"), "plan {path}, row 2 has kind 'sideways'; accepted are forward, backward, gradient"),
        (in_row(kind=[]), "plan {path}, row 2: kind [] is not a string; {writes}"),
        (in_row(layer=3), "plan {path}, row 2: layer 3 is not a string; {writes}"),
        (in_row(acc=3), "plan {path}, row 2: acc 3 is not a string; {writes}"),
        (in_row(length=0), "plan {path}, row 2: length 0 is not an integer from 1 to 2^40"),
        (in_row(acc="e9"), None),
        (in_row(acc="e2m3"), None),
        (in_row(chunk=0), "plan {path}, row 2: chunk 0 is not an integer from 1 to 1048576 or none"),
        (in_row(chunk="64"), "plan {path}, row 2: chunk '64' is not an integer or null; {writes}"),
        (in_row(chunk=10**4000), None),
        (in_row(acc="e" + "9" * 100000), None),
        (
            lambda values: values["goal"].update(rounding={}),
            "plan {path}, goal: rounding {{}} is not one of rne, rtz, floor, odd, drop, stochastic:r[:nearest] with r "
            "from 1 to 32",
        ),
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


def test_paths_without_a_plan(tmp_path):
    fifo, huge, missing = tmp_path / "fifo", tmp_path / "huge", tmp_path / "missing"
    os.mkfifo(fifo)
    with huge.open("wb") as file:
        file.truncate((1 << 26) + 1)
    for path in (tmp_path, fifo, missing):
        assert sentence_of(path) == f"plan {shown_path(path)} is no file; {WRITES}"
    assert sentence_of(huge) == f"plan {shown_path(huge)} has more than 67108864 bytes; {WRITES}"
    sentence_of(tmp_path / ("x" * 300))
    sentence_of(f"{tmp_path}/nul\0")


# -- choosing --------------------------------------------------------------------------------------------------------


def loaded(tmp_path, **goal):
    return load_plan(written(tmp_path, plan_network(SMALL, Goal(**goal))))


def test_a_layer_takes_the_widest_of_its_gemms(tmp_path):
    found = loaded(tmp_path)
    assert str(found.spec("first").acc) == "e5m7"
    assert str(found.spec("first:forward").acc) == "e5m3"
    assert str(found.spec("last:backward").acc) == "e5m3"
    assert found.spec("last:gradient") == found.rows[4].spec


def test_all_rows_take_the_widest(tmp_path):
    found = loaded(tmp_path, chunk=64, rounding="rtz").spec()
    assert found.acc == plan_network(SMALL, Goal(chunk=64, rounding="rtz")).widest
    assert (found.chunk, found.rounding, str(found.a)) == (64, "rtz", "e5m2")


def test_unknown_layers(tmp_path):
    found = loaded(tmp_path)
    for layer in ("middle", "first:sideways", "first:backward", "", ":forward"):
        with pytest.raises(MacgenError) as caught:
            found.spec(layer)
        assert str(caught.value) == f"layer {layer!r} is not in the plan; accepted are first, last"


@pytest.mark.parametrize("layer", [None, "last"])
def test_different_chunks_become_that_of_the_longest_sum(tmp_path, layer):
    found = loaded(tmp_path, chunk="auto")
    rows = [row for row in found.rows if layer in (None, row.layer)]
    assert len({row.spec.chunk for row in rows}) > 1
    spec = found.spec(layer)
    assert spec.chunk == 64
    needed = [plan(Goal(chunk=64), row.dot).chosen.acc for row in rows]
    assert spec.acc == FloatFormat(max(x.exp_bits for x in needed), max(x.man_bits for x in needed))


def rows_of(*accs, a="int4", b="int4"):
    rows = (PlannedRow(f"layer{k}", "forward", Sum(length=9), MacSpec(a=a, b=b, acc=acc)) for k, acc in enumerate(accs))
    return PlanFile(Goal(a=a, b=b), tuple(rows))


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
    assert str(rows_of(*accs, a=operand, b=operand).spec().acc) == expected


@pytest.mark.parametrize("accs", [("e5m3", "int12"), ("e4m3fn", "e5m3"), ("e5m3:bias=20", "e5m4")])
def test_no_accumulator_for_all_rows(accs):
    with pytest.raises(MacgenError) as caught:
        rows_of(*accs, a="e2m1", b="e2m1").spec()
    assert str(caught.value) == (
        f"plan has the accumulators {', '.join(accs)}, for which no one does; accepted is one layer and kind"
    )
