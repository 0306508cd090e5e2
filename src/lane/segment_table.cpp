// The memory of a stable_array's large segments.
#include "lanes/detail/segment_table.hpp"

#include "os/files.hpp"
#include "os/os.hpp"

namespace lanes::detail {

void* map_segment(std::size_t bytes) noexcept {
    void* at = nullptr;
    return os::map_zero(bytes, at) == 0 ? at : nullptr;
}

void unmap_segment(void* at, std::size_t bytes) noexcept { os::unmap_mapped(at, bytes); }

void purge_segment(void* at, std::size_t bytes) noexcept { os::purge(at, bytes); }

}  // namespace lanes::detail
