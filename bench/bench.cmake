# Benchmarks against peers, built on demand: cmake --build build --target bench-kernels
find_library(TERN_OPENBLAS openblas)
if(TERN_OPENBLAS)
  add_executable(bench-kernels EXCLUDE_FROM_ALL bench/kernels.c)
  target_include_directories(bench-kernels PRIVATE src)
  target_compile_options(bench-kernels PRIVATE ${TERN_WARNINGS})
  target_link_libraries(bench-kernels PRIVATE tern ${TERN_OPENBLAS})
endif()

add_executable(bench-snn EXCLUDE_FROM_ALL bench/snn.c)
target_include_directories(bench-snn PRIVATE src)
target_compile_options(bench-snn PRIVATE ${TERN_WARNINGS})
target_link_libraries(bench-snn PRIVATE tern)

add_executable(bench-cost EXCLUDE_FROM_ALL bench/cost.c)
target_include_directories(bench-cost PRIVATE src)
target_compile_options(bench-cost PRIVATE ${TERN_WARNINGS})
target_link_libraries(bench-cost PRIVATE tern)

add_executable(bench-llm EXCLUDE_FROM_ALL bench/llm.c)
target_include_directories(bench-llm PRIVATE src)
target_compile_options(bench-llm PRIVATE ${TERN_WARNINGS})
target_link_libraries(bench-llm PRIVATE tern)
