# What `cmake --install` puts in place besides the programs and libraries: headers and a package for find_package(oche),
# completions of shells, manual pages.
include(CMakePackageConfigHelpers)

install(DIRECTORY kernels engine nas DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/oche
        FILES_MATCHING PATTERN "*.h" PATTERN cpu EXCLUDE)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/oche)
install(EXPORT oche FILE oche-targets.cmake NAMESPACE oche:: DESTINATION ${package_folder})
configure_package_config_file(cmake/oche-config.cmake.in ${PROJECT_BINARY_DIR}/oche-config.cmake
                              INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/oche-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/oche-config.cmake ${PROJECT_BINARY_DIR}/oche-config-version.cmake
        DESTINATION ${package_folder})

# share/: what the program says of itself, anew whenever it was built.
if(NOT CMAKE_CROSSCOMPILING)
  set(share ${PROJECT_BINARY_DIR}/share)
  add_custom_command(OUTPUT ${share}/stamp
    COMMAND ${CMAKE_COMMAND} -D OCHE=$<TARGET_FILE:oche> -D HELP2MAN=${HELP2MAN} -D VERSION=${PROJECT_VERSION}
            -D SHARE=${share} -P ${PROJECT_SOURCE_DIR}/cmake/share.cmake
    DEPENDS oche ${PROJECT_SOURCE_DIR}/cmake/share.cmake
    COMMENT "Writing completions and manual pages" VERBATIM)
  add_custom_target(share ALL DEPENDS ${share}/stamp)
  install(DIRECTORY ${share}/ DESTINATION ${CMAKE_INSTALL_DATADIR} PATTERN stamp EXCLUDE)
endif()
