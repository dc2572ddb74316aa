# The package for other projects: find_package(nssr CONFIG REQUIRED), then link nssr::nssr.
include(CMakePackageConfigHelpers)

set(NSSR_PACKAGE "${CMAKE_INSTALL_LIBDIR}/cmake/nssr")
install(TARGETS nssr_core EXPORT nssr-targets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(FILES csrc/include/nssr/nssr.h csrc/include/nssr/nssr.hpp csrc/include/nssr/opcodes.def
  DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/nssr")
install(EXPORT nssr-targets NAMESPACE nssr:: DESTINATION "${NSSR_PACKAGE}")
configure_package_config_file(csrc/cmake/nssr-config.cmake.in "${CMAKE_CURRENT_BINARY_DIR}/nssr-config.cmake"
  INSTALL_DESTINATION "${NSSR_PACKAGE}")
# Before 1.0 a minor version may break.
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/nssr-config-version.cmake"
  VERSION "${NSSR_VERSION}" COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/nssr-config.cmake" "${CMAKE_CURRENT_BINARY_DIR}/nssr-config-version.cmake"
  DESTINATION "${NSSR_PACKAGE}")
