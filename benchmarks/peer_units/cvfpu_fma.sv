// cvfpu's fused multiply-add (FPnew), without pipeline registers of its own, as a multiply-accumulate unit.
module unit (
  input  logic                                          clk,
  input  logic [fpnew_pkg::fp_width(`FORMAT) - 1:0]     a, b,
  input  logic                                          step, first,
  output logic [fpnew_pkg::fp_width(`FORMAT) - 1:0]     code,
  output logic [4:0]                                    flags
);
  logic [fpnew_pkg::fp_width(`FORMAT) - 1:0] a_reg, b_reg, sum;
  fpnew_pkg::status_t raised;
  fpnew_fma #(.FpFormat(`FORMAT), .NumPipeRegs(0)) fma (
    .clk_i(clk), .rst_ni(1'b1), .operands_i({code, b_reg, a_reg}), .is_boxed_i(3'b111), .rnd_mode_i(fpnew_pkg::RNE),
    .op_i(fpnew_pkg::FMADD), .op_mod_i(1'b0), .tag_i(1'b0), .mask_i(1'b1), .aux_i(1'b0), .in_valid_i(1'b1),
    .in_ready_o(), .flush_i(1'b0), .result_o(sum), .status_o(raised), .extension_bit_o(), .tag_o(), .mask_o(),
    .aux_o(), .out_valid_o(), .out_ready_i(1'b1), .busy_o(), .reg_ena_i(1'b0));
  always_ff @(posedge clk) begin
    a_reg <= step ? a : '0;
    b_reg <= step ? b : '0;
    code  <= first ? '0 : sum;
    flags <= first ? '0 : flags | raised;
  end
endmodule
