// What is known of a terminal.
#pragma once

#include <cstddef>
#include <optional>

namespace oche::tools {

// True iff a stream with this descriptor is a terminal that understands control codes.
bool is_capable_terminal(int descriptor);

// Columns of the terminal behind the descriptor, else those of COLUMNS; nullopt: unknown, as in a
// pipe.
std::optional<size_t> terminal_columns(int descriptor);

}  // namespace oche::tools
