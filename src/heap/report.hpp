// Reports of bad frees and damaged lists: one line on stderr, then what LANES_ON_ERROR asks for.
#pragma once

#include <cstddef>
#include <cstdint>

#include "heap/records.hpp"

namespace lanes::heap {

enum class error { double_free, invalid_free, foreign_free, damaged_link, size_mismatch };
enum class error_action : std::uint8_t { abort, warn, ignore };

// Set once, at the start.
extern constinit error_action on_error;

// Prints the line, then does what on_error says. The record may be null where there is none.
void report(error, const void* object, const slice_record*, std::size_t claimed_bytes = 0);

}  // namespace lanes::heap
