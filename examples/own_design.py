"""An Amaranth design around the array: a layer with its weights in a memory and ReLU behind the sums.

    python examples/own_design.py

`Layer` takes columns of X and gives rows of max(0, X W). Its parts are joined with `connect()`; here it is simulated,
and its results are compared with the golden model.
"""

import sys
from typing import Any

import numpy as np
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.sim import Simulator
from numpy.typing import NDArray

import macgen
from macgen.rtl import Design, MacArray

Codes = NDArray[np.unsignedinteger]


class Weights(wiring.Component):
    """Streams the rows of W, one a beat, again for each tile.

    Members:
        o: stream b of the array.
    """

    def __init__(self, design: Design, codes: Codes) -> None:
        self._rows = codes.tolist()
        super().__init__({"o": Out(design.streams["b"])})

    def elaborate(self, platform: object) -> Module:
        """Return the memory, and the counter that reads it."""
        m = Module()
        words = [{"data": [[code] for code in row]} for row in self._rows]  # one lane
        m.submodules.memory = storage = memory.Memory(shape=self.o.payload.shape(), depth=len(words), init=words)
        read = storage.read_port(domain="comb")
        row = Signal(range(len(words)))
        m.d.comb += [read.addr.eq(row), self.o.payload.eq(read.data), self.o.valid.eq(1)]
        with m.If(self.o.ready):
            m.d.sync += row.eq(Mux(row == len(words) - 1, 0, row + 1))
        return m


class Layer(wiring.Component):
    """max(0, X W), for as many rows of X and columns of W as the array has.

    Members:
        x: columns of X, stream a of the array.
        y: rows of the results, stream c of the array with the negative ones cleared.
    """

    def __init__(self, spec: macgen.MacSpec, weights: Codes) -> None:
        self._spec, self._weights = spec, weights
        streams = Design(spec).streams
        super().__init__({"x": In(streams["a"]), "y": Out(streams["c"])})

    def elaborate(self, platform: object) -> Module:
        """Return the array, joined to its surroundings."""
        m = Module()
        m.submodules.array = array = MacArray(self._spec)
        m.submodules.weights = weights = Weights(array.design, self._weights)
        connect(m, flipped(self.x), array.a)
        connect(m, weights.o, array.b)
        m.d.comb += [self.y.valid.eq(array.c.valid), array.c.ready.eq(self.y.ready)]
        m.d.comb += self.y.payload.eq(array.c.payload)
        for result, cleared in zip(array.c.payload.data, self.y.payload.data, strict=True):
            m.d.comb += cleared.eq(Mux(result[-1], 0, result))  # the sign stands on top
        return m


def simulate(layer: Layer, tiles: list[Codes], rows: int) -> list[list[int]]:
    """Return the rows of the results for tiles of X, codes of shape (rows, K)."""
    found: list[list[int]] = []

    async def feed(ctx: Any) -> None:
        ctx.set(layer.x.valid, 1)
        for tile in tiles:
            columns = tile.T.tolist()
            for k, column in enumerate(columns):
                beat = {"data": [[code] for code in column], "first": k == 0, "last": k == len(columns) - 1}
                ctx.set(layer.x.payload, beat)
                await ctx.tick().until(layer.x.ready)
        ctx.set(layer.x.valid, 0)

    async def take(ctx: Any) -> None:
        ctx.set(layer.y.ready, 1)
        while len(found) < len(tiles) * rows:
            (payload,) = await ctx.tick().sample(layer.y.payload).until(layer.y.valid)
            found.append(list(payload.data))

    simulator = Simulator(layer)
    simulator.add_clock(1e-8)
    simulator.add_testbench(feed)
    simulator.add_testbench(take)
    simulator.run()
    return found


def main() -> int:
    """Simulate the layer on random tiles; print the results and whether they are the golden model's."""
    spec = macgen.MacSpec(a="e5m2", b="e5m2", acc="e6m5", chunk=16, rows=2, cols=3)
    rng = np.random.default_rng(1)
    weights = spec.b.encode(spec.b.quantize(rng.normal(size=(40, spec.cols))))
    tiles = [spec.a.encode(spec.a.quantize(rng.normal(size=(spec.rows, 40)))) for _ in range(2)]

    found = np.array(simulate(Layer(spec, weights), tiles, spec.rows))
    sums = np.concatenate([spec.acc.decode(macgen.golden.matmul(spec, tile, weights)[0]) for tile in tiles])
    for row in spec.acc.decode(found):
        print(*(f"{value:8g}" for value in row))
    equal = bool((spec.acc.decode(found) == np.maximum(sums, 0)).all())
    print("equal to the golden model" if equal else "not what the golden model gives")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
