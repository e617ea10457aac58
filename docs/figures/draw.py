"""Draws the diagrams of the documentation: `python docs/figures/draw.py`.

The pictures stand beside the scripts; the same version of macgen gives the same bytes.
"""

import argparse
from pathlib import Path

import array_figure
import axi_figure
import compress_figure
import pe_figure
import tiles_figure
import waveform_figure
from drawing import Drawing

import macgen


def figures() -> dict[str, Drawing]:
    """Return all pictures by name."""
    spec = macgen.presets["default"]
    return {
        "array": array_figure.draw(spec),
        "axi": axi_figure.draw(),
        "compress": compress_figure.draw(),
        "compress_waveform": compress_figure.draw_waveform(),
        "pe": pe_figure.draw(spec),
        "tiles": tiles_figure.draw(spec),
        "waveform": waveform_figure.draw(),
    }


def main() -> None:
    """Write all pictures."""
    parser = argparse.ArgumentParser(description="Draws the diagrams of the documentation.")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="directory (default: this one)")
    output = parser.parse_args().output
    for name, drawing in figures().items():
        (output / f"{name}.svg").write_text(drawing.svg(), encoding="utf-8")


if __name__ == "__main__":
    main()
