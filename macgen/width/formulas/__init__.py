"""What is computed of an accumulator, of numbers that are checked already.

The modules of `macgen.width` above have the same for anyone who calls: they check what they are given, and say where a
formula comes from and how good it is.
"""
