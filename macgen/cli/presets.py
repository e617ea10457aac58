"""`macgen presets`: the catalogue of named specs."""

import click


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the whole catalogue, specs and sources, as JSON.")
def presets(name: str | None, as_json: bool) -> None:
    """List the presets and where each comes from; with NAME, print that preset as a spec file.

    \b
    Example:
      macgen presets wang2018 > wide.json
      macgen build --spec wide.json --rows 8 --cols 8
    """
    import json

    from macgen.catalogue import CATALOGUE, preset

    if name is not None:
        click.echo(preset(name).to_json(), nl=False)
    elif as_json:
        catalogue = {key: {"spec": entry.spec.to_dict(), "source": entry.source} for key, entry in CATALOGUE.items()}
        click.echo(json.dumps(catalogue, indent=2))
    else:
        _print_table()


def _print_table() -> None:
    from rich.table import Column

    from macgen.catalogue import CATALOGUE
    from macgen.cli import console
    from macgen.presentation.tables import new_table, print_table

    more, source = (Column(title, overflow="fold") for title in ("More", "Source"))
    table = new_table("Preset", "Operands", "Accumulator", "Chunk", more, source)
    for name, entry in CATALOGUE.items():
        spec = entry.spec
        chunk = "none" if spec.chunk is None else str(spec.chunk)
        unusual = [value for value in (spec.rounding, spec.overflow) if value not in ("rne", "saturate")]
        extras = "; ".join([*unusual, *spec.extras])
        table.add_row(name, f"{spec.a} x {spec.b}", str(spec.acc), chunk, extras, entry.source)
    print_table(table, console.output())
