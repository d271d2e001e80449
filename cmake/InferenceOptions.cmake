# Options and global compile settings. Nothing here is specific to one machine.
include(CTest)
include(GNUInstallDirs)

option(INFERENCE_BUILD_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(INFERENCE_BUILD_BENCH "Build the micro-benchmarks" OFF)
option(INFERENCE_BUILD_FUZZERS "Build the libFuzzer targets (clang only)" OFF)
option(INFERENCE_WERROR "Treat warnings as errors (for the project's own developers)" OFF)
set(INFERENCE_SANITIZE "" CACHE STRING "Sanitizers, e.g. address,undefined or thread")
set(INFERENCE_TEST_CACHE "$ENV{HOME}/.cache/inference" CACHE PATH "Where scripts/setup puts fetched test models")

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

find_program(INFERENCE_CCACHE ccache)
if(INFERENCE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${INFERENCE_CCACHE}")
endif()

if(INFERENCE_SANITIZE)
  add_compile_options(-fsanitize=${INFERENCE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${INFERENCE_SANITIZE})
endif()
if(INFERENCE_BUILD_FUZZERS)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "INFERENCE_BUILD_FUZZERS needs clang (libFuzzer); use the preset 'asan'")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# The same sum everywhere: the compiler may not fuse a multiply and an add on its own, since that
# would let the optimisation level or the compiler decide the last bit. Kernels fuse by name.
add_compile_options(-ffp-contract=off)
