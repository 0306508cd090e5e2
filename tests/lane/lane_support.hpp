// What the tests of lanes and highways share: the error that a call throws, storages that are counted or have no
// memory, and what every lane refuses and keeps.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <ostream>
#include <thread>
#include <utility>
#include <vector>

#include "lanes/lane.hpp"
#include "lanes/owned_lane.hpp"
#include "tests/unit/support.hpp"

namespace lanes {

inline void PrintTo(errc e, std::ostream* out) { *out << (e == errc{} ? "no error" : message(e)); }

}  // namespace lanes

namespace lanes::test {

inline constexpr std::uint64_t kib = std::uint64_t{1} << 10, mib = std::uint64_t{1} << 20;
inline constexpr std::uint64_t wrapped = ~std::uint64_t{0};

// The code of what f() throws; errc{} if it throws nothing.
template <class F>
errc thrown_by(F&& f) {
    try {
        f();
    } catch (const error& e) {
        return e.which();
    }
    return errc{};
}

template <class F>
void in_threads(unsigned threads, F&& f) {
    std::vector<std::thread> all;
    for (unsigned i = 0; i < threads; ++i) all.emplace_back([&f, i] { f(i); });
    for (std::thread& t : all) t.join();
}

// Memory of the process's heap, `skew` bytes behind a multiple of `alignment`. alive() is how many hold any.
class counted_storage {
  public:
    struct options {
        std::uint64_t alignment = 64, skew = 0;
        options for_lane(std::size_t) const { return *this; }
    };
    static constexpr storage_type type = storage_type::process_heap;
    static constexpr bool keeps_state = false;

    static result<counted_storage> try_create(std::uint64_t bytes, const options& o) noexcept {
        void* at = ::operator new (bytes + o.skew, std::align_val_t{o.alignment}, std::nothrow);
        if (at == nullptr) return errc::out_of_memory;
        count().fetch_add(1);
        return counted_storage(static_cast<std::byte*>(at), bytes, o);
    }
    counted_storage(counted_storage&& other) noexcept
        : at_(std::exchange(other.at_, nullptr)), size_(std::exchange(other.size_, 0)), options_(other.options_) {}
    counted_storage& operator=(counted_storage&& other) noexcept {
        std::swap(at_, other.at_);
        std::swap(size_, other.size_);
        std::swap(options_, other.options_);
        return *this;
    }
    ~counted_storage() {
        if (at_ == nullptr) return;
        ::operator delete (at_, std::align_val_t{options_.alignment});
        count().fetch_sub(1);
    }

    std::byte* data() const noexcept { return at_ != nullptr ? at_ + options_.skew : nullptr; }
    std::uint64_t size() const noexcept { return size_; }
    static int alive() { return count().load(); }

  private:
    counted_storage(std::byte* at, std::uint64_t size, const options& o) : at_(at), size_(size), options_(o) {}
    static std::atomic<int>& count() {
        static std::atomic<int> the;
        return the;
    }
    std::byte* at_;
    std::uint64_t size_;
    options options_;
};
using counted_lane = basic_lane<counted_storage>;
using owned_counted_lane = basic_owned_lane<counted_storage>;

// Address space without memory, from `past` bytes behind a multiple of `alignment` on: for lanes larger than the
// machine.
class address_storage {
  public:
    struct options {
        std::uint64_t alignment = 4096, past = 0;
        options for_lane(std::size_t) const { return *this; }
    };
    static constexpr storage_type type = storage_type::mapping;
    static constexpr bool keeps_state = false;

    static result<address_storage> try_create(std::uint64_t bytes, const options& o) noexcept {
        std::uint64_t mapped = bytes + o.alignment + o.past;
        void* at = mmap(nullptr, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (at == MAP_FAILED) return errc::out_of_memory;
        address_storage s;
        s.at_ = static_cast<std::byte*>(at);
        s.mapped_ = mapped;
        s.data_ = s.at_ + (-number(at) & (o.alignment - 1)) + o.past;
        s.size_ = bytes;
        return s;
    }
    address_storage(address_storage&& other) noexcept
        : at_(std::exchange(other.at_, nullptr)), data_(other.data_), mapped_(other.mapped_), size_(other.size_) {}
    address_storage& operator=(address_storage&& other) noexcept {
        std::swap(at_, other.at_);
        std::swap(data_, other.data_);
        std::swap(mapped_, other.mapped_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~address_storage() {
        if (at_ != nullptr) munmap(at_, mapped_);
    }

    std::byte* data() const noexcept { return data_; }
    std::uint64_t size() const noexcept { return size_; }

  private:
    address_storage() = default;
    std::byte* at_ = nullptr;
    std::byte* data_ = nullptr;
    std::uint64_t mapped_ = 0, size_ = 0;
};

// Whether a fragment's bytes are those that mark() wrote.
inline void mark(const fragment& f, std::uint64_t seed) { fill(f.data(), f.size(), seed); }
inline bool is_marked(const fragment& f, std::uint64_t seed) { return holds(f.data(), f.size(), seed); }

// What no state of a lane of so many bytes could serve.
template <class Lane>
void expect_impossible_requests_refused(Lane& lane, std::uint64_t capacity) {
    for (std::uint64_t bytes :
         {std::uint64_t{0}, capacity + 1, std::uint64_t{1} << 46, std::uint64_t{1} << 63, wrapped, wrapped - 15}) {
        EXPECT_EQ(lane.try_allocate(bytes).error(), errc::size_out_of_range) << bytes;
        EXPECT_EQ(thrown_by([&] { lane.allocate(bytes); }), errc::size_out_of_range) << bytes;
    }
    for (std::uint64_t alignment : {std::uint64_t{0}, std::uint64_t{3}, std::uint64_t{24}, std::uint64_t{1} << 31,
                                    std::uint64_t{1} << 63, wrapped}) {
        EXPECT_EQ(lane.try_allocate(8, alignment).error(), errc::bad_alignment) << alignment;
    }
}

// Places fragments at every alignment up to 1 MiB, each between two others that stay whole. The lane has 3 MiB.
template <class Lane>
void expect_every_alignment_kept(Lane& lane) {
    for (unsigned bit = 0; bit <= 20; ++bit) {
        std::uint64_t alignment = std::uint64_t{1} << bit;
        fragment before = lane.allocate(1, 1), f = lane.allocate(33, alignment), behind = lane.allocate(1, 1);
        ASSERT_EQ(number(f.data()) % alignment, 0u);
        mark(before, 1), mark(f, 2), mark(behind, 3);
        ASSERT_TRUE(is_marked(before, 1) && is_marked(f, 2) && is_marked(behind, 3));
    }
}

// For tests of lanes whose bytes begin anywhere and of every length.
inline constexpr std::uint64_t skews_of_storage[] = {0, 1, 8, 16, 24};
inline constexpr std::uint64_t capacities_of_all_kinds[] = {1, 15, 16, 17, 100, 4095, 65536};

}  // namespace lanes::test
