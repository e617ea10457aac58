"""Elements of an HTML page, and the file that they make: what stands in them is escaped, whatever it is.

The standard library's ElementTree writes them. A page needs nothing beside itself: no script, no font, no network.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterable

from rich.table import Table

from macgen.errors import escaped

Element = ET.Element
Part = Element | str
"""What stands in an element: another one, or text."""


def element(tag: str, *parts: Part, **attributes: str | float) -> Element:
    """Return an element.

    Parameters:
        tag: its name.
        parts: what stands in it.
        attributes: as in HTML; an underscore stands for a hyphen, and one at the end for nothing (`class_`).
    """
    made = Element(tag, {_attribute(name): _text(value) for name, value in attributes.items()})
    last: Element | None = None
    for part in parts:
        if isinstance(part, Element):
            made.append(part)
            last = part
        elif last is None:
            made.text = (made.text or "") + _text(part)
        else:
            last.tail = (last.tail or "") + _text(part)
    return made


def table(source: Table) -> Element:
    """Return a terminal's table, cell by cell, in a frame that scrolls where the window is narrow."""
    kinds = ["number" if column.justify == "right" else "words" for column in source.columns]
    heads = [element("th", str(column.header), class_=kind) for column, kind in zip(source.columns, kinds, strict=True)]
    rows = [
        element("tr", *(element("td", str(cell), class_=kind) for cell, kind in zip(cells, kinds, strict=True)))
        for cells in zip(*(column.cells for column in source.columns), strict=True)
    ]
    body = element("table", element("thead", element("tr", *heads)), element("tbody", *rows))
    return element("div", body, class_="scroll")


def definitions(pairs: Iterable[tuple[str, Part]]) -> Element:
    """Return a list of words, each with what it means."""
    return element("dl", *(item for word, part in pairs for item in (element("dt", word), element("dd", part))))


def sentences(texts: Iterable[str]) -> Element:
    """Return a list of sentences in small type."""
    return element("ul", *(element("li", text) for text in texts), class_="conditions")


def page(title: str, style: str, *parts: Part) -> bytes:
    """Return the file of a page.

    Parameters:
        title: in the window's frame.
        style: CSS; no element's end tag may stand in it.
        parts: of its body.
    """
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", style),
    )
    root = element("html", head, element("body", element("main", *parts)), lang="en")
    ET.indent(root)
    return f"<!DOCTYPE html>\n{ET.tostring(root, encoding='unicode', method='html')}\n".encode()


def _attribute(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


def _text(value: str | float) -> str:
    return escaped(value, keep="\n") if isinstance(value, str) else f"{value:g}"
