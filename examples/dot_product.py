"""One dot product, by the definition (codes and flags) and by the fast model (values): they agree bit for bit.

python examples/dot_product.py
"""

import macgen

spec = macgen.MacSpec(a="e5m2", b="e5m2", acc="e6m5", chunk=4)
a = spec.a.encode([1.25, -0.5, 3, 0.875, 24, 0.0625, -1.75, 5])
b = spec.b.encode([2, 6, -0.25, 1.5, 1, 0.5, 4, 0.375])

code, flags = macgen.golden.dot(spec, a, b)
A, B = spec.a.decode(a), spec.b.decode(b)
(value,) = macgen.emulate.dots(spec, [A], [B])

print("codes of a", *(f"{int(each):02x}" for each in a))
print("codes of b", *(f"{int(each):02x}" for each in b))
print(f"golden: code {int(code):03x}, which is {spec.acc.decode(code):g}; flags: {flags.name or 'none'}")
print(f"emulate: {value:g}; without rounding: {A @ B:g}")
