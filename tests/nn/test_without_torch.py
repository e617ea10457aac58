"""`macgen.nn` without torch: it loads, and the names that need torch say what to install."""

import pydoc
import sys

import pytest

from macgen import nn
from macgen.errors import ToolError


@pytest.fixture
def no_torch(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("macgen.nn.training.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)


@pytest.mark.parametrize("name", ["Linear", "convert", "Optimizer", "save"])
def test_names_that_need_torch_say_so(no_torch, name):
    with pytest.raises(ToolError, match=r"the package torch, which macgen.nn.\w+ trains with, is missing: pip install"):
        getattr(nn, name)


def test_rules_need_no_torch(no_torch):
    assert nn.Arithmetic().scales == "pow2"
    assert "Arithmetic" in dir(nn)
    assert "Linear" not in dir(nn)
    assert "Arithmetic" in pydoc.render_doc(nn)
    with pytest.raises(AttributeError, match=r"module 'macgen.nn' has no attribute 'Lineer'"):
        _ = nn.Lineer
