# The fuzz target, with sanitizers in everything below it. O1: the build must not take longer than the fuzzing.
set(NSSR_SANITIZERS -O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all)
target_compile_options(nssr_core PRIVATE ${NSSR_SANITIZERS} -fsanitize=fuzzer-no-link)

# Kernels are thousands of straight loops over vectors: they are watched for their memory only, which takes a fifth of the
# time to compile.
# What the C interface cannot reach is left out.
get_target_property(sources nssr_core SOURCES)
list(FILTER sources EXCLUDE REGEX "csrc/(bank|fit)/")
set_target_properties(nssr_core PROPERTIES SOURCES "${sources}")
foreach(source IN LISTS sources)
  if(source MATCHES "(formula/formula_|kernels/)")
    set_property(SOURCE ${source} APPEND PROPERTY COMPILE_OPTIONS -fno-sanitize=undefined)
  endif()
endforeach()

add_executable(fuzz_capi csrc/tests/fuzz_capi.cpp)
target_compile_options(fuzz_capi PRIVATE -ffp-contract=off ${NSSR_SANITIZERS} -fsanitize=fuzzer -Wall -Wextra)
target_link_options(fuzz_capi PRIVATE -fsanitize=fuzzer,address,undefined)
target_link_libraries(fuzz_capi PRIVATE nssr_core)
