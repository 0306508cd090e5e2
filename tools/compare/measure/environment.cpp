// The environment of measured commands.
#include "tools/compare/measure/environment.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

namespace lanes::compare {
namespace {

constexpr std::string_view steering[] = {
    "LD_PRELOAD=", "MALLOC_",   "MIMALLOC_", "LANES_",    "GLIBC_TUNABLES=",
    "TCMALLOC_",   "RPMALLOC_", "SNMALLOC_", "HEAPCHECK", "HEAPPROF",
};

bool steers_an_allocator(std::string_view variable) {
    return std::any_of(std::begin(steering), std::end(steering),
                       [&](std::string_view prefix) { return variable.starts_with(prefix); });
}

}  // namespace

std::vector<std::string> measured_environment(const std::map<std::string, std::string>& changes) {
    std::vector<std::string> variables;
    for (char** variable = environ; *variable != nullptr; ++variable) {
        std::string_view text = *variable;
        if (!steers_an_allocator(text) && !changes.contains(std::string(text.substr(0, text.find('='))))) {
            variables.emplace_back(text);
        }
    }
    for (const auto& [name, value] : changes) variables.push_back(fmt::format("{}={}", name, value));
    return variables;
}

std::vector<std::string> left_out_variables() {
    std::vector<std::string> names;
    for (char** variable = environ; *variable != nullptr; ++variable) {
        std::string_view text = *variable;
        if (steers_an_allocator(text)) names.emplace_back(text.substr(0, text.find('=')));
    }
    return names;
}

}  // namespace lanes::compare
