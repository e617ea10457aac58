# Timing constraints of $name, for Vivado, where it is the top level or synthesized out of context.
# All ports are synchronous to clk. Set the period to your target; the delays outside follow from it.
create_clock -name clk -period $period_ns [get_ports clk]
set_property HD.CLK_SRC BUFGCTRL_X0Y0 [get_ports clk]
set_input_delay  -clock clk $io_delay_ns [get_ports -filter {DIRECTION == IN && NAME != clk}]
set_output_delay -clock clk $io_delay_ns [get_ports -filter {DIRECTION == OUT}]
