# One shared library with everything, for programs outside this tree: find_package(inference) or pkg-config.
include(CMakePackageConfigHelpers)

# The objects of these two are the library's own, whether something inside calls them or not.
add_library(inference SHARED $<TARGET_OBJECTS:inference_contract> $<TARGET_OBJECTS:inference_backends>)
add_library(inference::inference ALIAS inference)
set_target_properties(inference PROPERTIES LINKER_LANGUAGE CXX VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
target_link_libraries(inference PRIVATE inference_contract inference_backends)
target_include_directories(inference PUBLIC
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/contract/include>
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/backends/include>
  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_features(inference PUBLIC cxx_std_23)

install(TARGETS inference EXPORT inferenceTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS inference_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY contract/include/ backends/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(EXPORT inferenceTargets NAMESPACE inference:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/inference)
configure_package_config_file(cmake/inferenceConfig.cmake.in inferenceConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/inference)
write_basic_package_version_file(inferenceConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/inferenceConfig.cmake" "${CMAKE_CURRENT_BINARY_DIR}/inferenceConfigVersion.cmake"
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/inference)
configure_file(cmake/inference.pc.in inference.pc @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/inference.pc" DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
