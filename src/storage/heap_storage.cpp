// Storage in the process's own malloc, allocated with operator new.
#include <algorithm>
#include <memory>
#include <new>

#include "lanes/storage.hpp"
#include "storage/sizes.hpp"

namespace lanes {

const char* name_of(storage_type type) noexcept {
    switch (type) {
        case storage_type::process_heap:
            return "heap";
        case storage_type::mapping:
            return "mapping";
        case storage_type::file:
            return "file";
        case storage_type::memfd:
            return "memfd";
        case storage_type::slot:
            return "slot";
    }
    return "unknown";
}

result<heap_storage> heap_storage::try_create(std::uint64_t bytes, const options& o) noexcept {
    if (!is_storage_size(bytes)) return errc::size_out_of_range;
    if (!is_alignment(o.alignment)) return errc::bad_alignment;
    auto alignment = std::align_val_t{std::max<std::uint64_t>(o.alignment, alignof(std::max_align_t))};
    void* at = ::operator new(bytes, alignment, std::nothrow);
    if (at == nullptr) return errc::out_of_memory;
    return heap_storage(static_cast<std::byte*>(at), bytes, alignment);
}

heap_storage& heap_storage::operator=(heap_storage&& other) noexcept {
    if (this != &other) {
        std::destroy_at(this);
        std::construct_at(this, std::move(other));
    }
    return *this;
}

heap_storage::~heap_storage() {
    if (data_ != nullptr) ::operator delete(data_, alignment_);
}

}  // namespace lanes
