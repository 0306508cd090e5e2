// The names by which other allocators and sanitizers are recognised.
#pragma once

#include <string_view>
#include <vector>

namespace lanes::tool {

// "jemalloc" for ".../libjemalloc.so.2"; "lanes" for our own interposer; empty when the file is no allocator we know.
std::string_view allocator_of(std::string_view path);

// "AddressSanitizer" for ".../libasan.so.8"; empty when the file is no sanitizer that brings its own malloc.
std::string_view sanitizer_of(std::string_view path);

// Symbols whose definition means that a sanitizer is linked into the program itself.
struct sanitizer_symbol {
    const char* symbol;
    const char* sanitizer;
};
const std::vector<sanitizer_symbol>& sanitizer_symbols();

std::string_view base_name(std::string_view path);

}  // namespace lanes::tool
