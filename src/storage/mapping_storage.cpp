// Storage in anonymous memory of the system.
#include <algorithm>
#include <memory>

#include "lanes/storage.hpp"
#include "os/files.hpp"
#include "os/os.hpp"
#include "storage/sizes.hpp"
#include "storage/system_errors.hpp"

namespace lanes {
namespace {

constexpr std::uint64_t huge_page = std::uint64_t{2} << 20;

grant ask_for_huge_pages(void* at, std::uint64_t bytes) {
    // A piece shorter than a huge page can never be one.
    bool granted = bytes >= huge_page && os::huge_pages_possible() && os::advise_huge(at, bytes, true);
    return granted ? grant::granted : grant::refused;
}

// A mapping that starts at a multiple of `alignment`: maps more than needed and unmaps the rest.
int map_aligned(std::uint64_t bytes, std::uint64_t alignment, std::byte*& data) {
    std::uint64_t spare = alignment - os::page_bytes();
    void* at = nullptr;
    if (int e = os::map_zero(bytes + spare, at); e != 0) return e;
    auto start = static_cast<std::byte*>(at);
    std::uint64_t before = -reinterpret_cast<std::uintptr_t>(start) & (alignment - 1);
    data = start + before;
    if (before > 0) os::unmap_mapped(start, before);
    if (before < spare) os::unmap_mapped(data + bytes, spare - before);
    return 0;
}

}  // namespace

result<mapping_storage> mapping_storage::try_create(std::uint64_t bytes, const options& o) noexcept {
    if (!is_storage_size(bytes)) return errc::size_out_of_range;
    if (o.alignment != 0 && !is_alignment(o.alignment)) return errc::bad_alignment;
    if (o.numa_node && *o.numa_node < 0) return errc::bad_option;

    mapping_storage s;
    s.size_ = os::whole_pages(bytes);
    std::uint64_t alignment = std::max<std::uint64_t>(os::page_bytes(), o.huge_pages ? huge_page : 1);
    if (int e = map_aligned(s.size_, std::max(alignment, o.alignment), s.data_); e != 0) return refused(e);
    if (o.numa_node) {
        s.numa_ = os::prefer_node(s.data_, s.size_, *o.numa_node) == 0 ? grant::granted : grant::refused;
    }
    if (o.huge_pages) s.huge_pages_ = ask_for_huge_pages(s.data_, s.size_);
    return s;
}

mapping_storage::mapping_storage(mapping_storage&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      huge_pages_(other.huge_pages_),
      numa_(other.numa_) {}

mapping_storage& mapping_storage::operator=(mapping_storage&& other) noexcept {
    if (this != &other) {
        std::destroy_at(this);
        std::construct_at(this, std::move(other));
    }
    return *this;
}

mapping_storage::~mapping_storage() {
    if (data_ != nullptr) os::unmap_mapped(data_, size_);
}

std::uint64_t mapping_storage::purge(std::uint64_t from, std::uint64_t bytes) const noexcept {
    if (from >= size_) return 0;
    std::uint64_t first = os::whole_pages(from);
    std::uint64_t end = (from + std::min(bytes, size_ - from)) & ~(os::page_bytes() - 1);
    return first < end && os::purge(data_ + first, end - first) ? end - first : 0;
}

}  // namespace lanes
