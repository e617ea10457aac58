// Matrices of values of any real type and any strides, as callers have them.
#pragma once
#include <stdint.h>

namespace macgen {

struct Half {  // binary16
    uint16_t code;
};

enum class Element : int64_t { f64, f32, f16, i8, i16, i32, i64, u8, u16, u32, u64 };

// Filled in by macgen/emulate/elements.py.
struct Matrix {
    const char* data;
    Element element;
    int64_t lines, products;  // lines: rows of the left operand, columns of the right one
    int64_t line_stride, product_stride;  // in bytes

    const char* at(int64_t line, int64_t product) const {
        return data + line * line_stride + product * product_stride;
    }
};

// Calls a function with a value of the elements' type.
template <class Function>
auto with_type_of(const Matrix& matrix, const Function& function) {
    switch (matrix.element) {
        case Element::f64: return function(double());
        case Element::f32: return function(float());
        case Element::f16: return function(Half());
        case Element::i8: return function(int8_t());
        case Element::i16: return function(int16_t());
        case Element::i32: return function(int32_t());
        case Element::i64: return function(int64_t());
        case Element::u8: return function(uint8_t());
        case Element::u16: return function(uint16_t());
        case Element::u32: return function(uint32_t());
        case Element::u64: break;
    }
    return function(uint64_t());
}

}  // namespace macgen
