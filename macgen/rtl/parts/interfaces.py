"""Flat interface objects: one's members driven from another's, selected, and kept in registers.

An object is a Component's interface or anything else with the members as attributes. Which members an interface has
depends on what can occur; one that is left out counts as 0.
"""

from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from macgen.rtl.parts.pipeline import delayed


def member(interface: Any, name: str) -> Value:
    """Return an interface's member, or constant 0 where it is left out."""
    return getattr(interface, name, Const(0, 1))


def connect_members(m: Module, target: Any, source: Any) -> None:
    """Drive every member of an interface object that the target has from the source's of the same name."""
    for name in target.signature.members:
        m.d.comb += getattr(target, name).eq(member(source, name))


def select(condition: Value, if_true: Any, if_false: Any, signature: wiring.Signature) -> Any:
    """Return one of two objects with the members of a signature."""
    return SimpleNamespace(
        **{name: Mux(condition, member(if_true, name), member(if_false, name)) for name in signature.members}
    )


def registers(signature: wiring.Signature, name: str) -> Any:
    """Make a register for each member of a signature; their contents before the first load do not matter."""
    made = SimpleNamespace()
    for key, item in signature.members.items():
        setattr(made, key, Signal(item.shape, name=f"{name}_{key}", reset_less=True, src_loc_at=1))
    return made


def clock_in(m: Module, to: Any, source: Any) -> None:
    """Load registers from the source's members of the same name."""
    for name, register in vars(to).items():
        m.d.sync += register.eq(member(source, name))


def delayed_members(m: Module, name: str, source: Any, signature: wiring.Signature, cycles: int) -> Any:
    """Return what an object carries, some cycles later."""
    return SimpleNamespace(
        **{key: delayed(m, f"{name}_{key}", getattr(source, key), cycles) for key in signature.members}
    )


def random_port(bits: int) -> dict[str, Any]:
    """Return the member of an adder that takes a random number, if it has any bits."""
    return {"random": In(bits)} if bits else {}
