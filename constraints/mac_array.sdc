# Timing constraints of $name, for ASIC flows (OpenSTA, OpenROAD, Design Compiler, Genus) and Quartus.
# All ports are synchronous to clk. Set the period to your target; the delays outside follow from it.
create_clock -name clk -period $period_ns [get_ports clk]
set_input_delay  $io_delay_ns -clock clk [get_ports {rst a_valid a_data* a_first a_last b_valid b_data* c_ready}]
set_output_delay $io_delay_ns -clock clk [get_ports {a_ready b_ready c_valid c_data* c_flags* c_first c_last}]
