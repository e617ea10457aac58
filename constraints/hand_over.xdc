set_clock_uncertainty $uncertainty_ns [get_clocks $clock]
