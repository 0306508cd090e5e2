// Where liblanes_malloc.so is, and how it gets into LD_PRELOAD.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lanes::tool {

// The absolute path of the library. Looks in $LANES_LIB, beside this command (installed, then in the build folder), in
// the configured library folder. Throws failure(run_failed) that lists the places when it is in none.
std::string find_library();

// The entries of an LD_PRELOAD value, which blanks and colons separate.
std::vector<std::string> split_preload(std::string_view value);

// The value with `library` in front and all that was there kept behind it, in its order. Throws failure(run_failed)
// when the path has a blank or a colon, which the dynamic loader has no way to quote.
std::string prepend_preload(const std::string& library, std::string_view old);

}  // namespace lanes::tool
