// What the tests of highways share: highways over every storage, where a highway's files lie, what fills one up, and a
// storage that tells of its end.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "lanes/highway.hpp"
#include "tests/lane/lane_support.hpp"
#include "tests/storage/storage_support.hpp"

namespace lanes::test {

inline constexpr std::chrono::nanoseconds for_ever = std::chrono::nanoseconds::max();

// A file highway's files are those in the directory; other highways need nothing.
template <class H>
typename H::storage_options storage_in(const scratch_directory& directory, const char* name = "lane") {
    if constexpr (std::is_same_v<H, file_highway>)
        return {.path = directory / name};
    else
        return {};
}

// For tests that a highway over any storage has to pass. (One function for all: a template for each takes minutes to
// build.)
struct with_every_storage : ::testing::TestWithParam<storage_type> {
    scratch_directory directory;

    bool is_between_processes() const { return GetParam() == storage_type::file || GetParam() == storage_type::memfd; }
    highway make(highway_options options, const char* name = "lane") const {
        switch (GetParam()) {
            case storage_type::process_heap:
                return heap_highway(std::move(options));
            case storage_type::mapping:
                return mapping_highway(std::move(options));
            case storage_type::file:
                return file_highway(std::move(options), {.path = directory / name});
            case storage_type::memfd:
                return memfd_highway(std::move(options));
            case storage_type::slot:
                break;
        }
        return {};
    }
};
inline const auto every_storage_type =
    ::testing::Values(storage_type::process_heap, storage_type::mapping, storage_type::file, storage_type::memfd);
inline std::string name_of_storage(const ::testing::TestParamInfo<storage_type>& of) { return name_of(of.param); }

// For tests of what each kind of highway has of its own.
template <class H>
struct typed_highway : ::testing::Test {
    scratch_directory directory;

    H make(highway_options options, const char* name = "lane") const {
        return H(std::move(options), storage_in<H>(directory, name));
    }
};
using highways = ::testing::Types<heap_highway, mapping_highway, file_highway, memfd_highway>;
struct names_of_highways {
    template <class H>
    static std::string GetName(int) {
        if (std::is_same_v<H, heap_highway>) return "heap";
        if (std::is_same_v<H, mapping_highway>) return "mapping";
        return std::is_same_v<H, file_highway> ? "file" : "memfd";
    }
};

// The index of the lane that the fragment lies in; lanes_made() if in none that is not disposed.
inline std::size_t lane_of(const highway& h, const fragment& f) {
    std::size_t i = 0;
    for (; i < h.lanes_made(); ++i) {
        auto lane = h.try_lane(i);
        if (!lane) continue;
        std::span<std::byte> all = lane->bytes();
        if (f.data() >= all.data() && f.data() < all.data() + all.size()) break;
    }
    return i;
}

// All that is free of every lane, so that nothing more fits. The lanes are at most 1 MiB.
inline std::vector<fragment> fill_up(highway& h) {
    std::vector<fragment> all;
    for (lane_ref lane : h.lanes()) {
        while (std::uint64_t bytes = lane.free_space()) all.push_back(lane.allocate(bytes));
    }
    return all;
}

// Waits until something is so. A test that waits for what never comes is ended by its timeout.
template <class F>
void wait_until(F&& is_so) {
    while (!is_so()) std::this_thread::sleep_for(std::chrono::microseconds(100));
}

// A storage as a user may write one. When the bytes go, it writes a letter to a descriptor.
class told_storage {
  public:
    struct options {
        int descriptor;
        options for_lane(std::size_t) const { return *this; }
    };
    static constexpr storage_type type = storage_type::process_heap;
    static constexpr bool keeps_state = false;
    static result<told_storage> try_create(std::uint64_t bytes, const options& o) {
        return told_storage(bytes, o.descriptor);
    }

    told_storage(told_storage&&) noexcept = default;
    told_storage& operator=(told_storage&&) noexcept = default;
    ~told_storage() {
        if (bytes_ != nullptr && write(descriptor_, "x", 1) != 1) std::abort();
    }

    std::byte* data() const noexcept { return bytes_.get(); }
    std::uint64_t size() const noexcept { return size_; }

  private:
    told_storage(std::uint64_t bytes, int descriptor)
        : bytes_(new std::byte[bytes]), size_(bytes), descriptor_(descriptor) {}
    std::unique_ptr<std::byte[]> bytes_;
    std::uint64_t size_;
    int descriptor_;
};
using told_highway = basic_highway<told_storage>;

}  // namespace lanes::test
