"""On a few images and a small array; `make demo` computes all of them."""

import pytest

from tests.examples.runner import output_of


@pytest.mark.prove
def test_a_few_images_through_the_verilog(tmp_path):
    output = output_of("digits.py", "--images", 6, "--side", 4, "--output", tmp_path / "digits")
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in output.splitlines() if line.startswith("│")]
    first, second, in_float32, in_verilog = rows
    # 6 images take 2 rows of tiles; 96 and 10 outputs 24 and 3 columns of them. A tile has 16 codes and as many flags.
    assert first[:4] == ["1", "65", "576", "48"]
    assert second[:4] == ["2", "97", "60", "6"]
    assert [row[5] for row in (first, second)] == [f"{48 * 32:,}", f"{6 * 32:,}"]
    assert in_float32 == ["float32", "6", "100.00%"]
    assert in_verilog == ["e5m2 x e5m2 into e6m5 (12 bits), chunk 64, in Verilog", "6", "100.00%"]
