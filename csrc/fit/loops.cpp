#include "loops.hpp"

#include "compiled.hpp"

namespace nssr::fit {

const Loops* loops_of(const char* target) { return compiled_for<Loops>(target, NSSR_COMPILED(loops)); }

}  // namespace nssr::fit
