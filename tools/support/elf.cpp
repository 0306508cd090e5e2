// Reads ELF headers, the dynamic section and the symbol tables, trusting nothing in the file.
#include "tools/support/elf.hpp"

#include <elf.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <set>

namespace lanes::tool {
namespace {

// Limits of what is read, far above what linkers make: clang has 0.3 MB of dynamic symbols, and 40 MB with debug
// symbols.
constexpr std::uint64_t most_headers = 4096;
constexpr std::uint64_t most_dynamic_bytes = 1 << 20;
constexpr std::uint64_t most_table_bytes = std::uint64_t{256} << 20;
constexpr std::size_t most_name = 4096;

class reader {
  public:
    explicit reader(const file_descriptor& file) : file_(file) {
        struct stat status {};
        if (fstat(file.get(), &status) == 0 && status.st_size > 0) size_ = static_cast<std::uint64_t>(status.st_size);
    }

    std::uint64_t size() const { return size_; }

    template <class T>
    bool read(std::uint64_t offset, T& out) const {
        return inside(offset, sizeof(T)) && read_at(file_, &out, sizeof(T), offset) == sizeof(T);
    }

    // As many whole elements as the file holds there, at most `count`.
    template <class T>
    std::vector<T> read_many(std::uint64_t offset, std::uint64_t count) const {
        if (offset >= size_) return {};
        count = std::min(count, (size_ - offset) / sizeof(T));
        std::vector<T> all(count);
        std::size_t bytes = count * sizeof(T);
        std::size_t got = read_at(file_, all.data(), bytes, offset);
        all.resize(got / sizeof(T));
        return all;
    }

  private:
    bool inside(std::uint64_t offset, std::uint64_t bytes) const { return bytes <= size_ && offset <= size_ - bytes; }

    const file_descriptor& file_;
    std::uint64_t size_ = 0;
};

// The string at `offset` of a string table, up to its zero, the table's end or the limit.
std::string_view name_at(const std::vector<char>& table, std::uint64_t offset) {
    if (offset >= table.size()) return {};
    std::size_t most = std::min(table.size() - static_cast<std::size_t>(offset), most_name);
    const char* start = table.data() + offset;
    return {start, strnlen(start, most)};
}

class elf64 {
  public:
    elf64(const reader& in, elf_facts& facts, const std::vector<std::string>& wanted)
        : in_(in), facts_(facts), wanted_(wanted.begin(), wanted.end()) {}

    void read() {
        if (!in_.read(0, header_)) return;
        facts_.type = header_.e_type;
        if (header_.e_phentsize == sizeof(Elf64_Phdr)) {
            segments_ =
                in_.read_many<Elf64_Phdr>(header_.e_phoff, std::min<std::uint64_t>(header_.e_phnum, most_headers));
        }
        for (const Elf64_Phdr& segment : segments_) {
            if (segment.p_type == PT_LOAD) {
                facts_.first_address = segment.p_vaddr & ~std::uint64_t{4095};
                break;
            }
        }
        for (const Elf64_Phdr& segment : segments_) {
            if (segment.p_type == PT_INTERP) {
                auto text = in_.read_many<char>(segment.p_offset, std::min<std::uint64_t>(segment.p_filesz, most_name));
                facts_.interpreter = std::string(name_at(text, 0));
            }
            if (segment.p_type == PT_DYNAMIC) read_dynamic(segment);
        }
        read_static_symbols();
    }

  private:
    // A file offset from an address in memory; past the end of the file when no segment has it.
    std::uint64_t offset_of(std::uint64_t address) const {
        for (const Elf64_Phdr& segment : segments_) {
            if (segment.p_type != PT_LOAD || address < segment.p_vaddr) continue;
            std::uint64_t into = address - segment.p_vaddr;
            if (into < segment.p_filesz && segment.p_offset <= in_.size()) return segment.p_offset + into;
        }
        return in_.size();
    }

    void read_dynamic(const Elf64_Phdr& segment) {
        auto entries = in_.read_many<Elf64_Dyn>(segment.p_offset,
                                                std::min(segment.p_filesz, most_dynamic_bytes) / sizeof(Elf64_Dyn));
        std::uint64_t strings_at = 0, strings_size = 0, symbols_at = 0, gnu_hash_at = 0, hash_at = 0;
        std::uint64_t soname = 0;
        std::vector<std::uint64_t> needed;
        for (const Elf64_Dyn& entry : entries) {
            if (entry.d_tag == DT_NULL) break;
            switch (entry.d_tag) {
                case DT_STRTAB:
                    strings_at = entry.d_un.d_ptr;
                    break;
                case DT_STRSZ:
                    strings_size = entry.d_un.d_val;
                    break;
                case DT_SYMTAB:
                    symbols_at = entry.d_un.d_ptr;
                    break;
                case DT_GNU_HASH:
                    gnu_hash_at = entry.d_un.d_ptr;
                    break;
                case DT_HASH:
                    hash_at = entry.d_un.d_ptr;
                    break;
                case DT_SONAME:
                    soname = entry.d_un.d_val;
                    break;
                case DT_NEEDED:
                    needed.push_back(entry.d_un.d_val);
                    break;
                default:
                    break;
            }
        }
        auto strings = in_.read_many<char>(offset_of(strings_at), std::min(strings_size, most_table_bytes));
        facts_.soname = std::string(name_at(strings, soname));
        for (std::uint64_t name : needed) facts_.needed.emplace_back(name_at(strings, name));

        std::uint64_t count = gnu_hash_at != 0 ? count_by_gnu_hash(offset_of(gnu_hash_at)) : 0;
        if (count == 0 && hash_at != 0) {
            Elf64_Word words[2] = {};
            if (in_.read(offset_of(hash_at), words)) count = words[1];
        }
        note_symbols(
            in_.read_many<Elf64_Sym>(offset_of(symbols_at), std::min(count, most_table_bytes / sizeof(Elf64_Sym))),
            strings, true);
    }

    // The table has no count; its last symbol is the end of the chain that the highest bucket starts.
    std::uint64_t count_by_gnu_hash(std::uint64_t offset) const {
        struct {
            Elf64_Word buckets, first_symbol, bloom_words, bloom_shift;
        } head{};
        if (!in_.read(offset, head)) return 0;
        std::uint64_t buckets_at = offset + sizeof head + std::uint64_t{head.bloom_words} * sizeof(Elf64_Xword);
        auto buckets =
            in_.read_many<Elf64_Word>(buckets_at, std::min<std::uint64_t>(head.buckets, most_table_bytes / 4));
        std::uint64_t last = 0;
        for (Elf64_Word bucket : buckets) last = std::max<std::uint64_t>(last, bucket);
        if (last < head.first_symbol) return head.first_symbol;
        std::uint64_t chains_at = buckets_at + buckets.size() * sizeof(Elf64_Word);
        for (;;) {
            constexpr std::uint64_t at_once = 4096;
            auto hashes =
                in_.read_many<Elf64_Word>(chains_at + (last - head.first_symbol) * sizeof(Elf64_Word), at_once);
            for (Elf64_Word hash : hashes) {
                ++last;
                if ((hash & 1) != 0) return last;
            }
            if (hashes.empty()) return last;
        }
    }

    // A malloc that is linked in but not exported shows up only here, and only in programs that are not stripped.
    void read_static_symbols() {
        if (header_.e_shentsize != sizeof(Elf64_Shdr)) return;
        auto sections =
            in_.read_many<Elf64_Shdr>(header_.e_shoff, std::min<std::uint64_t>(header_.e_shnum, most_headers));
        for (const Elf64_Shdr& section : sections) {
            if (section.sh_type != SHT_SYMTAB || section.sh_link >= sections.size()) continue;
            if (section.sh_size > most_table_bytes) continue;
            const Elf64_Shdr& names = sections[section.sh_link];
            auto strings = in_.read_many<char>(names.sh_offset, std::min(names.sh_size, most_table_bytes));
            note_symbols(in_.read_many<Elf64_Sym>(section.sh_offset, section.sh_size / sizeof(Elf64_Sym)), strings,
                         false);
        }
    }

    void note_symbols(const std::vector<Elf64_Sym>& symbols, const std::vector<char>& strings, bool dynamic) {
        for (const Elf64_Sym& symbol : symbols) {
            unsigned type = ELF64_ST_TYPE(symbol.st_info);
            if (symbol.st_shndx == SHN_UNDEF || type == STT_FILE || type == STT_SECTION) continue;
            auto name = name_at(strings, symbol.st_name);
            if (auto at = wanted_.find(name); at != wanted_.end()) {
                facts_.defined.try_emplace(*at, elf_symbol{symbol.st_value, dynamic});
            }
        }
    }

    const reader& in_;
    elf_facts& facts_;
    std::set<std::string, std::less<>> wanted_;
    Elf64_Ehdr header_{};
    std::vector<Elf64_Phdr> segments_;
};

}  // namespace

bool elf_facts::has_library(std::string_view prefix) const {
    return std::any_of(needed.begin(), needed.end(), [&](const std::string& name) { return name.starts_with(prefix); });
}

std::optional<elf_facts> read_elf(const file_descriptor& file, const std::vector<std::string>& wanted_symbols) {
    reader in(file);
    unsigned char head[20];
    if (!in.read(0, head) || std::memcmp(head, ELFMAG, SELFMAG) != 0) return std::nullopt;
    elf_facts facts;
    facts.is_64_bit = head[EI_CLASS] == ELFCLASS64;
    facts.little_endian = head[EI_DATA] == ELFDATA2LSB;
    facts.machine =
        static_cast<std::uint16_t>(facts.little_endian ? head[18] | head[19] << 8 : head[18] << 8 | head[19]);
    if (facts.is_64_bit && facts.little_endian) elf64(in, facts, wanted_symbols).read();
    return facts;
}

std::string machine_name(const elf_facts& facts) {
    switch (facts.machine) {
        case EM_X86_64:
            return facts.is_64_bit ? "x86-64" : "x32";
        case EM_386:
            return "32-bit x86";
        case EM_AARCH64:
            return "AArch64";
        case EM_ARM:
            return "32-bit ARM";
        case EM_RISCV:
            return "RISC-V";
        case EM_PPC64:
            return "64-bit PowerPC";
        case EM_S390:
            return "s390";
        default:
            return fmt::format("machine {}", facts.machine);
    }
}

}  // namespace lanes::tool
