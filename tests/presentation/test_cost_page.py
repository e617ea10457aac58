"""The page about an array: it says what the terminal says, it is one file, and nothing in it is obeyed."""

import io
from html.parser import HTMLParser

import pytest
from rich.console import Console

from macgen.presentation import cost_table, fpga_table, system_table
from macgen.presentation.cost_page import cost_page
from macgen.presentation.html import element, page
from macgen.system import schedule
from tests.presentation.costs import FPGA, HOSTILE, SPEC, cost, report


class Reader(HTMLParser):
    """Reads a page as a browser does: its elements with their attributes, and its text."""

    VOID = ("meta", "br")

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(content.decode())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style" and data.strip():
            self.texts.append(" ".join(data.split()))


def made(priced=None, **options):
    priced = priced or report()
    return cost_page(priced, schedule(SPEC, gemms=[(8, 9, 100)], report=priced), **options)


def test_every_cell_and_sentence_of_the_terminal_stands_on_the_page():
    priced = report()
    laid_out = schedule(SPEC, gemms=[(8, 9, 100), (1, 2, 3)], report=priced)
    texts = set(Reader(cost_page(priced, laid_out, fpga=FPGA)).texts)
    tables = [
        cost_table.figures_table(priced),
        cost_table.corners_table(priced),
        cost_table.modes_table(priced.cost),
        fpga_table.fpga_table(FPGA),
        system_table.schedule_table(laid_out),
    ]
    cells = {" ".join(str(cell).split()) for table in tables for column in table.columns for cell in column.cells}
    assert len(cells) > 50
    assert cells - texts <= {""}
    sentences = [*cost_table.conditions(priced), *fpga_table.conditions(FPGA), *system_table.conclusions(laid_out)]
    assert {" ".join(sentence.split()) for sentence in sentences} <= texts
    shown = io.StringIO()
    cost_table.print_report(priced, Console(file=shown, width=200))
    assert "2,345" in shown.getvalue()
    assert "2,345" in texts


def test_the_contract_is_that_of_the_verilogs_head():
    texts = Reader(made()).texts
    assert "to nearest, ties to even; too large: the largest number of its sign" in texts
    assert "of 64 products; the sum of each is folded into a total, in a cycle that takes no beat" in texts
    assert repr(SPEC) in texts


def test_modules_pieces_and_hashes_are_there():
    texts = Reader(made()).texts
    assert f"{HOSTILE} × 6" in texts
    assert "83.3%, 61.5%" in texts  # 5000 of 6000 um2, 2 of 3.25 mW
    assert "the array itself" in texts
    assert "ab" * 32 in texts
    assert "Yosys 0.99" in texts
    assert any(text.startswith("Minimum period 1.250 ns: the worst path, 1.150 ns") for text in texts)


def test_what_there_is_not_is_said_or_left_out():
    bare = report(
        cost=cost(
            "e6m5", 1.0, area_um2=None, minimum_period_ns=None, period_unavailable="generic gates have no delays"
        ),
        baseline=None,
        baseline_unavailable="the operands do not fit",
        conditions=report().conditions | {"timing": None},
    )
    texts = Reader(made(bare)).texts
    assert "No timing: generic gates have no delays." in texts
    assert "No baseline: the operands do not fit." in texts
    for absent in ("On an FPGA", "Area and power by module", "Area (um2)", "In each mode", "At each corner"):
        assert absent not in texts


@pytest.mark.parametrize("examples", [True, False])
def test_examples_are_called_so(examples):
    text = " ".join(Reader(made(examples=examples)).texts)
    assert ("examples: nobody chose" in text) == examples


def test_a_page_is_one_file_without_scripts():
    reader = Reader(made(fpga=FPGA))
    assert {tag for tag, _ in reader.elements}.isdisjoint({"script", "link", "img", "iframe", "object", "base", "form"})
    for _, attributes in reader.elements:
        assert not {"src", "href", "style"} & attributes.keys()
        assert not any(name.startswith("on") for name in attributes)
    style = made().decode().partition("<style>")[2].partition("</style>")[0]
    assert "prefers-color-scheme: dark" in style
    assert "url(" not in style
    assert "@import" not in style


def test_the_same_figures_give_the_same_bytes():
    assert made(fpga=FPGA) == made(fpga=FPGA)


def test_what_does_not_print_is_shown_as_an_escape():
    reader = Reader(page("a\x07", "", element("p", "\x1b[31m", "\udcff <b>", title='"&')))
    assert reader.texts == ["a\\x07", "\\x1b[31m\\udcff <b>"]
    assert ("p", {"title": '"&'}) in reader.elements
