
# For ASIC flows. Jitter and skew take a share of the period; nets with more pins get buffers.
set_clock_uncertainty $uncertainty_ns [get_clocks $clock]
set_max_fanout $max_fanout [current_design]
# What drives inputs and what outputs drive is the library's: LibreLane says it by these two variables. Elsewhere set
# them, or write here a cell with its output pin, and a load in thousandths of the library's unit of capacitance.
if {[info exists ::env(SYNTH_DRIVING_CELL)]} {
  set driver [split $$::env(SYNTH_DRIVING_CELL) /]
  set_driving_cell -lib_cell [lindex $$driver 0] -pin [lindex $$driver 1] [get_ports {$inputs}]
}
if {[info exists ::env(OUTPUT_CAP_LOAD)]} {
  set_load [expr {$$::env(OUTPUT_CAP_LOAD) / 1000.0}] [get_ports {$outputs}]
}
