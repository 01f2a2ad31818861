// Catch2, version 2 (Debian 12) or 3. What differs between the two is settled here.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)

#include <catch2/catch_all.hpp>

using Catch::Approx;

#else

#include <catch2/catch.hpp>

// Catch2 3 has SKIP: it leaves the test case and says why. Here it works in the body of the test
// case itself, not in a function that the body calls, and counts as passed.
#define SKIP(...)                     \
  do {                                \
    WARN("skipped: " << __VA_ARGS__); \
    return;                           \
  } while (false)

#endif
