// Slots: fragments without a lane, each a block of the process heap with its core in front.
#include <new>

#include "lanes/fragment.hpp"

namespace lanes {
namespace {

// The core of a block with exactly one fragment; nothing else refers to either, so no count is needed.
class slot_core final : public detail::lane_core {
  public:
    static result<fragment> make(std::uint64_t bytes, std::uint64_t alignment) noexcept {
        if (errc e = detail::check_request(bytes, alignment, max_bytes); e != errc{}) return e;
        std::uint64_t align = alignment > detail::granule ? alignment : detail::granule;
        std::uint64_t front = (sizeof(slot_core) + align - 1) & ~(align - 1);
        // Most heaps are slower with aligned requests.
        void* block = align <= __STDCPP_DEFAULT_NEW_ALIGNMENT__
                          ? ::operator new(front + bytes, std::nothrow)
                          : ::operator new(front + bytes, static_cast<std::align_val_t>(align), std::nothrow);
        if (block == nullptr) return errc::out_of_memory;
        auto* core = new (block) slot_core(align);
        return fragment(fragment::parts{static_cast<std::byte*>(block) + front, bytes, core, 0});
    }

    errc release(detail::fragment_stamp) noexcept override {
        std::uint64_t align = align_;
        this->~slot_core();
        if (align <= __STDCPP_DEFAULT_NEW_ALIGNMENT__) {
            ::operator delete(this);
        } else {
            ::operator delete(this, static_cast<std::align_val_t>(align));
        }
        return errc{};
    }
    storage_type type() const noexcept override { return storage_type::slot; }

  private:
    static constexpr std::uint64_t max_bytes = std::uint64_t{1} << 46;  // as a lane's capacity

    explicit slot_core(std::uint64_t align) noexcept : align_(align) { usable_with(0); }
    ~slot_core() override = default;
    errc why_no_access(detail::fragment_stamp) const noexcept override { return errc{}; }
    void storage_unused() noexcept override {}

    const std::uint64_t align_;
};

}  // namespace

result<slot> slot::try_make(std::uint64_t bytes, std::uint64_t alignment) noexcept {
    result<fragment> made = slot_core::make(bytes, alignment);
    if (!made) return made.error();
    return slot(*std::move(made));
}

result<slot> slot::try_over(std::span<std::byte> buffer, std::uint64_t from, std::uint64_t bytes) noexcept {
    if (bytes == 0) return errc::size_out_of_range;
    if (from > buffer.size() || bytes > buffer.size() - from) return errc::out_of_bounds;
    return slot(buffer.subspan(from, bytes));
}

}  // namespace lanes
