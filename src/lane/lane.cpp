// The lane object: an owner of a core, and the calls on it.
#include "lanes/lane.hpp"

#include <algorithm>
#include <istream>

#include "lane/shared_core.hpp"
#include "lane/trace.hpp"
#include "os/files.hpp"

namespace lanes {

lane& lane::operator=(lane&& other) noexcept {
    if (this != &other) {
        lane old(std::move(*this));
        core_ = std::exchange(other.core_, nullptr);
    }
    return *this;
}

lane::~lane() {
    if (core_ == nullptr) return;
    core_->dispose();
    core_->let_go();
}

result<fragment> lane_ref::try_allocate(std::uint64_t bytes, std::uint64_t alignment, unsigned tries) noexcept {
    if (core_ == nullptr) return errc::not_initialised;
    fragment::parts got;
    if (errc e = core_->allocate(bytes, alignment, tries, got); e != errc{}) return e;
    return fragment(got);
}

std::uint64_t lane_ref::capacity() const noexcept { return core_ != nullptr ? core_->capacity() : 0; }
std::uint64_t lane_ref::offset() const noexcept { return core_ != nullptr ? core_->offset() : 0; }
std::uint64_t lane_ref::free_space() const noexcept {
    return core_ == nullptr || closed() || disposed() ? 0 : core_->capacity() - core_->offset();
}
std::uint64_t lane_ref::live() const noexcept { return core_ != nullptr ? core_->word().live() : 0; }
std::uint64_t lane_ref::cycle() const noexcept { return core_ != nullptr ? core_->cycle() : 0; }
bool lane_ref::closed() const noexcept { return core_ != nullptr && !core_->disposed() && core_->word().closed(); }
bool lane_ref::disposed() const noexcept { return core_ != nullptr && core_->disposed(); }
storage_type lane_ref::type() const noexcept { return core_ != nullptr ? core_->type() : storage_type::slot; }

std::chrono::steady_clock::time_point lane_ref::last_allocation() const noexcept {
    return core_ != nullptr ? core_->last_allocation() : std::chrono::steady_clock::time_point{};
}

result<void> lane_ref::try_close() noexcept {
    return core_ != nullptr ? core_->set_closed(true) : errc::not_initialised;
}
result<void> lane_ref::try_reopen() noexcept {
    return core_ != nullptr ? core_->set_closed(false) : errc::not_initialised;
}

void lane_ref::dispose() noexcept {
    if (core_ != nullptr) core_->dispose();
}

result<std::uint64_t> lane_ref::try_force_reset(bool close) noexcept {
    if (core_ == nullptr) return errc::not_initialised;
    return core_->force_reset(close);
}

std::span<std::byte> lane_ref::bytes() const noexcept {
    if (core_ == nullptr || core_->disposed()) return {};
    return core_->bytes();
}

namespace {

// Runs `fill` on the lane's first bytes, while the storage is kept.
template <class F>
result<std::uint64_t> fill_with(const detail::shared_core* core, std::uint64_t bytes, F&& fill) noexcept {
    if (core == nullptr) return errc::not_initialised;
    if (bytes == lane_ref::all_bytes) bytes = core->capacity();
    if (bytes > core->capacity()) return errc::size_out_of_range;
    detail::shared_core::pin held(*core);
    if (!held) return errc::lane_disposed;
    return fill(core->bytes().first(bytes));
}

}  // namespace

result<std::uint64_t> lane_ref::try_fill_from(std::istream& from, std::uint64_t bytes) noexcept {
    return fill_with(core_, bytes, [&](std::span<std::byte> to) -> result<std::uint64_t> {
        try {
            from.read(reinterpret_cast<char*>(to.data()), static_cast<std::streamsize>(to.size()));
        } catch (...) {
            // A stream that was told to throw; its state says what happened.
        }
        if (from.bad()) return errc::system_failure;
        if (static_cast<std::uint64_t>(from.gcount()) != to.size()) return errc::end_of_stream;
        return to.size();
    });
}

result<std::uint64_t> lane_ref::try_fill_from(int descriptor, std::uint64_t bytes) noexcept {
    return fill_with(core_, bytes, [&](std::span<std::byte> to) -> result<std::uint64_t> {
        std::uint64_t done = 0;
        while (done < to.size()) {
            iovec rest{to.data() + done, to.size() - done};
            std::uint64_t got = 0;
            if (int e = os::read_some(descriptor, &rest, 1, got); e != 0) return failure{errc::system_failure, e};
            if (got == 0) return errc::end_of_stream;
            done += got;
        }
        return done;
    });
}

std::string lane_ref::trace() const { return core_ != nullptr ? detail::trace_of(*this, "") : "empty lane"; }

result<fragment_token> lane_ref::try_send(fragment&& f) noexcept {
    if (core_ == nullptr) return errc::not_initialised;
    return core_->send(std::move(f));
}

result<fragment> lane_ref::try_receive(const fragment_token& token) noexcept {
    if (core_ == nullptr) return errc::not_initialised;
    return core_->receive(token);
}

result<std::span<std::byte>> lane_ref::try_look(const fragment_token& token) const noexcept {
    if (core_ == nullptr) return errc::not_initialised;
    return core_->look(token);
}

std::size_t lane_ref::index() const noexcept { return core_ != nullptr ? core_->index : 0; }

lane_ref lane_of(const fragment& f) noexcept {
    return lane_ref(const_cast<detail::shared_core*>(dynamic_cast<const detail::shared_core*>(f.core())));
}

fragment lane_ref::contents() noexcept { return core_ != nullptr ? core_->take_contents() : fragment(); }

}  // namespace lanes
