# Weights and alphas must not be mixed up: compile/mixing.cpp compiles as it is, and with each MIX does not, for want of a
# conversion: cmake -D CXX=<compiler> -D INCLUDES=<folders> -P mixing.cmake
cmake_minimum_required(VERSION 3.25)

list(TRANSFORM INCLUDES PREPEND -I)
foreach(mix RANGE 0 3)
  execute_process(
    COMMAND ${CXX} -std=c++20 -fsyntax-only ${INCLUDES} -D MIX=${mix} ${CMAKE_CURRENT_LIST_DIR}/compile/mixing.cpp
    RESULT_VARIABLE failed ERROR_VARIABLE output)
  if(mix EQUAL 0 AND failed)
    message(FATAL_ERROR "mixing: the sound part of mixing.cpp does not compile:\n${output}")
  elseif(mix GREATER 0 AND NOT output MATCHES "no matching|no viable|could not convert|cannot convert|no known conversion")
    message(FATAL_ERROR "mixing: MIX=${mix} was not refused for want of a conversion:\n${output}")
  endif()
endforeach()
