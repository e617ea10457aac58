"""One adder, one multiplier, one rounder each: the datapath of a processing element."""
