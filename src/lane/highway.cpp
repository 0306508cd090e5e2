// The highway object: its totals, its lanes by index, its traces.
#include "lanes/highway.hpp"

#include <algorithm>
#include <sstream>

#include "lane/highway_core.hpp"

namespace lanes {

highway& highway::operator=(highway&& other) noexcept {
    if (this != &other) {
        detail::drop_highway_core(core_);
        core_ = std::exchange(other.core_, nullptr);
    }
    return *this;
}

highway::~highway() { detail::drop_highway_core(core_); }

result<fragment> highway::try_allocate(std::uint64_t bytes, std::uint64_t alignment, const effort& how) noexcept {
    if (core_ == nullptr) return errc::not_initialised;
    detail::highway_core::refusal why;
    fragment::parts got;
    if (failure f = core_->allocate(bytes, alignment, how, why, got); f.code != errc{}) return f;
    return fragment(got);
}

fragment highway::allocate(std::uint64_t bytes, std::uint64_t alignment, const effort& how) {
    if (core_ == nullptr) throw_error(errc::not_initialised);
    detail::highway_core::refusal why;
    fragment::parts got;
    failure refused = core_->allocate(bytes, alignment, how, why, got);
    if (refused.code == errc{}) [[likely]]
        return fragment(got);
    if (why.quiet && (refused.code == errc::max_lanes_reached || refused.code == errc::max_bytes_reached)) return {};
    if (why.thrown == nullptr) throw_error(refused.code, refused.system_error);
    try {
        std::rethrow_exception(why.thrown);
    } catch (...) {
        std::throw_with_nested(error(refused.code));
    }
}

std::size_t highway::lane_count() const noexcept { return core_ != nullptr ? core_->lane_count() : 0; }
std::size_t highway::lanes_made() const noexcept { return core_ != nullptr ? core_->lanes_made() : 0; }
std::uint64_t highway::bytes_held() const noexcept { return core_ != nullptr ? core_->bytes_held() : 0; }
bool highway::disposed() const noexcept { return core_ != nullptr && core_->disposed(); }
storage_type highway::type() const noexcept { return core_ != nullptr ? core_->type() : storage_type::slot; }

const highway_options& highway::options() const noexcept {
    static const highway_options defaults;
    return core_ != nullptr ? core_->options() : defaults;
}

namespace {

// The sum, or the largest, of what `f` says of each lane.
template <class T, class F, class Combine>
T over_lanes(const detail::highway_core* core, T start, F&& f, Combine&& combine) {
    if (core == nullptr) return start;
    core->each_lane([&](std::size_t, detail::shared_core& lane) { start = combine(start, f(lane_ref(&lane))); });
    return start;
}

}  // namespace

std::uint64_t highway::total_live() const noexcept {
    return over_lanes(
        core_, std::uint64_t{0}, [](lane_ref lane) { return lane.live(); }, std::plus<>());
}
std::uint64_t highway::total_capacity() const noexcept {
    return over_lanes(
        core_, std::uint64_t{0}, [](lane_ref lane) { return lane.capacity(); }, std::plus<>());
}
std::uint64_t highway::total_free_space() const noexcept {
    return over_lanes(
        core_, std::uint64_t{0}, [](lane_ref lane) { return lane.free_space(); }, std::plus<>());
}
std::chrono::steady_clock::time_point highway::last_allocation() const noexcept {
    return over_lanes(
        core_, std::chrono::steady_clock::time_point{}, [](lane_ref lane) { return lane.last_allocation(); },
        [](auto a, auto b) { return std::max(a, b); });
}

result<lane_ref> highway::try_lane(std::size_t index) const noexcept {
    if (core_ == nullptr) return errc::not_initialised;
    detail::shared_core* lane = core_->lane_at(index);
    if (lane == nullptr) return errc::no_such_lane;
    return lane_ref(lane);
}

std::vector<lane_ref> highway::lanes() const {
    std::vector<lane_ref> all;
    if (core_ != nullptr) core_->each_lane([&](std::size_t, detail::shared_core& lane) { all.emplace_back(&lane); });
    return all;
}

result<void> highway::try_close_lane(std::size_t index) noexcept {
    result<lane_ref> lane = try_lane(index);
    return lane ? lane->try_close() : lane.why();
}

result<void> highway::try_reopen_lane(std::size_t index) noexcept {
    return core_ != nullptr ? core_->reopen_lane(index) : errc::not_initialised;
}

result<void> highway::try_dispose_lane(std::size_t index) noexcept {
    return core_ != nullptr ? core_->dispose_lane(index) : errc::not_initialised;
}

std::vector<std::size_t> highway::pinned_lanes(std::chrono::nanoseconds older_than) const {
    std::vector<std::size_t> pinned;
    if (core_ == nullptr) return pinned;
    std::chrono::steady_clock::time_point last = last_allocation();
    core_->each_lane([&](std::size_t index, detail::shared_core& lane) {
        if (lane.word().live() != 0 && last - lane.last_allocation() >= older_than) pinned.push_back(index);
    });
    return pinned;
}

std::uint64_t highway::trim() noexcept { return core_ != nullptr ? core_->trim() : 0; }

void highway::dispose() noexcept {
    if (core_ != nullptr) core_->dispose();
}

std::string highway::trace() const {
    if (core_ == nullptr) return "empty highway";
    std::ostringstream out;
    out << name_of(type()) << " highway: " << lane_count() << " lanes, " << total_live() << " live, "
        << total_free_space() << " of " << total_capacity() << " bytes free, " << bytes_held() << " held"
        << (disposed() ? ", disposed" : "") << '\n';
    core_->each_lane([&](std::size_t index, detail::shared_core& lane) {
        out << "  " << index << ": " << lane_ref(&lane).trace() << '\n';
    });
    return out.str();
}

detail::storage_holder* detail::holder_of_lane(const lane_ref& lane) noexcept { return lane.core()->holder(); }

}  // namespace lanes
