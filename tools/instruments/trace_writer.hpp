// Turns what liblanes_trace.so has left into a trace: one order, blocks with slots instead of addresses.
#pragma once

#include <cstdint>
#include <string>

#include "tools/instruments/trace_format.hpp"

namespace lanes::trace {

inline constexpr int histogram_steps = 48;  // calls that ask for at most 2^i bytes, and for more than 2^(i-1)

struct recording {
    std::string program;  // its file
    unsigned pid = 0;
    header facts{};  // of the trace that was written
    std::uint64_t raw_bytes = 0;
    bool cut_by_limit = false;
    int cut_errno = 0;                // the recording stopped because of this error; 0: it did not
    std::uint64_t lost = 0;           // calls of signal handlers that interrupted the recorder
    std::uint64_t failed = 0;         // calls that got no memory
    std::uint64_t foreign_frees = 0;  // of blocks whose allocation was not seen; not in the trace
    std::uint64_t missed_frees = 0;   // blocks whose free was not seen; put in where their address came again
    std::string operator_new;         // the library whose operator new kept its calls to itself, or empty
    std::uint64_t sizes[histogram_steps] = {};
};

// Writes `trace_path`. Throws std::runtime_error when a file cannot be read or written, or holds no calls.
recording write_trace(const std::string& raw_path, const std::string& trace_path);

}  // namespace lanes::trace
