"""What is counted of additions (docs/arithmetic.md section 9)."""

ADDITIONS = ("steps", "folds")
"""The kinds of additions, which are counted apart."""

EVENTS = ("saturated", "flushed", "swamped")
"""What may happen in one: it raises `overflow`, it raises `underflow`, or it leaves the accumulator as it was though
something was added to it."""
