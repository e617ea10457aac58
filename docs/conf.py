"""Sphinx configuration of the documentation: Markdown pages, and the API reference from docstrings (`make docs`)."""

import sys
from pathlib import Path
from typing import Any

from pygments.lexers.special import TextLexer

from macgen import __version__

sys.path.insert(0, str(Path(__file__).parent))  # docstrings.py

project = "macgen"
author = "the macgen authors"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "docstrings"]
include_patterns = ["*.md", "api/*.md"]
myst_heading_anchors = 3
highlight_language = "text"  # what the tools print, unless a block says otherwise

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_mock_imports = ["torch"]  # the pages are the same with it and without
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 120
default_role = "py:obj"  # `name` links to what has that name, and is code where nothing has

html_theme = "furo"
html_title = f"macgen {release}"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False


def setup(app: Any) -> None:
    """Make known what architecture.md calls its list of layers, which a test reads."""
    app.add_lexer("layers", TextLexer)
