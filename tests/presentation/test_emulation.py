"""What the tables and pictures of an emulation show."""

import io
from xml.etree import ElementTree

import pytest
from rich.console import Console

from macgen.errors import MacgenError
from macgen.nn.arithmetic import Tally
from macgen.nn.results import Answers, Emulation, LayerResult, Run
from macgen.presentation.emulation_plot import draw_emulation
from macgen.presentation.emulation_table import print_emulation
from macgen.spec import MacSpec


def layer(name, noise, *, man_bits=4, alone=None, alone_lost=0, counts=None, lost=0, chunk=None, lane_sum="fused"):
    spec = MacSpec(a="e4m3fn", b="e4m3fn", acc=f"e6m{man_bits}", chunk=chunk, lane_sum=lane_sum)
    tally = Tally(macs=1000, nonzero=500, noise=noise, signal=1.0, results=10, lost=lost)
    return LayerResult(name, "Conv", spec, 1280, (1.0, 1.0, 1.0), tally, alone, alone_lost, counts or {})


def run(label, *layers, right=80, man_bits=None, exact=False, lost=0):
    return Run(label, man_bits, exact, 0.05, lost, Answers(100, 90, right), layers)


def emulation(*runs, right=95, passed_over=None):
    exact = run("exact sums", *(layer(each.name, 0.0) for each in runs[0].layers), right=right and 94, exact=True)
    return Emulation(
        "'m.onnx'", "y", 100, 10, 4, "powers of two, one for each tensor",
        Answers(100, 100, right), exact, runs, passed_over or {},
    )  # fmt: skip


COUNTS = {"additions": 1000, "saturated": 0, "flushed": 1, "swamped": 250}
ONE = run("e6m4, no chunks", layer("one", 0.01, alone=0.2, counts=COUNTS), layer("two", 0.06, alone=0.3, counts=COUNTS))


def printed(shown, width=120):
    buffer = io.StringIO()
    print_emulation(shown, Console(file=buffer, width=width, markup=False, highlight=False))
    return buffer.getvalue()


def row(text, start):
    (line,) = [line for line in text.splitlines() if line.startswith(start)]
    return line.split()


def test_figures_of_a_run():
    text = printed(emulation(ONE, passed_over={"Loop/Conv": 2}))
    assert row(text, "float32")[:2] == ["float32", "95.0%"]
    assert row(text, "exact sums") == ["exact", "sums", "94.0%", "90.0%", "0.050"]
    assert row(text, "e6m4") == ["e6m4,", "no", "chunks", "80.0%", "90.0%", "0.050", "two"]
    # predicted: 0.541 / 24 * (640 + 1) / 4^4, beyond 0.05
    assert row(text, "one") == ["one", "1,280", "0.50", "0.010", "0.056!", "0", "0.1%", "25.0%", "0.20"]
    assert "!: beyond the range in which the formulas hold, 0.05." in text
    assert "Hurts most: two; alone on its arithmetic, it makes the largest error of the result (4 examples)." in text
    assert "In float32, though they have or may have multiply-accumulates: 2 Loop/Conv." in text


def test_what_was_not_measured_has_no_column():
    text = printed(emulation(run("e6m4", layer("one", 0.01), right=None), right=None))
    assert "Swamped" not in text
    assert "Alone" not in text
    assert "Right" not in text
    assert "Hurts most: one; its sums have the largest NSR." in text


def test_values_that_were_lost_are_marked():
    text = printed(emulation(run("e6m4", layer("one", 0.01, lost=3), lost=1)))
    assert row(text, "one")[3] == "0.010*"
    assert "*: without values that are infinite or NaN." in text


def test_a_layer_that_loses_the_result_hurts_most():
    losing = run("e6m4", layer("one", 0.01, alone=0.0, alone_lost=3), layer("two", 0.01, alone=0.5))
    text = printed(emulation(losing))
    assert row(text, "one")[-1] == "0.0*"
    assert "Hurts most: one; alone on its arithmetic, it makes the most values of the result infinite or NaN (4" in text
    assert "*: without values that are infinite or NaN." in text
    text = printed(emulation(run("e6m4", layer("one", 0.01, lost=3), layer("two", 0.5))))
    assert "Hurts most: one; the largest share of its sums is infinite or NaN." in text


def test_no_formula_is_a_dash():
    assert row(printed(emulation(run("e6m4", layer("one", 0.01, lane_sum="aligned:8")))), "one")[4] == "-"


def test_accumulators_of_a_plan_have_a_column():
    text = printed(emulation(run("plan", layer("one", 0.01), layer("two", 0.01, man_bits=6))))
    assert row(text, "two")[1] == "e6m6"


def test_a_sweep_has_no_layers():
    runs = [run(f"e6m{bits}, no chunks", layer("one", 0.1**bits), man_bits=bits, right=60 + bits) for bits in (2, 3)]
    text = printed(emulation(*runs))
    assert row(text, "e6m3")[3] == "63.0%"
    assert "Layer" not in text


@pytest.mark.parametrize("width", [20, 40])
def test_nothing_is_cut_on_a_narrow_terminal(width):
    text = printed(emulation(ONE), width)
    assert "0.056!" in text
    assert "25.0%" in text


def texts(picture):
    root = ElementTree.fromstring(picture)
    return " ".join("".join(element.itertext()) for element in root.iter() if element.tag.endswith("}text"))


def test_curves_of_a_sweep():
    runs = [
        run(f"e6m{bits}, {chunk}", layer("one", 0.1**bits), man_bits=bits, right=60 + bits)
        for chunk in ("no chunks", "chunks of 64")
        for bits in (2, 3)
    ]
    by_plan = run("plan, no chunks", layer("one", 0.01))
    text = texts(draw_emulation(emulation(*runs, by_plan), ".svg", title="A title", planned=[6, 4], chance=0.1))
    for shown in ("A title", "accuracy", "plan, no chunks: up to 6 bits", "plan, chunks of 64: up to 4 bits",
                  "best constant guess", "median layer, chunks of 64", "predicted, no chunks", "float32"):  # fmt: skip
        assert shown in text
    unlabelled = [run(f"e6m{bits}, x", layer("one", 0.1), man_bits=bits, right=None) for bits in (2, 3)]
    assert "agreement with float32" in texts(draw_emulation(emulation(*unlabelled, right=None), ".svg"))


def test_layers_that_lose_nothing_are_in_no_range():
    """Else a range from 0 on would leave no room for all others."""
    pictures = []
    for layers in ([("one", 1.0)], [("one", 1.0), ("exact", 0.0)]):
        runs = [
            run(f"e6m{bits}, no chunks", *(layer(name, share * 0.1**bits) for name, share in layers), man_bits=bits)
            for bits in (2, 3)
        ]
        pictures.append(texts(draw_emulation(emulation(*runs), ".svg")))
    assert pictures[0] == pictures[1]
    unknown = [run(f"e6m{bits}, x", layer("one", 0.1, lane_sum="aligned:8"), man_bits=bits) for bits in (2, 3)]
    text = texts(draw_emulation(emulation(*unknown), ".svg"))
    assert "median layer, x" in text
    assert "predicted, x" not in text
    silent = [run(f"e6m{bits}, no chunks", layer("exact", 0.0), man_bits=bits) for bits in (2, 3)]
    assert "accuracy" in texts(draw_emulation(emulation(*silent), ".svg"))


def test_layers_of_a_run():
    long = run("e6m4, no chunks", layer("a/very/long/name/of/a/layer/that/goes/on", 0.01, alone=0.1))
    text = texts(draw_emulation(emulation(long), ".svg"))
    assert "a/layer/that/goes/on" in text
    assert "error of the result, this layer alone" in text
    assert draw_emulation(emulation(long), ".png").startswith(b"\x89PNG")
    assert draw_emulation(emulation(long), ".svg") == draw_emulation(emulation(long), ".svg")


def test_layers_of_several_runs():
    runs = [run(label, layer("one", 0.01), layer("two", 0.02)) for label in ("e6m4, no chunks", "e6m4, chunks of 64")]
    text = texts(draw_emulation(emulation(*runs), ".svg"))
    for shown in runs:
        assert f"NSR measured, {shown.label}" in text
        assert f"NSR predicted, {shown.label}" in text


def test_another_type_of_file():
    with pytest.raises(MacgenError, match=r"^plot has the suffix '.txt'; accepted are .svg, .png, .pdf$"):
        draw_emulation(emulation(ONE), ".txt")
