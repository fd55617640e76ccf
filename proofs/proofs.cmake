# One program a proof, built on demand: cmake --build build --target proof-1.4
file(GLOB TERN_PROOFS CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/[0-9]*.c)
foreach(source ${TERN_PROOFS})
  get_filename_component(name ${source} NAME)
  string(REGEX REPLACE "-.*" "" row ${name})
  add_executable(proof-${row} EXCLUDE_FROM_ALL ${source})
  set_target_properties(proof-${row} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/proofs)
  target_include_directories(proof-${row} PRIVATE src proofs)
  target_compile_options(proof-${row} PRIVATE ${TERN_WARNINGS})
  target_compile_definitions(proof-${row} PRIVATE TERN_GOLDEN="${CMAKE_SOURCE_DIR}/tests/golden"
                             PROOF_TERN="${CMAKE_BINARY_DIR}/tern")
  target_link_libraries(proof-${row} PRIVATE tern)
endforeach()
