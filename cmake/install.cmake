# Installation: headers, libraries, program, and what CMake and pkg-config need to find them.
include(CMakePackageConfigHelpers)

install(TARGETS asgd_shared asgd_static EXPORT asgdTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/asgd DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
if(TARGET asgd)
  install(TARGETS asgd DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(PROGRAMS scripts/asgd-mpirun DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
if(EXISTS ${PROJECT_SOURCE_DIR}/man/asgd.1)
  install(FILES man/asgd.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()
if(EXISTS ${PROJECT_SOURCE_DIR}/completions/asgd.bash)
  install(FILES completions/asgd.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
    RENAME asgd)
  install(FILES completions/_asgd DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
endif()

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/asgd)
install(EXPORT asgdTargets NAMESPACE asgd:: DESTINATION ${package_folder})
configure_package_config_file(cmake/asgdConfig.cmake.in ${PROJECT_BINARY_DIR}/asgdConfig.cmake
  INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/asgdConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/asgdConfig.cmake ${PROJECT_BINARY_DIR}/asgdConfigVersion.cmake
  DESTINATION ${package_folder})

list(TRANSFORM ASGD_LIBRARY_NAMES PREPEND "-l" OUTPUT_VARIABLE pc_private)
list(JOIN pc_private " " pc_private)
# Relative to asgd.pc itself, so that the installed tree may be moved.
file(RELATIVE_PATH pc_prefix /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(cmake/asgd.pc.in ${PROJECT_BINARY_DIR}/asgd.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/asgd.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
