"""Which modules are kept, from hierarchies as Yosys writes them."""

from macgen.cost.netlist.hierarchy import repeated_modules
from tests.designs import module


def test_repeated_modules():
    def instances(*kinds):
        return module({}, [(kind, {}) for kind in kinds])

    modules = {
        "top": instances("wrapper", "shifter", "converter", "$not", "$not"),
        "wrapper": instances("row", "row", "row", "control"),
        "control": instances("counter", "shifter", "converter"),
        "counter": instances("$sdffe"),
        "shifter": instances("counter", "$dff"),
        "converter": instances("$add"),
        "row": instances("pe", "pe", "$dff"),
        "pe": instances("multiplier", "decoder", "decoder", "delay", "$dff"),
        "multiplier": instances("$mul"),
        "decoder": instances("$shl", "$shl"),
        "delay": instances("$adff"),
    }
    # The shifter stands once in the top and once in control, which is dissolved; converters and decoders hold nothing.
    assert repeated_modules(modules, "top") == ("pe", "row", "shifter")
    assert repeated_modules(modules, "row") == ("pe",)
    assert repeated_modules(modules, "pe") == ()
    twice = modules | {"wrapper": instances("pair", "pair"), "pair": instances("counter")}
    assert repeated_modules(twice, "wrapper") == ("pair",)
    # Dissolved modules take their contents along: two converters with two counters each are four counters.
    loose = {
        "top": instances("a", "b"),
        "a": instances("counter"),
        "b": instances("counter"),
        "counter": instances("$ff"),
    }
    assert repeated_modules(loose, "top") == ("counter",)
