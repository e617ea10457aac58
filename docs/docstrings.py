"""Docstrings as the documentation site shows them: sections become fields, other text stays what it is.

A Sphinx extension. Our docstrings have sections (`Parameters:`, `Attributes:`, `Members:`, `Returns:`, `Raises:`),
names in backticks and no other markup, so that what reStructuredText would take for markup is escaped.
"""

import inspect
import re
from collections.abc import Iterator
from typing import Any

# Sections with an item a line ("name: text"), and the one that is only text.
_ITEMS = ("Parameters", "Attributes", "Members", "Raises")
_TEXT = "Returns"
_SECTION = re.compile(rf"({'|'.join((*_ITEMS, _TEXT))}):")
_ITEM = re.compile(r"(\*{0,2}\w[\w., *]*): +(.*)")
_INDENT = "    "

# How Sphinx writes out NumPy's aliases of types, and their names.
_ALIASES = (
    (re.compile(r"~?[\w.]*\b_Buffer \| .*?_NestedSequence\[complex \| bytes \| str\]"), "ArrayLike"),
    (re.compile(r"~?numpy\.ndarray\[tuple\[~?(?:typing\.)?Any, \.{3}\], ~?numpy\.dtype\[([^][]+)\]\]"), r"NDArray[\1]"),
    (re.compile(r"= <factory>"), "= ..."),  # of a dataclass' field, which Sphinx could not read
)

_CODE = re.compile(r"`[^`]+`", re.DOTALL)
_MARKUP = re.compile(r"[*|\\]|_(?!\w)")
_PAGE = re.compile(r"docs/(\w+)\.md")


def to_rst(docstring: list[str]) -> list[str]:
    """Return a docstring's lines as reStructuredText.

    Parameters:
        docstring: its lines, without their common indentation.
    """
    result: list[str] = []
    index = 0
    while index < len(docstring):
        start, line = index, docstring[index]
        heading = _SECTION.fullmatch(line)
        index += 1
        if heading is not None or line.startswith(_INDENT):  # an indented block outside of sections is code
            while index < len(docstring) and (not docstring[index] or docstring[index].startswith(_INDENT)):
                index += 1
        else:
            while index < len(docstring) and _is_text(docstring[index]):
                index += 1
        block = docstring[start:index]
        if heading is not None:
            body = _escaped([each.removeprefix(_INDENT) for each in block[1:]])
            result += ["", f":{heading[1]}:", *_indented(body if heading[1] == _TEXT else _items(body)), ""]
        elif line.startswith(_INDENT):
            result += ["", ".. code-block:: python", "", *block]
        else:
            result += _escaped(block)
    return result


def _is_text(line: str) -> bool:
    return not line.startswith(_INDENT) and not _SECTION.fullmatch(line)


def _items(body: list[str]) -> Iterator[str]:
    """Yield the items of a section as a list, their names bold."""
    for line in body:
        item = _ITEM.match(line)
        if item is None:
            yield f"  {line.removeprefix(_INDENT)}".rstrip()
        else:
            yield f"* **{item[1]}** – {item[2]}"


def _indented(lines: list[str] | Iterator[str]) -> list[str]:
    return [f"   {line}".rstrip() for line in lines]


def _escaped(lines: list[str]) -> list[str]:
    """Return lines, without empty ones at the end, whose only markup is code and references to pages."""
    text = "\n".join(lines).rstrip("\n")
    plain = _CODE.split(text)
    code = [f"`{' '.join(name[1:-1].split())}`" for name in _CODE.findall(text)]
    parts = [_PAGE.sub(r":doc:`\g<0> </\1>`", _MARKUP.sub(r"\\\g<0>", part)) for part in plain]
    joined = "".join(f"{before}{name}" for before, name in zip(parts, [*code, ""], strict=True))
    return [*joined.split("\n"), ""]


def process_docstring(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Convert a docstring in place; an event of autodoc."""
    lines[:] = to_rst(lines)


def process_signature(
    _app: Any, what: str, _name: str, subject: Any, _options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Return a signature as a reader would write it; an event of autodoc.

    Amaranth's components have a `__new__` that takes anything, which autodoc would show: their constructor's counts.
    """
    if what == "class" and signature is not None and "src_loc_at" in signature:
        parameters = list(inspect.signature(subject.__init__).parameters.values())[1:]
        signature = str(inspect.Signature(parameters))
        signature = re.sub(r"(?:\w+\.)+(?=\w)", "", signature)
    return _with_aliases(signature), _with_aliases(returns)


def _with_aliases(text: str | None) -> str | None:
    for pattern, alias in _ALIASES:
        text = None if text is None else pattern.sub(alias, text)
    return text


def setup(app: Any) -> dict[str, Any]:
    """Register the events."""
    app.connect("autodoc-process-docstring", process_docstring)
    app.connect("autodoc-process-signature", process_signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
