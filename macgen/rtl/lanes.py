"""The lanes' products become what a step adds: their exact sum, that of a tree whose nodes round, or a rounded one."""

from functools import partial

from amaranth.hdl import Const, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.design import Design
from macgen.rtl.parts.hierarchy import submodule
from macgen.rtl.parts.interfaces import connect_members
from macgen.rtl.units.bulk import BulkSum
from macgen.rtl.units.exact_number import ExactNumber
from macgen.rtl.units.exact_sum import FusedSum
from macgen.rtl.units.rounded_number import RoundedNumber
from macgen.rtl.units.tree_node import TreeNode


class LaneSum(wiring.Component):
    """Make of the lanes' products what a step adds, where `lane_sum` is `fused`, `tree` or `bulk:F`.

    Members:
        products: the lanes' products; see ExactNumber.
        sum: what a step adds of them; see ExactNumber.
        flags: raised by the nodes of a tree, or by the rounding of the products' sum.
    """

    def __init__(self, design: Design) -> None:
        self._design = design
        super().__init__(
            {
                "products": In(ExactNumber(design.product)).array(design.spec.lanes),
                "sum": Out(ExactNumber(design.steps.rounded_sum.addend)),
                "flags": Out(FLAG_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        design, spec = self._design, self._design.spec
        if spec.lane_sum == "fused":
            # -- Add: all products at once, exactly
            fused = submodule(m, platform, "fused", "fused_sum", lambda: FusedSum(design.product, spec.lanes))
            for lane, product in enumerate(self.products):
                connect_members(m, fused.numbers[lane], product)
            connect_members(m, self.sum, fused.sum)
            return m

        if design.bulk_window is not None:
            # -- Add: all products at once, cut below the largest exponent
            window, rounding, addend = design.bulk_window, design.bulk_rounding, design.steps.rounded_sum.addend
            bulk = submodule(m, platform, "bulk", "bulk_sum", lambda: BulkSum(window))
            for lane, product in enumerate(self.products):
                connect_members(m, bulk.numbers[lane], product)

            # -- Round: their sum, to the accumulator's format
            unit = submodule(m, platform, "rounding", "lane_rounding", lambda: RoundedNumber(rounding, addend))
            connect_members(m, unit.number, bulk.sum)
            connect_members(m, self.sum, unit.rounded)
            m.d.comb += self.flags.eq(unit.flags)
            return m

        # -- Add: pairwise, each sum rounded
        numbers, flags = list(self.products), Const(0, FLAG_BITS)
        level = 0
        while len(numbers) > 1:
            geometry = design.later_nodes if level else design.first_nodes
            kind, make = f"{geometry.prefix}node", partial(TreeNode, geometry)
            nodes = [submodule(m, platform, f"node_{level}_{i}", kind, make) for i in range(len(numbers) // 2)]
            for index, node in enumerate(nodes):
                connect_members(m, node.numbers[0], numbers[2 * index])
                connect_members(m, node.numbers[1], numbers[2 * index + 1])
                flags = flags | node.flags
            numbers, level = [node.sum for node in nodes], level + 1
        connect_members(m, self.sum, numbers[0])
        m.d.comb += self.flags.eq(flags)
        return m
