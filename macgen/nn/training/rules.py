"""How the GEMMs of a layer are computed while it is trained."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self, get_args

from macgen.errors import MacgenError, check_choice, check_flag, check_integer, check_type, shown
from macgen.network.gemm import KINDS, Kind
from macgen.nn.scaling import ScaleKind
from macgen.numerics import FixedFormat, Rounding
from macgen.numerics.at_random import check_random_bits
from macgen.spec import MacSpec

TrainingScales = Literal["pow2", "amax", "one", "history"]
"""`pow2` and `amax`: from each tensor, see `macgen.nn.scaling.ScaleKind`; `one`: values are taken as they are;
`history`: powers of two from the tensors of the calls before (`macgen.nn.training.history`)."""

Headroom = Literal["bound", "measured"]
"""How results are kept within a float accumulator: by a bound of every sum, or by the largest result in float32."""

Approximation = Literal["identity", "overflow", "difference", "recursive-overflow", "recursive-difference"]
"""How gradients pass an accumulator that loses products (Blumenfeld, Hubara and Soudry, ICLR 2024, arXiv 2401.14110,
section 4): as if it lost none; without the products whose own addition overflowed, or changed nothing or the wrong way;
recursive: without the products that were added before such an addition, too."""

_SCALE_KINDS: dict[TrainingScales, ScaleKind] = {"pow2": "pow2", "amax": "amax"}


@dataclass(frozen=True)
class Arithmetic:
    """The arithmetic of a layer that is trained: of each GEMM, a spec, or None for float32 as torch computes it.

    The operand `a` of a spec is what flows: activations in the forward GEMM, the gradient of outputs in the two others.
    The operand `b` is what stays: weights, and in the weights' gradient the stored activations.

    Parameters:
        forward: of the outputs.
        backward: of the inputs' gradient.
        gradient: of the weights' gradient.
        scales: how scales of operands are chosen, one for each tensor and each GEMM.
        headroom: how results are kept within a float accumulator, where scales may move.
        rounding: of activations and weights to their formats: `rne`, `stochastic:r` or `stochastic:r:nearest`.
        gradient_rounding: of the gradient of outputs.
        exact: whether all sums are exact, so that only the operands' formats count.
        approximation: how gradients pass the forward accumulator.
        count_every: additions are counted in every so many calls of a GEMM, the first one too; 0: never. Counting takes
            about a second for 35 million additions.
        seed: of random numbers that round operands.

    Raises:
        MacgenError: a field is refused, or they contradict each other.
    """

    forward: MacSpec | None = None
    backward: MacSpec | None = None
    gradient: MacSpec | None = None
    scales: TrainingScales = "pow2"
    headroom: Headroom = "bound"
    rounding: Rounding | str = "rne"
    gradient_rounding: Rounding | str = "rne"
    exact: bool = False
    approximation: Approximation = "identity"
    count_every: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for kind in KINDS:
            if getattr(self, kind) is not None:
                check_type(kind, getattr(self, kind), MacSpec, "a MacSpec, or None for float32")
        check_choice("scales", self.scales, get_args(TrainingScales))
        check_choice("headroom", self.headroom, get_args(Headroom))
        check_choice("approximation", self.approximation, get_args(Approximation))
        values: dict[str, Any] = {
            "exact": check_flag("exact", self.exact),
            "count_every": check_integer("count_every", self.count_every, 0),
            "seed": check_integer("seed", self.seed, 0),
        }
        for name in ("rounding", "gradient_rounding"):
            values[name] = Rounding(getattr(self, name), field=name)
            if str(values[name].kind) not in ("rne", "stochastic"):
                raise MacgenError(f"{name} {str(values[name])!r} of operands is not rne or stochastic:r")
        self.__dict__.update(values)  # the instance is frozen
        for kind in KINDS:
            self._check_random_bits(kind)
        if self.approximation != "identity":
            self._check_approximation()

    @classmethod
    def of(cls, given: MacSpec | Arithmetic) -> Arithmetic:
        """Return a spec as the arithmetic of all three GEMMs, an arithmetic as it is.

        Raises:
            MacgenError: it is neither.
        """
        check_type("arithmetic", given, (MacSpec, Arithmetic), "a MacSpec or a macgen.nn.Arithmetic")
        return given if isinstance(given, Arithmetic) else cls(given, given, given)

    def replace(self, **changes: Any) -> Self:
        """Return the arithmetic with some fields replaced.

        Raises:
            MacgenError: a field is refused, or they contradict each other.
        """
        known = [field.name for field in fields(self)]
        for name in changes:
            if name not in known:
                raise MacgenError(f"{shown(name)} is no field of an arithmetic; accepted are {', '.join(known)}")
        return replace(self, **changes)

    def spec(self, kind: Kind) -> MacSpec | None:
        """Return the spec of a GEMM; None: float32."""
        spec: MacSpec | None = getattr(self, kind)
        return spec

    def rounding_of(self, kind: Kind, which: Literal["a", "b"]) -> Rounding:
        """Return how an operand of a GEMM is rounded to its format."""
        flows_back = kind != "forward" and which == "a"
        rounding = self.gradient_rounding if flows_back else self.rounding
        assert isinstance(rounding, Rounding)
        return rounding

    @property
    def scale_kind(self) -> ScaleKind | None:
        """How scales follow from the tensor that they are of; None: they do not."""
        return _SCALE_KINDS.get(self.scales)

    def _check_random_bits(self, kind: Kind) -> None:
        spec = self.spec(kind)
        if spec is None:
            return
        if spec.scale is not None and self.scales in ("one", "history"):
            raise MacgenError(f"scales {self.scales!r} does not go with {kind} {shown(str(spec.scale))} block scales")
        if self.scales == "history" and not all(isinstance(fmt, FixedFormat) for fmt in (spec.a, spec.b, spec.acc)):
            raise MacgenError(
                f"scales 'history' does not go with {kind} {spec.a} x {spec.b} into {spec.acc}; accepted are integer "
                f"and fixed-point formats"
            )
        for which, fmt in (("a", spec.a), ("b", spec.b)):
            rounding = self.rounding_of(kind, which)  # type: ignore[arg-type]
            if rounding.random_bits:
                check_random_bits(fmt, rounding)

    def _check_approximation(self) -> None:
        accepted = None
        if self.forward is None or self.exact:
            accepted = "a forward spec whose sums are not exact"
        elif self.backward is not None or self.gradient is not None:
            accepted = "backward and gradient None, as these gradients are float32"
        elif self.forward.lanes > 1 or self.forward.aligns or self.forward.scale is not None:
            accepted = "a forward spec with one lane, without aligned sums and block scales"
        elif self.forward.random_bits:
            accepted = "a forward spec without random numbers"
        if accepted is not None:
            raise MacgenError(
                f"approximation {self.approximation!r} does not go with these GEMMs; accepted is {accepted}"
            )
