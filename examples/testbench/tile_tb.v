// A testbench of one's own, in plain Verilog, for a bundle of a 2 x 2 array:
//
//     macgen build --rows 2 --cols 2 --chunk 64 -o build/mac2
//     iverilog -g2001 -o build/tile_tb examples/testbench/tile_tb.v build/mac2/rtl/mac2.v
//     build/tile_tb
//
// It offers one tile, A (2 x 3) and B (3 x 2), beat by beat, and prints the rows of A B as they come.

`timescale 1ns / 1ps

module tile_tb;
    reg clk = 0;
    reg rst = 1;
    always #5 clk = ~clk;

    // E5M2 codes: 3c is 1, 40 is 2, 42 is 3, 44 is 4, 38 is 0.5, bc is -1.
    reg         valid = 0;
    reg  [1:0]  beat = 0;
    wire        a_ready, b_ready;
    wire        last = beat == 2;
    wire [15:0] a_data = beat == 0 ? {8'h44, 8'h3c}   // column 0 of A: row 1 above row 0
                       : beat == 1 ? {8'h38, 8'h40}
                       :             {8'hbc, 8'h42};
    wire [15:0] b_data = beat == 0 ? {8'h3c, 8'h40}   // row 0 of B: column 1 above column 0
                       : beat == 1 ? {8'h44, 8'hbc}
                       :             {8'h42, 8'h38};

    wire        c_valid, c_first, c_last;
    wire [23:0] c_data;
    wire [5:0]  c_flags;

    mac2 dut (
        .clk(clk), .rst(rst),
        .a_valid(valid), .a_ready(a_ready), .a_data(a_data), .a_first(beat == 0), .a_last(last),
        .b_valid(valid), .b_ready(b_ready), .b_data(b_data),
        .c_valid(c_valid), .c_ready(1'b1), .c_data(c_data), .c_flags(c_flags), .c_first(c_first), .c_last(c_last)
    );

    // A beat moves at an edge at which valid and ready are both high; both operand streams move together.
    always @(posedge clk)
        if (rst) begin
            valid <= 1;
        end else if (valid && a_ready) begin
            beat <= beat + 1;
            valid <= !last;
        end

    integer row = 0;
    always @(posedge clk)
        if (!rst && c_valid) begin
            $display("row %0d: %h %h  flags %b %b", row, c_data[11:0], c_data[23:12], c_flags[2:0], c_flags[5:3]);
            row = row + 1;
            if (c_last) $finish;
        end

    initial begin
        #12 rst = 0;
        #1000 $display("no result came");
        $finish;
    end
endmodule
