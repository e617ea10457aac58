// Berkeley HardFloat's fused multiply-add as a multiply-accumulate unit: what `Unit` of qor.py computes.
// Operand registers and accumulator are recoded; operands that are narrower than the accumulator are widened exactly.
module unit (
  input  wire                              clk,
  input  wire [`IN_EXP + `IN_SIG - 1:0]    a, b,
  input  wire                              step, first,
  output wire [`ACC_EXP + `ACC_SIG - 1:0]  code,
  output reg  [4:0]                        flags
);
  wire [`IN_EXP + `IN_SIG:0]   a_in, b_in;
  wire [`ACC_EXP + `ACC_SIG:0] a_wide, b_wide, sum;
  wire [4:0]                   raised;
  reg  [`ACC_EXP + `ACC_SIG:0] a_reg, b_reg, acc;
  fNToRecFN #(`IN_EXP, `IN_SIG) recode_a (.in(a), .out(a_in));
  fNToRecFN #(`IN_EXP, `IN_SIG) recode_b (.in(b), .out(b_in));
  recFNToRecFN #(`IN_EXP, `IN_SIG, `ACC_EXP, `ACC_SIG) widen_a (
    .control(1'b1), .in(a_in), .roundingMode(3'b000), .out(a_wide), .exceptionFlags());
  recFNToRecFN #(`IN_EXP, `IN_SIG, `ACC_EXP, `ACC_SIG) widen_b (
    .control(1'b1), .in(b_in), .roundingMode(3'b000), .out(b_wide), .exceptionFlags());
  mulAddRecFN #(`ACC_EXP, `ACC_SIG) fma (
    .control(1'b1), .op(2'b00), .a(a_reg), .b(b_reg), .c(acc), .roundingMode(3'b000), .out(sum),
    .exceptionFlags(raised));
  recFNToFN #(`ACC_EXP, `ACC_SIG) decode (.in(acc), .out(code));
  always @(posedge clk) begin
    a_reg <= step ? a_wide : 0;
    b_reg <= step ? b_wide : 0;
    acc   <= first ? 0 : sum;
    flags <= first ? 0 : flags | raised;
  end
endmodule
