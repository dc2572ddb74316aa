#include "vecmath.hpp"

#include "compiled.hpp"

namespace nssr::vecmath {

const Table* table_of(const char* target) { return compiled_for<Table>(target, NSSR_COMPILED(table)); }

}  // namespace nssr::vecmath
