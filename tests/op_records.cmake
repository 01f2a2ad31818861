# Fails when an Op under engine/ has no row in the table of op cases: cmake -D ROOT=<project> -P op_records.cmake
# The names are the literals of name() in engine/ops/*.cpp and of `.op =` and the helpers' first argument in
# tests/support/op_cases*.cpp.
cmake_minimum_required(VERSION 3.25)

file(GLOB_RECURSE sources ${ROOT}/engine/*.cpp)
file(GLOB tables ${ROOT}/tests/support/op_cases*.cpp)
set(rows "")
foreach(table IN LISTS tables)
  file(READ ${table} text)
  string(APPEND rows "${text}")
endforeach()

set(ops_seen 0)
set(missing "")
foreach(source IN LISTS sources)
  file(READ ${source} text)
  string(REGEX REPLACE "[][]" "" text "${text}")  # a bracket would glue list elements together
  string(REGEX MATCHALL "name\\(\\) const override {[^;]*" bodies "${text}")  # up to the return or the table of names
  foreach(body IN LISTS bodies)
    string(REGEX MATCHALL "\"[a-z0-9_]+\"" names "${body}")
    foreach(name IN LISTS names)
      math(EXPR ops_seen "${ops_seen} + 1")
      string(REGEX MATCH "(\\.op = |unary\\(|binary\\(|scalar\\()[ \n]*${name}" row "${rows}")
      if(NOT row)
        file(RELATIVE_PATH file ${ROOT} ${source})
        list(APPEND missing "${file}: ${name}")
      endif()
    endforeach()
  endforeach()
endforeach()

if(ops_seen EQUAL 0)
  message(FATAL_ERROR "op_records: no op under '${ROOT}/engine'")
elseif(missing)
  list(JOIN missing "\n  " missing)
  message(FATAL_ERROR "op_records: no row in tests/support/op_cases*.cpp for\n  ${missing}")
endif()
message(STATUS "op_records: ${ops_seen} ops, each with a row")
