# Timing constraints of $name, for ASIC flows (OpenSTA, OpenROAD, Design Compiler, Genus) and Quartus.
# All ports are synchronous to $clock. Set the period to your target; the delays outside follow from it.
create_clock -name $clock -period $period_ns [get_ports $clock]
set_input_delay  $io_delay_ns -clock $clock [get_ports {$inputs}]
set_output_delay $io_delay_ns -clock $clock [get_ports {$outputs}]
