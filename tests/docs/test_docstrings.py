"""How docs/docstrings.py reads our docstrings."""

import importlib
import re
from pathlib import Path
from textwrap import dedent

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def docstrings(monkeypatch):
    monkeypatch.syspath_prepend(DOCS)
    return importlib.import_module("docstrings")


def rst(docstrings, text):
    lines = "\n".join(docstrings.to_rst(dedent(text).strip().split("\n")))
    return re.sub(r"\n{3,}", "\n\n", lines).strip()


def test_sections_become_fields(docstrings):
    text = """
        Return a ratio: of two.

        Parameters:
            m_acc, m_p: bits, with more
                to say.
            n: length.

        Returns:
            A ratio (of two: both positive).

        Raises:
            MacgenError: an argument is refused.
    """
    wanted = """
        Return a ratio: of two.

        :Parameters:
           * **m_acc, m_p** – bits, with more
             to say.
           * **n** – length.

        :Returns:
           A ratio (of two: both positive).

        :Raises:
           * **MacgenError** – an argument is refused.
    """
    assert rst(docstrings, text) == dedent(wanted).strip()


def test_an_indented_block_is_code(docstrings):
    text = """
        In short:

            spec = macgen.presets["default"]
            print(2**4, a_)

        The end_ of it.
    """
    wanted = r"""
        In short:

        .. code-block:: python

            spec = macgen.presets["default"]
            print(2**4, a_)

        The end\_ of it.
    """
    assert rst(docstrings, text) == dedent(wanted).strip()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Up to 2**20 of sum |w|.", r"Up to 2\*\*20 of sum \|w\|."),
        ("Of `2**20` bits, `a_` too.", "Of `2**20` bits, `a_` too."),
        ("The a_ ports of a_data.", r"The a\_ ports of a_data."),
        ("With `fold =\n  bubble` it waits.", "With `fold = bubble` it waits."),
        ("See docs/arithmetic.md section 6.", "See :doc:`docs/arithmetic.md </arithmetic>` section 6."),
    ],
)
def test_only_code_and_pages_are_markup(docstrings, text, wanted):
    assert rst(docstrings, text) == wanted


def test_a_component_s_signature_is_its_constructor_s(docstrings):
    class Component:
        def __init__(self, spec: int, width: "numbers.Width" = 3) -> None:  # noqa: F821
            pass

    given = docstrings.process_signature(None, "class", "", Component, None, "(*args, src_loc_at=0, **kwargs)", None)
    assert given == ("(spec: int, width: 'Width' = 3)", None)
    alias = (
        "(A: ~numpy._typing._array_like._Buffer | ~x.y[int] | ~n._NestedSequence[complex | bytes | str] | None = None)"
    )
    shown = docstrings.process_signature(
        None, "function", "", None, None, alias, "~numpy.ndarray[tuple[Any, ...], ~numpy.dtype[float64]]"
    )
    assert shown == ("(A: ArrayLike | None = None)", "NDArray[float64]")
    other = docstrings.process_signature(None, "class", "", Component, None, "(x: int)", None)
    assert other == ("(x: int)", None)
