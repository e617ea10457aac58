"""Verilog harnesses for the proofs that accumulators and results never leave their formats."""

from __future__ import annotations

from collections.abc import Mapping

from macgen.numerics import FixedFormat, FloatFormat, Format
from macgen.numerics.flags import FLAG_BITS
from macgen.prove.formal.bench import Bench, implications
from macgen.prove.formal.harness import Harness, Property
from macgen.prove.formal.states import FloatStates, aligned_valid, code_valid, special
from macgen.prove.verilog_text import Ports, conjunction, delayed
from macgen.rtl import Design
from macgen.rtl.units.datapath import AnyDatapath, FloatDatapath
from macgen.rtl.units.exact_number import Addend
from macgen.rtl.units.rounded_sum import RoundedSum
from macgen.spec import MacSpec


def bounds_harness(design: Design, name: str, modules: Mapping[str, Ports]) -> Harness:
    """Return the proof, by induction over additions, that every state is one of the format and every code in range.

    Products, addends and states are any that are valid, and each module makes valid ones of valid ones; the empty
    accumulator is valid. So what is proved of one addition holds after any number of them.

    Parameters:
        design: the array.
        name: its top module's name.
        modules: ports of the emitted modules.
    """
    bench, spec = Bench(name, dict(modules)), design.spec
    arithmetic = design.steps
    bench.inputs = {"a": spec.a.width, "b": spec.b.width}
    bench.unit("multiplier", {"a": "a", "b": "b"}, {}, {"product": "multiplied"})
    bench.makes_number("multiplied", "multiplier", "product", design.exact_product, "1'b1")
    if spec.product is not None:
        bench.any_number("exact", "rounding", "number", design.exact_product)
        bench.unit("rounding", {}, {"number": "exact"}, {"rounded": "rounded"})
        bench.makes_number("rounded", "rounding", "rounded", design.product, "exact_valid")
    if design.combines_lanes:
        _lanes(bench, design)
    if spec.scales_lanes:
        _terms(bench, design)
    output = bench.output(arithmetic, design.outer is None and design.out is None)
    if spec.preload and design.outer is None:
        _start(bench, arithmetic, output)
    if design.window is None:
        _accumulator(bench, arithmetic, "product", "adder", output, spec.interleave)
        return bench.harness("bounds", spec.interleave, ())
    _aligned_accumulator(bench, design, output)
    unproved = (
        "direction: a sum of aligned addends, the accumulator among them, is cut, and may move against its products; "
        "nor is it claimed of folds"
    )
    return bench.harness("bounds", spec.interleave, (unproved,))


def totals_harness(design: Design, name: str, modules: Mapping[str, Ports]) -> Harness | None:
    """Return the same proof for an outer accumulator with an adder of its own and for results of another format.

    None where there are neither. For the parameters see `bounds_harness`.
    """
    spec, outer, result = design.spec, design.outer, design.results
    rounding = None if design.out is None else design.out.rounded_sum
    if outer is None and rounding is None:
        return None
    bench = Bench(name, dict(modules))
    if outer is not None:
        chunk = bench.members("number", "value")
        bench.free("chunk", chunk)
        bench.body.append(_state(design.steps, "chunk", chunk))
        bench.unit("number", {}, {"value": "chunk"}, {"number": "chunk_sum"})
        bench.makes_number("chunk_sum", "number", "number", design.chunk_sum, "chunk_valid")
        if spec.scales_chunks:
            _scaler(bench, spec, design.chunk_sum, result.rounded_sum.addend)
        output = bench.output(result, rounding is None)
        if spec.preload:
            _start(bench, outer, output)
        _accumulator(bench, outer, "outer_operand", "outer_adder", output, design.adder_cycles)
    if rounding is not None:
        total = bench.members("out_number", "value")
        bench.free("total", total)
        bench.body.append(_state(result, "total", total))
        bench.unit("out_number", {}, {"value": "total"}, {"number": "unrounded"})
        bench.makes_number("unrounded", "out_number", "number", rounding.addend, "total_valid")
        bench.any_number("result", "out_conversion", "number", rounding.addend)
        bench.body.append(f"  wire [{rounding.acc.width - 1}:0] result_code;\n")
        bench.unit("out_conversion", {"code": "result_code"}, {"number": "result"}, {})
        members = bench.members("out_conversion", "number")
        finite = f"~{special('result', members)}"
        held, claims = [], []
        if isinstance(rounding.acc, FloatFormat):
            held.append(code_valid("result_code", rounding.acc, finite, rounding.overflow))
            infinite = dict.fromkeys(("infinity", "to-infinity"), "no NaN")
            kinds = (infinite | {"nan": "no NaN but by overflow"}).get(rounding.overflow, "no NaN or infinity")
            claims.append(f"every result is one of {rounding.acc}; of a finite sum {kinds}")
        elif rounding.acc.narrow:
            held.append(code_valid("result_code", rounding.acc, finite, rounding.overflow))
            claims.append(f"every result is one of {rounding.acc}")
        if rounding.overflow != "wrap" and (isinstance(rounding.acc, FloatFormat) or rounding.acc.signed):
            held.append(_same_sign(rounding, finite))
            claims.append("no result has the other sign than its sum")
        if held:
            bench.body.append(f"  wire ok_out = ~result_valid | {conjunction(held)};\n")
            bench.properties.append(Property("out", "; ".join(claims)))
    return bench.harness("totals", design.adder_cycles if outer is not None else 1, ())


def _same_sign(rounding: RoundedSum, finite: str) -> str:
    """Return the condition that a result that is not 0 has the sign of its number."""
    fmt, integer = rounding.acc, rounding.addend.integer_bits
    magnitude = fmt.width - 1 if isinstance(fmt, FloatFormat) else fmt.width
    negative = f"result__integer[{integer - 1}]" if integer else "result__negative"
    others = f"result_code[{magnitude - 1}:0] == 0"
    if isinstance(fmt, FloatFormat) and rounding.overflow == "nan":
        others += f" | result_code == {fmt.nan_code}"
    return f"(~({finite}) | {others} | result_code[{fmt.width - 1}] == {negative})"


def _scaler(bench: Bench, spec: MacSpec, number: Addend, scaled: Addend) -> None:
    """Claim that what is multiplied by scales becomes a number that is added."""
    assert spec.scale is not None
    bench.any_number("unscaled", "scaler", "number", number)
    bench.inputs |= {"a_scale": spec.scale.width, "b_scale": spec.scale.width}
    nets = {"a_scale": "a_scale", "b_scale": "b_scale"}
    bench.unit("scaler", nets, {"number": "unscaled"}, {"scaled": "scaled"})
    bench.makes_number("scaled", "scaler", "scaled", scaled, "unscaled_valid")


def _terms(bench: Bench, design: Design) -> None:
    """Claim that products, and the sums of groups of them, become terms."""
    plan = design.terms
    assert plan is not None
    if plan.group > 1:
        addends = {f"numbers__{index}": f"addend_{index}" for index in range(plan.group)}
        for member, bundle in addends.items():
            bench.any_number(bundle, "group_sum", member, plan.product)
        bench.unit("group_sum", {}, addends, {"sum": "group"})
        bench.makes_number(
            "group", "group_sum", "sum", plan.number, " & ".join(f"{bundle}_valid" for bundle in addends.values())
        )
    _scaler(bench, design.spec, plan.number, plan.term)


def _lanes(bench: Bench, design: Design) -> None:
    """Claim that lanes' products become a number that is added."""
    spec = design.spec
    if spec.lane_sum == "fused":
        kinds = {"lanes": (design.product, design.steps.rounded_sum.addend, spec.lanes, "products")}
    elif design.bulk_window is not None:
        total = design.bulk_rounding.rounded_sum.addend
        kinds = {"bulk_sum": (design.product, total, spec.lanes, "numbers")}
        bench.any_number("lane_total", "lane_rounding", "number", total)
        bench.unit("lane_rounding", {}, {"number": "lane_total"}, {"rounded": "lane_rounded"})
        rounded = design.steps.rounded_sum.addend
        bench.makes_number("lane_rounded", "lane_rounding", "rounded", rounded, "lane_total_valid")
    else:
        node = design.first_nodes.result
        kinds = {"lane_first_node": (design.product, node, 2, "numbers"), "lane_node": (node, node, 2, "numbers")}
    for unit, (addend, total, count, interface) in kinds.items():
        if not bench.has(unit):
            continue
        addends = {f"{interface}__{index}": f"{unit}_{index}" for index in range(count)}
        for member, bundle in addends.items():
            bench.any_number(bundle, unit, member, addend)
        bench.unit(unit, {}, addends, {"sum": f"{unit}_sum"})
        bench.makes_number(
            f"{unit}_sum", unit, "sum", total, " & ".join(f"{bundle}_valid" for bundle in addends.values())
        )


def _start(bench: Bench, arithmetic: AnyDatapath, output: str) -> None:
    """Claim that the code of a start value becomes a valid state, of the same value and without flags of its own."""
    fmt, signals = arithmetic.rounded_sum.acc, "invalid" in bench.modules[f"{bench.name}_start"]
    bench.inputs["start_code"] = fmt.width
    bench.body.append(f"  wire [{fmt.width - 1}:0] started_code;\n  wire [{FLAG_BITS - 1}:0] started_flags;\n")
    bench.body.append("  wire start_invalid;\n" * signals)
    bench.unit(
        "start", {"code": "start_code", **({"invalid": "start_invalid"} if signals else {})}, {}, {"value": "start"}
    )
    bench.unit(output, {"code": "started_code", "flags": "started_flags"}, {"value": "start"}, {})
    bench.body.append(_state(arithmetic, "start", bench.members("start", "value")))
    same = ["start_valid", f"started_code == {_canonical('start_code', fmt)}", "started_flags == 0"]
    claim = f"a start value of {fmt} becomes a valid state of the same value"
    if isinstance(fmt, FloatFormat) and signals:
        nan = f"start_code[{fmt.width - 2}:0] > {fmt.infinity_code(0)} & ~start_code[{fmt.man_bits - 1}]"
        same.append(f"start_invalid == ({nan})")
        claim += ", invalid where it is a signalling NaN"
    missing = f"start_code == {fmt.missing_code} | " if isinstance(fmt, FixedFormat) and fmt.narrow else ""
    bench.body.append(f"  wire ok_start = {missing}{conjunction(same)};\n")
    bench.properties.append(Property("start", claim))


def _canonical(code: str, fmt: Format) -> str:
    """Return Verilog for the code of what a code means: of NaN and of zeros there is one."""
    if not isinstance(fmt, FloatFormat):
        return code
    magnitude = f"{code}[{fmt.width - 2}:0]"
    zero = f"{code}[{fmt.width - 2}:{fmt.man_bits}] == 0" if fmt.subnormals == "flush" else f"{magnitude} == 0"
    found = f"({zero} ? {fmt.width}'d0 : {code})"
    if not fmt.has_nan:
        return found
    nan = {"fn": f"&{magnitude}", "fnuz": f"{code} == {fmt.nan_code}"}.get(fmt.encoding, "")
    return f"({nan or f'{magnitude} > {fmt.infinity_code(0)}'} ? {fmt.width}'d{fmt.nan_code} : {found})"


def _accumulator(bench: Bench, arithmetic: AnyDatapath, product: str, adder: str, output: str, cycles: int) -> None:
    """Claim what holds of an accumulator.

    Parameters:
        bench: gets modules, nets and properties.
        arithmetic: the accumulator's.
        product: the module that makes addends of numbers.
        adder: the module that adds them.
        output: the module that gives a state's code.
        cycles: that an addition takes.
    """
    rounded_sum = arithmetic.rounded_sum
    operand, state = bench.members(product, "operand"), bench.members(adder, "acc")
    bench.any_number("raw", product, "product", rounded_sum.addend)
    bench.free("addend", operand)
    bench.free("acc", state)
    bench.inputs["present"] = 1
    bench.unit(product, {"present": "present"}, {"product": "raw"}, {"operand": "product"})
    bench.unit(adder, {}, {"acc": "acc", "operand": "addend"}, {"result": "sum"})
    folds, loads = rounded_sum.folds and bench.has("folded"), rounded_sum.folds and bench.has("loaded")
    if folds:
        bench.unit("folded", {"present": "present"}, {"value": "acc"}, {"operand": "folded"})
    if loads:
        bench.unit("loaded", {}, {"operand": "product"}, {"value": "load"})
    if not isinstance(arithmetic, FloatDatapath):
        bench.body.append("  wire addend_valid = 1'b1;\n")
    else:
        states = FloatStates(arithmetic.geometry)
        for bundle, may_fold in {"product": False, "addend": folds, **({"folded": True} if folds else {})}.items():
            bench.body.append(states.addend(bundle, operand, folded=may_fold))
        bench.made |= {"product": "raw_valid"} | ({"folded": "acc_valid"} if folds else {})
    given = {"sum": "acc_valid & addend_valid"} | ({"load": "raw_valid"} if loads else {})
    numbers = {"sum": f"acc_valid & addend_valid & ~{special('acc', state)} & ~{special('addend', operand)}"}
    _states(bench, arithmetic, given, numbers, state, output, cycles)
    if rounded_sum.overflow != "wrap":
        bench.body += _direction(rounded_sum, operand, cycles)
        bench.properties.append(
            Property(
                "direction", "a positive addend never lowers a sum, a negative one never raises it, none leaves it"
            )
        )


def _aligned_accumulator(bench: Bench, design: Design, output: str) -> None:
    """Claim what holds of an accumulator to which aligned products are added; see `_accumulator`."""
    spec, arithmetic, window = design.spec, design.steps, design.window
    assert window is not None
    assert isinstance(arithmetic, FloatDatapath)
    state, lanes = bench.members("aligned_adder", "acc"), bench.members("aligned_adder", "lanes")
    count, number = (spec.lanes, design.product) if design.terms is None else (design.terms.count, design.terms.term)
    products = {f"numbers__{index}": f"product_{index}" for index in range(count)}
    for member, bundle in products.items():
        bench.any_number(bundle, "aligner", member, number)
    bench.unit("aligner", {}, products, {"aligned": "aligned"})
    bench.free("lanes", lanes)
    bench.free("acc", state)
    bench.body += [aligned_valid(bundle, lanes, window) for bundle in ("aligned", "lanes")]
    bench.made["aligned"] = " & ".join(f"{bundle}_valid" for bundle in products.values())
    bench.unit("aligned_adder", {}, {"acc": "acc", "lanes": "lanes"}, {"result": "sum"})
    given = {"sum": "acc_valid & lanes_valid"}
    numbers = {"sum": f"acc_valid & lanes_valid & ~{special('acc', state)} & ~{special('lanes', lanes)}"}
    if bench.has("folded"):
        operand = bench.members("adder", "operand")
        bench.free("addend", operand)
        bench.inputs["present"] = 1
        bench.unit("folded", {"present": "present"}, {"value": "acc"}, {"operand": "folded"})
        bench.unit("adder", {}, {"acc": "acc", "operand": "addend"}, {"result": "total"})
        bench.body += [
            FloatStates(arithmetic.geometry).addend(bundle, operand, folded=True) for bundle in ("addend", "folded")
        ]
        bench.made["folded"] = "acc_valid"
        # This adder, too, takes as many cycles as there are turns.
        late = spec.interleave - 1
        bench.body += ["  wire folding = acc_valid & addend_valid;\n", delayed("folding", late, False)]
        given["total"] = f"folding_{late}"
        numbers["total"] = f"folding & ~{special('acc', state)} & ~{special('addend', operand)}"
    _states(bench, arithmetic, given, numbers, state, output, spec.interleave)


def _states(
    bench: Bench,
    arithmetic: AnyDatapath,
    given: Mapping[str, str],
    numbers: Mapping[str, str],
    state: Mapping[str, int],
    output: str,
    cycles: int,
) -> None:
    """Claim that states are valid, codes are in range and numbers give numbers.

    Parameters:
        given: states that are made, and under which condition; `sum` some cycles later than that.
        numbers: sums, and under which condition, some cycles earlier, they are of finite state and addend.
        state: members of a state.
        bench, arithmetic, output, cycles: see `_accumulator`.
    """
    rounded_sum, acc = arithmetic.rounded_sum, arithmetic.rounded_sum.acc
    zero, late = arithmetic.zero, cycles - 1
    bench.body += [f"  wire [{width - 1}:0] zero__{key} = {zero.get(key, 0)};\n" for key, width in state.items()]
    bench.body += [_state(arithmetic, bundle, state) for bundle in ("acc", "zero", *given)]
    for bundle, condition in numbers.items():
        bench.body += [f"  wire {bundle}_numbers = {condition};\n", delayed(f"{bundle}_numbers", late, False)]
    bench.body += [f"  wire summed = {given['sum']};\n", delayed("summed", late, False)]
    for bundle in ("acc", "sum"):
        bench.body.append(f"  wire [{acc.width - 1}:0] {bundle}_code;\n")
        bench.unit(output, {"code": f"{bundle}_code"}, {"value": bundle}, {})
    code = "acc_code == acc__integer"
    if isinstance(arithmetic, FloatDatapath):
        code = FloatStates(arithmetic.geometry).code("acc", state)
    results = {"zero": "1'b1", **given, "sum": f"summed_{late}"}
    bench.body.append(f"  wire ok_states = {implications(results)};\n  wire ok_range = ~acc_valid | {code};\n")
    bench.properties += [
        Property("states", "every accumulator state is one that stands for a number of the format, NaN or an infinity"),
        Property("range", f"every code is one of {acc}; of a finite number, no larger than {acc.max:g}"),
    ]
    if rounded_sum.overflow == "saturate":
        finite = conjunction([f"(~{bundle}_numbers_{late} | ~{special(bundle, state)})" for bundle in numbers])
        bench.body.append(f"  wire ok_finite = {finite};\n")
        bench.properties.append(Property("finite", "finite operands never give NaN or infinity"))


def _state(arithmetic: AnyDatapath, bundle: str, members: Mapping[str, int]) -> str:
    """Return Verilog for `<bundle>_valid` of an accumulator state."""
    if isinstance(arithmetic, FloatDatapath):
        return FloatStates(arithmetic.geometry).state(bundle, members)
    acc = arithmetic.geometry.acc
    kind, bits = ("$signed", acc.width) if acc.signed else ("$unsigned", acc.width)
    value = f"{kind}({bundle}__integer)"
    valid = "1'b1"
    for number, ends in reversed([*enumerate(arithmetic.geometry.modes)]):
        low, high = (_number(limit, bits, acc.signed) for limit in (ends.least, ends.largest))
        held = f"{value} >= {low} & {value} <= {high}"
        if ends.dropped:
            held += f" & {bundle}__integer[{ends.dropped - 1}:0] == 0"
        valid = (
            held if number == 0 and len(arithmetic.geometry.modes) == 1 else f"mode == {number} ? {held} : ({valid})"
        )
    return f"  wire {bundle}_valid = {valid};\n"


def _order(acc: Format, bundle: str) -> str:
    """Return Verilog for `<bundle>_order`, a signed number that is the larger, the larger the code's number."""
    code, bits = f"{bundle}_code", acc.width
    if isinstance(acc, FixedFormat):
        order = f"$signed({code})" if acc.signed else f"$signed({{1'b0, {code}}})"
    else:
        magnitude = f"$signed({{2'b0, {code}[{bits - 2}:0]}})"
        order = f"{code}[{bits - 1}] ? -{magnitude} : {magnitude}"
    return f"  wire signed [{bits}:0] {bundle}_order = {order};\n"


def _direction(rounded_sum: RoundedSum, operand: Mapping[str, int], cycles: int) -> list[str]:
    """Return Verilog for `ok_direction`."""
    acc = rounded_sum.acc
    key, late = "integer" if isinstance(acc, FixedFormat) else "significand", cycles - 1
    addend = f"addend__{key}"
    before = f"$signed(acc_order_{late})"
    lost, found = "1'b0", []
    if isinstance(acc, FloatFormat) and rounded_sum.overflow == "nan":
        # NaN has no direction; of a state that overflowed only its code says that it is one.
        lost = f"acc_lost_{late} | sum_code == {acc.nan_code}"
        found = [f"  wire acc_lost = acc_code == {acc.nan_code};\n", delayed("acc_lost", late, False)]
    return [
        *(_order(acc, bundle) for bundle in ("acc", "sum")),
        *found,
        f"  wire lowers = {addend}[{operand[key] - 1}], nothing = {addend} == 0;\n",
        delayed("acc_order", late, False, acc.width + 1),
        delayed("lowers", late, False),
        delayed("nothing", late, False),
        f"  wire ok_direction = ~sum_numbers_{late} | {lost} | (nothing_{late} ? sum_order == {before}\n"
        f"    : lowers_{late} ? sum_order <= {before} : sum_order >= {before});\n",
    ]


def _number(value: int, bits: int, signed: bool) -> str:
    return f"-{bits + 1}'sd{-value}" if value < 0 else f"{bits + 1}'{'s' if signed else ''}d{value}"
