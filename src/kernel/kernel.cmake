# The fast loops: each file of isa/ is compiled once per instruction set of this processor family.
file(GLOB TERN_KERNEL_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.c)
file(GLOB TERN_ISA_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/isa/*.c)
list(FILTER TERN_ISA_SOURCES EXCLUDE REGEX "/(|attend_|many_|peak_)tiles.c$")
target_sources(tern PRIVATE ${TERN_KERNEL_SOURCES})

set(TERN_ISA_FLAGS_scalar "")
set(TERN_ISA_FLAGS_avx2 -mavx2 -mfma -mf16c -mbmi -mbmi2 -mlzcnt -mpopcnt)
set(TERN_ISA_FLAGS_avx512 ${TERN_ISA_FLAGS_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni
    -mavx512vpopcntdq -mavx512vbmi2 -mprefer-vector-width=512)
set(TERN_ISAS scalar)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND TERN_ISAS avx2 avx512)
  target_compile_definitions(tern PRIVATE TERN_X86=1)
endif()
function(tern_add_isa name isa) # and its sources
  add_library(tern_isa_${name} OBJECT ${ARGN})
  target_include_directories(tern_isa_${name} PRIVATE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
  target_compile_definitions(tern_isa_${name} PRIVATE TERN_ISA=${isa})
  target_compile_options(tern_isa_${name} PRIVATE ${TERN_WARNINGS} -O3 -ffp-contract=fast ${TERN_ISA_FLAGS_${isa}})
  if(TERN_FUZZ) # fuzzers try readers; clang takes minutes to check each access of the unrolled kernels, tests check them with gcc
    target_compile_options(tern_isa_${name} PRIVATE -fno-sanitize=all)
  endif()
  target_sources(tern PRIVATE $<TARGET_OBJECTS:tern_isa_${name}>)
endfunction()
foreach(isa ${TERN_ISAS})
  tern_add_isa(${isa} ${isa} ${TERN_ISA_SOURCES})
endforeach()

# Tiles of AMX: the loops of avx512, and products with packed weights in place of theirs.
include(CheckCCompilerFlag)
set(TERN_AMX_FLAGS -mamx-tile -mamx-int8 -mamx-bf16 -mavx512bf16)
check_c_compiler_flag("${TERN_AMX_FLAGS}" TERN_KNOWS_AMX)
if(TERN_KNOWS_AMX AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  tern_add_isa(amx avx512 ${CMAKE_CURRENT_LIST_DIR}/isa/table.c ${CMAKE_CURRENT_LIST_DIR}/isa/tiles.c ${CMAKE_CURRENT_LIST_DIR}/isa/many_tiles.c
              ${CMAKE_CURRENT_LIST_DIR}/isa/attend_tiles.c ${CMAKE_CURRENT_LIST_DIR}/isa/peak_tiles.c)
  target_compile_definitions(tern_isa_amx PRIVATE TERN_AMX=1)
  target_compile_options(tern_isa_amx PRIVATE ${TERN_AMX_FLAGS})
  target_compile_definitions(tern PRIVATE TERN_AMX=1)
  list(APPEND TERN_ISAS amx)
endif()
