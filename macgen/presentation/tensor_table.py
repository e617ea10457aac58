"""A plan of tensors as people read it: the formats of each layer, and what they cost."""

from rich.console import Console

from macgen.presentation.tables import new_table, print_table
from macgen.width.tensors import TENSORS, TensorPlan


def print_tensors(plan: TensorPlan, console: Console) -> None:
    """Print a plan: a line per layer with the formats of its tensors, then the costs next to float32's."""
    table = new_table()
    table.add_column("Layer", overflow="fold")
    for title in ("Weights", "Inputs", "Weight\ngradients", "Output\ngradients", "Update\nbits", "Master\ncopy"):
        table.add_column(title, justify="right")
    for layer in plan.layers:
        formats = [str(getattr(layer, tensor)) for tensor in TENSORS[:4]]
        table.add_row(layer.name, *formats, str(layer.accumulators.width), str(layer.master))
    print_table(table, console, [])
    ours, floats = plan.costs, plan.float_costs
    for what, cost, of_float, unit in (
        ("weights, their gradients and updates", ours.weights, floats.weights, "bits"),
        ("inputs and gradients of an example", ours.activations, floats.activations, "bits"),
        ("weight gradients to be sent", ours.communication, floats.communication, "bits"),
        ("multiplications of an example", ours.multiplications, floats.multiplications, "full adders"),
    ):
        console.print(f"{what[0].upper()}{what[1:]}: {cost:,} {unit}, {cost / of_float:.0%} of float32's {of_float:,}.")
    console.print(
        f"Sums are exact in batches of up to {plan.batch}; learning rates down to {plan.learning_rate:g} count."
    )
