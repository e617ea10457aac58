// Berkeley HardFloat's multiplier, a product register and its adder as a multiply-accumulate unit.
// The product is exact where the accumulator's significand holds it.
module unit (
  input  wire                              clk,
  input  wire [`IN_EXP + `IN_SIG - 1:0]    a, b,
  input  wire                              step, first,
  output wire [`ACC_EXP + `ACC_SIG - 1:0]  code,
  output reg  [4:0]                        flags
);
  wire [`IN_EXP + `IN_SIG:0]   a_in, b_in;
  wire [`ACC_EXP + `ACC_SIG:0] a_wide, b_wide, product, sum;
  wire [4:0]                   raised_product, raised;
  reg  [`ACC_EXP + `ACC_SIG:0] product_reg, acc;
  reg  [4:0]                   flags_product;
  fNToRecFN #(`IN_EXP, `IN_SIG) recode_a (.in(a), .out(a_in));
  fNToRecFN #(`IN_EXP, `IN_SIG) recode_b (.in(b), .out(b_in));
  recFNToRecFN #(`IN_EXP, `IN_SIG, `ACC_EXP, `ACC_SIG) widen_a (
    .control(1'b1), .in(a_in), .roundingMode(3'b000), .out(a_wide), .exceptionFlags());
  recFNToRecFN #(`IN_EXP, `IN_SIG, `ACC_EXP, `ACC_SIG) widen_b (
    .control(1'b1), .in(b_in), .roundingMode(3'b000), .out(b_wide), .exceptionFlags());
  mulRecFN #(`ACC_EXP, `ACC_SIG) multiplier (
    .control(1'b1), .a(a_wide), .b(b_wide), .roundingMode(3'b000), .out(product), .exceptionFlags(raised_product));
  addRecFN #(`ACC_EXP, `ACC_SIG) adder (
    .control(1'b1), .subOp(1'b0), .a(product_reg), .b(acc), .roundingMode(3'b000), .out(sum),
    .exceptionFlags(raised));
  recFNToFN #(`ACC_EXP, `ACC_SIG) decode (.in(acc), .out(code));
  always @(posedge clk) begin
    product_reg   <= step ? product : 0;
    flags_product <= step ? raised_product : 0;
    acc           <= first ? 0 : sum;
    flags         <= first ? 0 : flags | raised | flags_product;
  end
endmodule
