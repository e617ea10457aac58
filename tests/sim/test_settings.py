from pathlib import Path

import pytest

from macgen.errors import MacgenError
from sim.settings import DEFAULT_SEED, Settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in ("BUNDLE", "SEED", "TILES", "LONGEST", "BUDGET", "STATISTICS", "OPERANDS", "RESULTS"):
        monkeypatch.delenv(f"MACGEN_{name}", raising=False)


def test_only_the_bundle_is_needed(monkeypatch):
    with pytest.raises(MacgenError, match="MACGEN_BUNDLE is not set"):
        Settings.from_environment()
    monkeypatch.setenv("MACGEN_BUNDLE", "x")
    settings = Settings.from_environment()
    assert settings.bundle == Path("x")
    assert settings.seed == DEFAULT_SEED
    assert settings.tiles is None


def test_the_environment_sets_numbers_and_paths(monkeypatch):
    for name, text in (("BUNDLE", "x"), ("SEED", "7"), ("TILES", "0"), ("STATISTICS", "s.json")):
        monkeypatch.setenv(f"MACGEN_{name}", text)
    settings = Settings.from_environment()
    assert (settings.seed, settings.tiles, settings.statistics) == (7, 0, Path("s.json"))


def test_a_product_needs_its_files(monkeypatch):
    monkeypatch.setenv("MACGEN_BUNDLE", "x")
    for name in ("OPERANDS", "RESULTS"):
        with pytest.raises(MacgenError, match=f"^MACGEN_{name} is not set; accepted is "):
            Settings.from_environment().product_files()
        monkeypatch.setenv(f"MACGEN_{name}", f"{name}.npz")
    assert Settings.from_environment().product_files() == (Path("OPERANDS.npz"), Path("RESULTS.npz"))


@pytest.mark.parametrize("text", ["-1", "many", "1.5"])
def test_wrong_numbers_are_refused(monkeypatch, text):
    monkeypatch.setenv("MACGEN_BUNDLE", "x")
    monkeypatch.setenv("MACGEN_SEED", text)
    with pytest.raises(MacgenError, match=rf"MACGEN_SEED is '{text}'; accepted is a non-negative integer"):
        Settings.from_environment()
