find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

# Warnings are for our own sources only and never reach a consumer of the installed package.
add_library(inference_warnings INTERFACE)
# g++ 12 sees overlapping copies in its own std::string (gcc.gnu.org/PR105651).
target_compile_options(inference_warnings INTERFACE
  $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict>)
target_compile_options(inference_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor
  $<$<BOOL:${INFERENCE_WERROR}>:-Werror>)

# inference_add_room(NAME SOURCES ... [PUBLIC libs...] [PRIVATE libs...])
# A static library `inference_NAME`. Its headers are included as "room/file.h" from the source root.
function(inference_add_room name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(inference_${name} STATIC ${ARG_SOURCES})
  target_include_directories(inference_${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
  target_link_libraries(inference_${name} PUBLIC ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE} $<BUILD_INTERFACE:inference_warnings>)
endfunction()

# For what is not hot, and reads flags, prints or tests: the rooms it calls stay as they are. A third
# quicker to build in Release; half the time with sanitizers.
function(inference_build_quickly target)
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1> $<$<CONFIG:Debug>:-O0>)
endfunction()

# inference_add_test(NAME SOURCES ... LIBS ... [LABELS ...] [TIMEOUT seconds])
# One gtest executable, one ctest entry per executable. Label `slow` what loads a real model.
function(inference_add_test name)
  if(NOT INFERENCE_BUILD_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LIBS;LABELS" ${ARGN})
  find_package(GTest REQUIRED)
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} inference_contract inference_warnings GTest::gtest_main)
  inference_build_quickly(${name})
  target_compile_definitions(${name} PRIVATE
    INFERENCE_TEST_DATA="${PROJECT_SOURCE_DIR}/tests/data"
    INFERENCE_TEST_CACHE="${INFERENCE_TEST_CACHE}"
    INFERENCE_BINARY_DIR="${CMAKE_BINARY_DIR}")
  add_test(NAME ${name} COMMAND ${name})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
  # The target quick_tests: everything but what is labelled slow.
  if(NOT "slow" IN_LIST ARG_LABELS)
    if(NOT TARGET quick_tests)
      add_custom_target(quick_tests)
    endif()
    add_dependencies(quick_tests ${name})
  endif()
endfunction()

# inference_add_fuzzer(NAME SOURCES ... LIBS ... [CORPUS dir])
# One libFuzzer target; scripts/fuzz runs each over its kept corpus.
function(inference_add_fuzzer name)
  if(NOT INFERENCE_BUILD_FUZZERS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  if(NOT TARGET fuzzers)
    add_custom_target(fuzzers)
  endif()
  add_dependencies(fuzzers ${name})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/fuzz")
endfunction()
