# Timing constraints of $name, for Vivado, where it is the top level or synthesized out of context.
# All ports are synchronous to $clock. Set the period to your target; the delays outside follow from it.
create_clock -name $clock -period $period_ns [get_ports $clock]
set_property HD.CLK_SRC BUFGCTRL_X0Y0 [get_ports $clock]
set_input_delay  -clock $clock $io_delay_ns [get_ports -filter {DIRECTION == IN && NAME != $clock}]
set_output_delay -clock $clock $io_delay_ns [get_ports -filter {DIRECTION == OUT}]
