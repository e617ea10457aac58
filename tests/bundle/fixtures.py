"""What the tests of the bundle share: a small spec, and a Verilog text that need not be generated anew each time."""

from functools import lru_cache

from macgen.bundle import contents
from macgen.bundle.verilog import to_verilog
from macgen.spec import MacSpec

SPEC = MacSpec(a="e2m1", b="e2m1", acc="e4m3", chunk=4, rows=1, cols=1)
OTHER = MacSpec(a="int4", b="int4", acc="int12", rows=1, cols=1)

verilog_of = lru_cache(None)(to_verilog)


def generate_once(monkeypatch):
    """Make `build` take Verilog from memory where it was generated before."""
    monkeypatch.setattr(contents, "verilog_of", verilog_of)


def sentence(error):
    """Return an error's text, which has to be one sentence on one line."""
    text = str(error.value)
    assert text
    assert "\n" not in text
    assert "Traceback" not in text
    assert len(text) < 600
    return text
