# What `make install` puts where: the command, both libraries, the header, machine files, and what pkg-config and
# CMake need to find them.
include(CMakePackageConfigHelpers)

if(TARGET tern-command)
  install(TARGETS tern-command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(TARGETS tern ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS tern-shared EXPORT TernTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES include/tern.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY machines DESTINATION ${CMAKE_INSTALL_DATADIR}/tern FILES_MATCHING PATTERN "*.yaml")

set(TERN_PACKAGE ${CMAKE_INSTALL_LIBDIR}/cmake/Tern)
install(EXPORT TernTargets NAMESPACE Tern:: FILE TernConfig.cmake DESTINATION ${TERN_PACKAGE})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/TernConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/TernConfigVersion.cmake DESTINATION ${TERN_PACKAGE})

# tern.pc finds itself by ${pcfiledir}, so that an installation can be moved.
file(RELATIVE_PATH TERN_PREFIX_FROM_PC /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
list(JOIN TERN_ON " " TERN_REQUIRES)
configure_file(cmake/tern.pc.in tern.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/tern.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
