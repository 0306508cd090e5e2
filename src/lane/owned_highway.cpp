// The thread-owned highway's object and its scopes, off their short paths.
#include "lanes/owned_highway.hpp"

#include <new>
#include <sstream>

#include "lane/owned_highway_core.hpp"
#include "lanes/frame.hpp"

namespace lanes {

result<owned_highway> owned_highway::try_create(const owned_highway_options& options) noexcept {
    if (errc e = detail::owned_highway_core::check(options); e != errc{}) return e;
    auto* core = new (std::nothrow) detail::owned_highway_core(options);
    if (core == nullptr) return errc::out_of_memory;
    return owned_highway(core);
}

owned_highway& owned_highway::operator=(owned_highway&& other) noexcept {
    if (this != &other) {
        delete core_;
        core_ = std::exchange(other.core_, nullptr);
    }
    return *this;
}

owned_highway::~owned_highway() { delete core_; }

result<void*> owned_highway::allocate_slowly(std::uint64_t bytes, std::uint64_t alignment) noexcept {
    if (core_ == nullptr) return errc::not_initialised;
    return core_->allocate(bytes, alignment);
}

std::size_t owned_highway::lane_count() const noexcept { return core_ != nullptr ? core_->lane_count() : 0; }
std::uint64_t owned_highway::total_live() const noexcept { return core_ != nullptr ? core_->live() : 0; }
std::uint64_t owned_highway::bytes_held() const noexcept { return core_ != nullptr ? core_->bytes_held() : 0; }

const owned_highway_options& owned_highway::options() const noexcept {
    static const owned_highway_options defaults;
    return core_ != nullptr ? core_->options() : defaults;
}

result<std::uint64_t> owned_highway::try_trim() noexcept {
    if (core_ == nullptr) return errc::not_initialised;
    if (!core_->owned_by_caller()) return errc::not_the_owner;
    return core_->trim();
}

void owned_highway::adopt() noexcept {
    if (core_ != nullptr) core_->adopt();
}

std::string owned_highway::trace() const {
    if (core_ == nullptr) return "empty highway";
    std::ostringstream out;
    out << "thread-owned highway: " << lane_count() << " lanes of " << options().lane_bytes << " bytes in use, "
        << total_live() << " live, " << bytes_held() << " bytes held, " << core_->frames_open() << " frames open";
    return out.str();
}

detail::scratch_beginning detail::begin_scope_elsewhere(scratch_place& place) noexcept {
    return place.core->begin_scope_elsewhere(place);
}

result<void*> detail::bump_elsewhere(scratch_place& place, std::uintptr_t top, std::uint64_t bytes,
                                     std::uint64_t alignment) noexcept {
    return place.cursor == top ? place.core->allocate_scratch(place, bytes, alignment) : errc::not_innermost;
}

void detail::leave_scratch_lanes(scratch_place& place, std::uintptr_t cursor, std::uintptr_t end) noexcept {
    place.core->leave_scratch_lanes(place, cursor, end);
}

void* frame::do_allocate_slowly(std::size_t bytes, std::size_t alignment) {
    result<void*> got = place_.bump_slowly(top_, bytes, alignment);
    if (!got) throw_bad_alloc(got.error());
    return *got;
}

}  // namespace lanes
