# What `make install` puts where: the command, both libraries, the header, machine files, and what pkg-config and
# CMake need to find them.
include(CMakePackageConfigHelpers)

if(TARGET tern-command)
  install(TARGETS tern-command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  # The manual page and completion are made by the command from its own tables.
  foreach(made "man:tern.1:${CMAKE_INSTALL_MANDIR}/man1"
               "completion bash:tern:${CMAKE_INSTALL_DATADIR}/bash-completion/completions"
               "completion zsh:_tern:${CMAKE_INSTALL_DATADIR}/zsh/site-functions"
               "completion fish:tern.fish:${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d")
    string(REPLACE ":" ";" made ${made})
    list(GET made 0 what)
    list(GET made 1 file)
    list(GET made 2 folder)
    separate_arguments(what)
    set(file ${CMAKE_BINARY_DIR}/generated/${file})
    add_custom_command(OUTPUT ${file} COMMAND tern-command list ${what} --out ${file} DEPENDS tern-command VERBATIM)
    list(APPEND TERN_GENERATED ${file})
    install(FILES ${file} DESTINATION ${folder})
  endforeach()
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/generated)
  add_custom_target(tern-generated ALL DEPENDS ${TERN_GENERATED})
endif()
install(TARGETS tern ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS tern-shared EXPORT TernTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES include/tern.h include/tern_functions.h include/tern_fixed.h include/tern_trained.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY machines DESTINATION ${CMAKE_INSTALL_DATADIR}/tern FILES_MATCHING PATTERN "*.yaml")

set(TERN_PACKAGE ${CMAKE_INSTALL_LIBDIR}/cmake/Tern)
install(EXPORT TernTargets NAMESPACE Tern:: FILE TernConfig.cmake DESTINATION ${TERN_PACKAGE})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/TernConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/TernConfigVersion.cmake DESTINATION ${TERN_PACKAGE})

# tern.pc finds itself by ${pcfiledir}, so that an installation can be moved.
file(RELATIVE_PATH TERN_PREFIX_FROM_PC /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
# Of libmicrohttpd only the library itself: what it needs for TLS, which is not used, has no static libraries in Debian.
set(TERN_REQUIRED ${TERN_ON})
if(libmicrohttpd IN_LIST TERN_REQUIRED)
  list(REMOVE_ITEM TERN_REQUIRED libmicrohttpd)
  set(TERN_LIBRARIES_PRIVATE -lmicrohttpd)
endif()
list(JOIN TERN_REQUIRED " " TERN_REQUIRES)
configure_file(cmake/tern.pc.in tern.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/tern.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
