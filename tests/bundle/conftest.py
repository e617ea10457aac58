"""What several test modules of the bundle take."""

import pytest

from macgen.bundle import build
from tests.bundle.fixtures import SPEC, generate_once


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """Return a bundle, `mac`, that may be changed."""
    generate_once(monkeypatch)
    build(SPEC, tmp_path / "mac")
    return tmp_path / "mac"
