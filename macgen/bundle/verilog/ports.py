"""The ports of a module in the order of its component's signature, with what the docstrings say of them.

A docstring's `Members:` section holds entries `name, name: text`. The component's describes its members; those of an
interface among them are described by the docstring of the interface's own signature.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from amaranth.lib import wiring

_ENTRY = re.compile(r"    ([a-z]\w*(?:, \w+)*): (.*)")

_LOWEST = re.compile(r", (?:row|column) 0 lowest")


@dataclass
class PortGroup:
    """Ports that belong together.

    Attributes:
        text: their names and what they are; empty: it is said of each alone, or nowhere.
        ports: by name, what each is; empty: nothing is said, or it was said of a port of the same kind before.
    """

    text: str
    ports: dict[str, str] = field(default_factory=dict)


def first_sentence(documented: type) -> str:
    """Return the first line of a class's docstring."""
    return (inspect.getdoc(documented) or "").partition("\n")[0]


def members_of(documented: type) -> list[tuple[tuple[str, ...], str]]:
    """Return the entries of the `Members:` section of a class's docstring: names, and what is said of them."""
    entries: list[tuple[tuple[str, ...], str]] = []
    inside = False
    for line in (inspect.getdoc(documented) or "").splitlines():
        if not line.startswith(" "):
            inside = line == "Members:" or (inside and not line)
            continue
        if not inside:
            continue
        found = _ENTRY.fullmatch(line)
        if found:
            entries.append((tuple(found[1].split(", ")), found[2]))
        elif entries:
            names, text = entries[-1]
            entries[-1] = (names, f"{text} {line.strip()}")
    return entries


def port_groups(component: wiring.Component, notes: Mapping[str, str]) -> list[PortGroup]:
    """Return all ports of a component, one group for each entry of its docstring.

    Parameters:
        component: the component.
        notes: by port, where its parts lie, in place of which is the lowest; then all else is said in full.
    """
    brief = (lambda text: text.rstrip(".")) if notes else _brief
    members = component.signature.members
    entries = members_of(type(component))
    order = {name: place for place, name in enumerate(members)}
    documented = {name for names, _ in entries for name in names}
    entries += [((name,), "") for name in members if name not in documented]
    present = [(tuple(sorted(set(names) & set(order), key=order.__getitem__)), text) for names, text in entries]
    groups: list[PortGroup] = []
    seen: set[str] = set()
    for names, text in sorted((entry for entry in present if entry[0]), key=lambda entry: order[entry[0][0]]):
        group = PortGroup("")
        for name in names:
            group.ports |= dict(_ports(name, members[name], seen))
        if len(names) == 1 and list(group.ports) == [names[0]]:
            group = PortGroup("", {names[0]: brief(text)})
        elif brief(text):
            group.text = f"{', '.join(names)}: {brief(text)}"
        for name in group.ports.keys() & notes:
            group.ports[name] = _LOWEST.sub(f" ({notes[name]})", group.ports[name])
        groups.append(group)
    return groups


def _ports(name: str, member: wiring.Member, seen: set[str]) -> Iterator[tuple[str, str]]:
    """Yield the ports of a member, and what the docstring of its signature says of them the first time."""
    for index in range(member.dimensions[0]) if member.dimensions else ():
        flat = wiring.In(member.signature) if member.is_signature else wiring.In(member.shape)
        yield from _ports(f"{name}__{index}", flat.array(*member.dimensions[1:]), seen)
    if member.dimensions:
        return
    if member.is_port:
        yield name, ""
        return
    kind = type(member.signature)
    if kind.__name__ == "FlippedSignature":
        kind = type(member.signature.flip())
    texts = {} if kind.__name__ in seen else {key: text for names, text in members_of(kind) for key in names}
    for key, inner in member.signature.members.items():
        for port, text in _ports(f"{name}__{key}", inner, seen):
            yield port, text or _brief(texts.get(key, ""))
    seen.add(kind.__name__)


def _brief(text: str) -> str:
    """Return what a comment says of an entry: its first sentence, without what points elsewhere in the sources."""
    sentence = re.split(r"\.(?= [A-Z]|$)", text, maxsplit=1)[0]
    return re.sub(r"(^|[;,] )see [^;,]*", "", sentence).strip("; ").replace("`", "")
