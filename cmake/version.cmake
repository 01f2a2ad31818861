# Writes HEADER from version.h.in: VERSION, COMPILER and BUILD_TYPE as given, REVISION from git in SOURCE.
# configure_file leaves an unchanged header untouched, so that nothing is rebuilt for it.
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=12 --exclude=*
                OUTPUT_VARIABLE REVISION OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(REVISION "unknown")
endif()
configure_file(${CMAKE_CURRENT_LIST_DIR}/version.h.in ${HEADER} @ONLY)
