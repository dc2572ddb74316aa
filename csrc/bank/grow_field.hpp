// Columns as numbers modulo the prime 2**61 - 1: the algebra by which most duplicates are found without computing a row.
//
// Every input is a random element, every constant the residue of its exact (dyadic) value. Sums, products and quotients
// of expressions are those of their elements, so two expressions that are equal as rational functions of the same parts
// have the same element; others share one with a probability of about their degree in 2**61 (Schwartz, Zippel). What is
// not rational (functions, roots, MIN, MAX, POW) is a pseudo-random function of its operands' elements, which respects
// symmetry: cos(-x) = cos(x), sin(-x) = -sin(x), min(a, b) = min(b, a). So an element may differ where the values are the
// same, e.g. sin(x)**2 + cos(x)**2 and 1: the digests of values find these.
#pragma once

#include <cmath>
#include <cstdint>

namespace nssr::grow_field {

using Element = std::uint64_t;
constexpr Element kPrime = (Element{1} << 61) - 1;

inline Element reduced(std::uint64_t x) {
    x = (x & kPrime) + (x >> 61);
    return x >= kPrime ? x - kPrime : x;
}
inline Element add(Element a, Element b) {
    const Element s = a + b;
    return s >= kPrime ? s - kPrime : s;
}
inline Element subtract(Element a, Element b) { return a >= b ? a - b : a + kPrime - b; }
inline Element negate(Element a) { return a == 0 ? 0 : kPrime - a; }
inline Element multiply(Element a, Element b) {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(a) * b;
    const Element s = (static_cast<Element>(product) & kPrime) + static_cast<Element>(product >> 61);
    return s >= kPrime ? s - kPrime : s;
}
inline Element power(Element a, std::uint64_t exponent) {
    Element result = 1;
    for (; exponent != 0; exponent >>= 1, a = multiply(a, a))
        if (exponent & 1) result = multiply(result, a);
    return result;
}
// 0 for 0.
inline Element inverse(Element a) { return power(a, kPrime - 2); }

// The residue of a finite double, exactly.
inline Element of_double(double value) {
    int exponent;
    const double fraction = std::frexp(std::fabs(value), &exponent);
    const Element whole = reduced(static_cast<std::uint64_t>(std::ldexp(fraction, 53)));
    const int shift = ((exponent - 53) % 61 + 61) % 61;  // 2**61 is 1
    const Element size = multiply(whole, Element{1} << shift);
    return value < 0 ? negate(size) : size;
}

inline std::uint64_t mixed(std::uint64_t x) {  // a bijection of 64 bits (Stafford's 13th)
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}
// Pseudo-random functions, one per salt.
inline Element of_one(unsigned salt, Element a) { return reduced(mixed(a + 0x9E3779B97F4A7C15u * (salt + 1))); }
inline Element of_two(unsigned salt, Element a, Element b) {
    return reduced(mixed(mixed(a + 0x9E3779B97F4A7C15u * (salt + 1)) + b));
}

}  // namespace nssr::grow_field
