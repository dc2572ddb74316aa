// The real functions: scalar libm, one copy for all targets, so that every target gives the same bits.
#pragma once

#include "nssr/kernels.hpp"

namespace nssr::real {

bool POW_F64(const Frame&, const Instruction&);
bool EXP_F64(const Frame&, const Instruction&);
bool LOG_F64(const Frame&, const Instruction&);
bool SIN_F64(const Frame&, const Instruction&);
bool COS_F64(const Frame&, const Instruction&);
bool TAN_F64(const Frame&, const Instruction&);
bool ASIN_F64(const Frame&, const Instruction&);
bool ACOS_F64(const Frame&, const Instruction&);
bool ATAN_F64(const Frame&, const Instruction&);
bool SINH_F64(const Frame&, const Instruction&);
bool COSH_F64(const Frame&, const Instruction&);
bool TANH_F64(const Frame&, const Instruction&);

}  // namespace nssr::real
