// A reader of ELF files that answers what decides whether a preloaded malloc takes effect.
//
// The files may be hostile: every offset and count is checked against the size of the file before it is used, and no
// more than a fixed amount of a file is ever held in memory.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/support/file.hpp"

namespace lanes::tool {

struct elf_symbol {
    std::uint64_t value = 0;
    bool dynamic = false;  // visible to the dynamic loader; otherwise from the static symbol table
};

struct elf_facts {
    bool is_64_bit = false;
    bool little_endian = false;
    std::uint16_t machine = 0;  // EM_...
    // All below are read from 64-bit little-endian files only, the only ones the library exists for.
    std::uint16_t type = 0;                  // ET_...
    std::uint64_t first_address = 0;         // page-aligned address of the first loaded segment
    std::optional<std::string> interpreter;  // PT_INTERP; none in a static program
    std::string soname;
    std::vector<std::string> needed;
    std::map<std::string, elf_symbol, std::less<>> defined;  // those of the wanted symbols that the file defines

    bool has_library(std::string_view prefix) const;  // a needed library whose name starts so
};

// Nothing when the file is no ELF file at all. A damaged one gives the facts that could be read.
std::optional<elf_facts> read_elf(const file_descriptor& file, const std::vector<std::string>& wanted_symbols);

// "x86-64", "AArch64", or "machine 243".
std::string machine_name(const elf_facts& facts);

}  // namespace lanes::tool
