// The slow paths of the thread-owned lane object.
#include "lanes/owned_lane.hpp"

#include <new>

#include "lane/trace.hpp"

namespace lanes {

owned_lane& owned_lane::operator=(owned_lane&& other) noexcept {
    if (this != &other) {
        owned_lane old(std::move(*this));
        core_ = std::exchange(other.core_, nullptr);
    }
    return *this;
}

owned_lane::~owned_lane() {
    if (core_ == nullptr) return;
    core_->dispose();
    core_->let_go();
}

errc owned_lane::check_owner() const noexcept {
    if (core_ == nullptr) return errc::not_initialised;
    if (core_->disposed()) return errc::lane_disposed;
    return core_->owned_by_caller() ? errc{} : errc::not_the_owner;
}

result<fragment> owned_lane::try_again(std::uint64_t bytes, std::uint64_t alignment) noexcept {
    if (core_ == nullptr) return errc::not_initialised;
    if (errc e = detail::check_request(bytes, alignment, core_->capacity()); e != errc{}) return e;
    if (errc e = check_owner(); e != errc{}) return e;
    if (errc e = core_->why_not(bytes, alignment); e != errc::lane_full) return e;
    if (!core_->reset_if_empty()) return errc::lane_full;
    std::byte* at = core_->allocate(bytes, alignment);
    if (at == nullptr) return errc::lane_full;
    return fragment_at(at, bytes);
}

std::uint64_t owned_lane::free_space() const noexcept {
    return core_ == nullptr || core_->closed() || core_->disposed() ? 0 : core_->capacity() - core_->offset();
}

result<bool> owned_lane::try_reset_if_empty() noexcept {
    if (errc e = check_owner(); e != errc{}) return e;
    return core_->reset_if_empty();
}

result<void> owned_lane::try_close() noexcept {
    if (errc e = check_owner(); e != errc{}) return e;
    core_->set_closed(true);
    return {};
}

result<void> owned_lane::try_reopen() noexcept {
    if (errc e = check_owner(); e != errc{}) return e;
    core_->set_closed(false);
    return {};
}

result<std::uint64_t> owned_lane::try_force_reset(bool close) noexcept {
    if (errc e = check_owner(); e != errc{}) return e;
    result<std::uint64_t> orphans = core_->force_reset();
    if (orphans && close) core_->set_closed(true);
    return orphans;
}

result<void> owned_lane::try_dispose() noexcept {
    if (errc e = check_owner(); e != errc{} && e != errc::lane_disposed) return e;
    core_->dispose();
    return {};
}

result<void> owned_lane::try_adopt() noexcept {
    if (errc e = check_owner(); e != errc{} && e != errc::not_the_owner) return e;
    core_->adopt();
    return {};
}

std::span<std::byte> owned_lane::bytes() const noexcept {
    if (core_ == nullptr || core_->disposed()) return {};
    return {core_->data(), core_->capacity()};
}

std::string owned_lane::trace() const {
    return core_ != nullptr ? detail::trace_of(*this, "thread-owned ") : "empty lane";
}

result<detail::owned_core*> detail::make_owned_core(std::unique_ptr<storage_holder> storage, std::byte* data,
                                                    std::uint64_t size, storage_type type) noexcept {
    auto at = reinterpret_cast<std::uintptr_t>(data);
    std::uint64_t skipped = whole_granules(at) - at;
    if (size < skipped + granule) return errc::size_out_of_range;
    auto* core = new (std::nothrow) owned_core(data + skipped, (size - skipped) & ~(granule - 1), type);
    if (core == nullptr) return errc::out_of_memory;
    core->storage = std::move(storage);
    return core;
}

}  // namespace lanes
