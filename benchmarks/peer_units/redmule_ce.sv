// RedMulE's compute element as it stands, one FMA a cycle: its accumulation goes through a row of elements and back,
// so it has no loop of its own. Its clock gates are left open.
module cluster_clock_gating (input logic clk_i, input logic en_i, input logic test_en_i, output logic clk_o);
  assign clk_o = clk_i;
endmodule

module tc_clk_gating (input logic clk_i, input logic en_i, input logic test_en_i, output logic clk_o);
  assign clk_o = clk_i;
endmodule

module unit (
  input  logic                                          clk, rst_n,
  input  logic [fpnew_pkg::fp_width(`FORMAT) - 1:0]     a, b, y,
  input  logic                                          step, enable,
  output logic [fpnew_pkg::fp_width(`FORMAT) - 1:0]     code,
  output logic [4:0]                                    flags,
  output logic                                          valid
);
  redmule_ce #(.FpFormat(`FORMAT), .NumPipeRegs(`STAGES)) ce (
    .clk_i(clk), .rst_ni(rst_n), .x_input_i(a), .w_input_i(b), .y_bias_i(y), .fma_is_boxed_i(3'b111),
    .noncomp_is_boxed_i(2'b11), .stage1_rnd_i(fpnew_pkg::RNE), .stage2_rnd_i(fpnew_pkg::RNE),
    .op1_i(fpnew_pkg::FMADD), .op2_i(fpnew_pkg::MINMAX), .op_mod_i(1'b0), .tag_i(1'b0), .aux_i(1'b0),
    .in_valid_i(step), .in_ready_o(), .reg_enable_i(enable), .flush_i(1'b0), .z_output_o(code), .status_o(flags),
    .extension_bit_o(), .class_mask_o(), .is_class_o(), .tag_o(), .aux_o(), .out_valid_o(valid), .out_ready_i(1'b1),
    .busy_o());
endmodule
