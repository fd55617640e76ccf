# The fast loops: each file of isa/ is compiled once per instruction set of this processor family.
file(GLOB TERN_KERNEL_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.c)
file(GLOB TERN_ISA_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/isa/*.c)
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
foreach(isa ${TERN_ISAS})
  add_library(tern_isa_${isa} OBJECT ${TERN_ISA_SOURCES})
  target_include_directories(tern_isa_${isa} PRIVATE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
  target_compile_definitions(tern_isa_${isa} PRIVATE TERN_ISA=${isa})
  target_compile_options(tern_isa_${isa} PRIVATE ${TERN_WARNINGS} -O3 -ffp-contract=fast
                         ${TERN_ISA_FLAGS_${isa}})
  target_sources(tern PRIVATE $<TARGET_OBJECTS:tern_isa_${isa}>)
endforeach()
