"""The page on training: its Python runs as it stands."""

import re
from pathlib import Path

from tests.optional import need_package

need_package("torch")

PAGE = Path(__file__).parents[3] / "docs" / "training.md"


def test_the_python_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    exec("\n".join(snippets), names)
    assert (tmp_path / "run.pt").is_file()
    swamped = names["swamped"]
    assert isinstance(swamped, int)
    assert swamped > 0


def test_the_table_of_fields_is_whole():
    import dataclasses

    from macgen.nn import Arithmetic

    rows = PAGE.read_text(encoding="utf-8").partition("## Arithmetic")[2].partition("\n\n\n")[0]
    named = set(re.findall(r"`(\w+)`", rows))
    assert {field.name for field in dataclasses.fields(Arithmetic)} <= named
