import json

import pytest

from macgen.catalogue import CATALOGUE
from macgen.spec import MacSpec
from tests.cli.runner import invoke, refused


def test_the_table_shows_every_preset_and_its_source():
    text = invoke("presets").stdout
    words = " ".join(text.split())
    for name, entry in CATALOGUE.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"{name} ")]
        assert f"{entry.spec.a} x {entry.spec.b}" in line
        assert str(entry.spec.acc) in line
        assert entry.source.split()[0] in words


def test_json():
    catalogue = json.loads(invoke("presets", "--json").stdout)
    assert list(catalogue) == list(CATALOGUE)
    for name, entry in CATALOGUE.items():
        assert MacSpec.from_dict(catalogue[name]["spec"]) == entry.spec
        assert catalogue[name]["source"] == entry.source


@pytest.mark.parametrize("name", CATALOGUE)
def test_one_preset_is_a_spec_file(name):
    assert MacSpec.from_json(invoke("presets", name).stdout) == CATALOGUE[name].spec


def test_unknown_preset():
    assert refused("presets", "fp8").startswith("preset 'fp8' is unknown; accepted are default, ")
