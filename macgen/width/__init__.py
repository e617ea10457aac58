"""How many bits an accumulator needs: variance retention ratio, rounding noise, exact bounds, Monte Carlo, plans."""

from macgen.width import automatic, bounds, exponent, flooring, monte_carlo, nsr, outer, truncation, variance
from macgen.width.goal import Goal, Sum
from macgen.width.network_plan import plan_network
from macgen.width.planning import Plan, plan
from macgen.width.variance import vrr

__all__ = [
    "Goal",
    "Plan",
    "Sum",
    "automatic",
    "bounds",
    "exponent",
    "flooring",
    "monte_carlo",
    "nsr",
    "outer",
    "plan",
    "plan_network",
    "truncation",
    "variance",
    "vrr",
]
