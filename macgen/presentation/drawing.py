"""What plots share: file types, how matplotlib is asked for, and the file's bytes."""

import contextlib
import io
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from macgen.errors import MacgenError, ToolError, shown
from macgen.tools import cache_variables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILE_TYPES = ("svg", "png", "pdf")

# Blue, orange and green of the Okabe-Ito palette, told apart by most people.
COLOURS = {"forward": "#0072B2", "backward": "#D55E00", "gradient": "#009E73"}
MARKS = {"forward": "o", "backward": "s", "gradient": "^"}
LIMIT_COLOUR = "#555555"


def file_type_of(suffix: str) -> str:
    """Return the type of a plot's file.

    Raises:
        MacgenError: the suffix is another.
    """
    file_type = suffix.removeprefix(".").lower()
    if file_type not in FILE_TYPES:
        raise MacgenError(f"plot has the suffix {shown(suffix)}; accepted are .{', .'.join(FILE_TYPES)}")
    return file_type


def check_drawable(suffix: str) -> None:
    """Refuse a plot before what it is to show is computed.

    Raises:
        MacgenError: the file's suffix is another.
        ToolError: matplotlib is missing, or can write nowhere.
    """
    file_type_of(suffix)
    _matplotlib()


@contextlib.contextmanager
def new_figure(width: float, height: float) -> Iterator["Figure"]:
    """Give a figure of a size in inches to draw on, with the settings of all plots.

    Raises:
        ToolError: matplotlib is missing.
    """
    mpl, figure_class = _matplotlib()
    with mpl.rc_context({"svg.hashsalt": "macgen", "svg.fonttype": "none", "font.size": 11}):
        yield figure_class(figsize=(width, height), layout="constrained")


def content(figure: "Figure", file_type: str) -> bytes:
    """Return the content of a figure's file: the same figure gives the same bytes."""
    buffer = io.BytesIO()
    no_date: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(file_type, {})
    figure.savefig(buffer, format=file_type, dpi=100, metadata=no_date)
    return buffer.getvalue()


def _matplotlib() -> "tuple[Any, type[Figure]]":
    """Load matplotlib, which writes below the user's home; where that cannot be, into a directory of this process."""
    if variables := cache_variables():
        os.environ.setdefault("MPLCONFIGDIR", variables["HOME"])
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise ToolError("matplotlib is missing: --plot needs it; install it with pip install 'macgen[plot]'") from None
    except OSError:
        raise ToolError(
            "matplotlib has no directory to write into; accepted is the environment variable MPLCONFIGDIR with a "
            "writable one"
        ) from None
    return mpl, Figure
