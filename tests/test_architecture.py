"""docs/architecture.md, the contract in pyproject.toml and the imports agree."""

import re
import tomllib
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def fenced_block(language: str) -> list[str]:
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert blocks
    return blocks[0].splitlines()


def test_the_document_and_the_contract_name_the_same_layers():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [contract for contract in contracts if contract["type"] == "layers"]
    assert fenced_block("layers") == layers["layers"]
    assert layers["containers"] == ["macgen"]
    assert layers["exhaustive"]
    assert "ignore_imports" not in layers


def test_the_document_describes_every_module():
    described = {match[1] for line in fenced_block("") if (match := re.match(r"  (\w+)(?:/|\.py) ", line)) is not None}
    modules = {
        path.stem
        for path in (ROOT / "macgen").iterdir()
        if path.name not in ("__init__.py", "__main__.py", "__pycache__", "_share", "py.typed")
    }
    assert described == modules


def test_imports_keep_the_contract(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    code = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True)
    assert code == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("importer", "imported"),
    [("rtl", "golden"), ("golden", "rtl"), ("golden", "emulate"), ("numerics", "spec"), ("bundle", "cost")],
)
def test_a_wrong_import_is_found(importer, imported, tmp_path, monkeypatch, capsys):
    """The contract of pyproject.toml on a package of the same shape with one import too many."""
    text = (ROOT / "pyproject.toml").read_text()
    contract = text[text.index("[tool.importlinter]") :].replace("macgen", "shape")
    (tmp_path / "pyproject.toml").write_text(contract)
    for layer in [name for line in fenced_block("layers") for name in line.split(" | ")]:
        (tmp_path / "shape" / layer).mkdir(parents=True)
        (tmp_path / "shape" / layer / "__init__.py").touch()
    (tmp_path / "shape" / "__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert lint_imports(config_filename="pyproject.toml", no_cache=True, no_logo=True) == 0
    (tmp_path / "shape" / importer / "__init__.py").write_text(f"import shape.{imported}\n")
    assert lint_imports(config_filename="pyproject.toml", no_cache=True, no_logo=True) == 1
    assert f"shape.{importer} -> shape.{imported}" in capsys.readouterr().out
