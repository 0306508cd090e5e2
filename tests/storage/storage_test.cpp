// What every storage promises, and storage in the process's heap and in anonymous mappings.
#include "lanes/storage.hpp"

#include <gtest/gtest.h>
#include <linux/mempolicy.h>

#include <cstring>
#include <utility>
#include <vector>

#include "tests/storage/storage_support.hpp"

namespace {

using namespace lanes;
using lanes::test::in_child;
using lanes::test::number;

constexpr std::uint64_t mib = std::uint64_t{1} << 20;

std::uint64_t page() { return static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)); }

std::uint64_t mapped_bytes() { return std::stoull(lanes::test::contents_of("/proc/self/statm")) * page(); }

// ---- every storage

template <class S>
struct every_storage : ::testing::Test {
    lanes::test::scratch_directory directory;
    typename S::options options() const {
        if constexpr (std::is_same_v<S, file_storage>)
            return {.path = directory / "file"};
        else
            return {};
    }
    S make(std::uint64_t bytes) const { return S::try_create(bytes, options()).value(); }
};
using storages = ::testing::Types<heap_storage, mapping_storage, file_storage, memfd_storage>;
struct names {
    template <class S>
    static std::string GetName(int) {
        return name_of(S::type);
    }
};
TYPED_TEST_SUITE(every_storage, storages, names);

TYPED_TEST(every_storage, refuses_sizes_that_none_can_have) {
    for (std::uint64_t bytes : lanes::test::sizes_out_of_range) {
        EXPECT_EQ(TypeParam::try_create(bytes, this->options()).error(), errc::size_out_of_range) << bytes;
    }
    EXPECT_TRUE(this->directory.empty());
}

TYPED_TEST(every_storage, says_so_when_the_system_has_not_that_much) {
    if (lanes::test::sanitized && TypeParam::type == storage_type::process_heap) {
        GTEST_SKIP() << "a sanitizer's malloc reports the size and ends the process";
    }
    std::size_t before = lanes::test::open_descriptors();
    auto none = TypeParam::try_create(std::uint64_t{1} << 60, this->options());
    EXPECT_EQ(none.error(), errc::out_of_memory);
    EXPECT_EQ(lanes::test::open_descriptors(), before);
    EXPECT_TRUE(this->directory.empty());
}

TYPED_TEST(every_storage, has_at_least_the_bytes_that_were_asked_for) {
    for (std::uint64_t bytes : {std::uint64_t{1}, std::uint64_t{4095}, std::uint64_t{4097}, 3 * mib}) {
        TypeParam s = this->make(bytes);
        EXPECT_GE(s.size(), bytes);
        lanes::test::fill(s.data(), s.size(), bytes);
        EXPECT_TRUE(lanes::test::holds(s.data(), s.size(), bytes));
    }
}

TYPED_TEST(every_storage, moves_with_its_bytes_where_they_are) {
    TypeParam a = this->make(8192);
    lanes::test::fill(a.data(), 8192, 1);
    std::byte* at = a.data();
    std::uint64_t size = a.size();

    TypeParam b = std::move(a);
    EXPECT_EQ(a.data(), nullptr);
    EXPECT_EQ(a.size(), 0u);
    EXPECT_EQ(b.data(), at);
    EXPECT_EQ(b.size(), size);

    a = std::move(b);
    TypeParam& itself = a;
    a = std::move(itself);
    EXPECT_EQ(a.data(), at);
    EXPECT_EQ(a.size(), size);
    EXPECT_TRUE(lanes::test::holds(a.data(), 8192, 1));

    TypeParam c = this->make(4096);
    c = std::move(a);
    EXPECT_EQ(c.data(), at);
    EXPECT_EQ(a.data(), nullptr);
    a = std::move(a);
    EXPECT_EQ(a.data(), nullptr);
}

TYPED_TEST(every_storage, leaves_neither_descriptor_nor_mapping_nor_file) {
    std::size_t before = lanes::test::open_descriptors();
    std::byte* at = nullptr;
    {
        TypeParam s = this->make(64 * mib);
        at = s.data();
        TypeParam other = this->make(64 * mib);
        other = std::move(s);  // what `other` had goes now
        EXPECT_TRUE(lanes::test::is_mapped(at, 64 * mib));
    }
    // A heap may keep what is freed.
    EXPECT_TRUE(TypeParam::type == storage_type::process_heap || !lanes::test::is_mapped(at, 64 * mib));
    EXPECT_EQ(lanes::test::open_descriptors(), before);
    EXPECT_TRUE(this->directory.empty());
}

// The heap's may have any contents.
template <class S>
struct system_s_storage : every_storage<S> {};
using system_s_storages = ::testing::Types<mapping_storage, file_storage, memfd_storage>;
TYPED_TEST_SUITE(system_s_storage, system_s_storages, names);

TYPED_TEST(system_s_storage, is_zero) {
    TypeParam s = this->make(mib);
    EXPECT_TRUE(lanes::test::is_zero(s.data(), s.size()));
}

TEST(storage, types_have_the_names_that_reports_show) {
    EXPECT_STREQ(name_of(storage_type::process_heap), "heap");
    EXPECT_STREQ(name_of(storage_type::mapping), "mapping");
    EXPECT_STREQ(name_of(storage_type::file), "file");
    EXPECT_STREQ(name_of(storage_type::memfd), "memfd");
    EXPECT_STREQ(name_of(storage_type::slot), "slot");
}

TEST(storage, options_for_a_lane_give_it_a_name_of_its_own) {
    EXPECT_EQ((file_storage::options{.path = "/a/b.lane"}).for_lane(7).path, "/a/b.lane.7");
    EXPECT_TRUE((file_storage::options{.path = "/a/b.lane", .keep = true}).for_lane(0).keep);
    EXPECT_EQ((memfd_storage::options{.name = "x"}).for_lane(12).name, "x.12");
    EXPECT_EQ((heap_storage::options{.alignment = 256}).for_lane(1).alignment, 256u);
    EXPECT_EQ((mapping_storage::options{.numa_node = 3}).for_lane(1).numa_node, 3);
}

// ---- the heap and mappings: alignment

template <class S>
struct aligned_storage : ::testing::Test {};
using aligned_storages = ::testing::Types<heap_storage, mapping_storage>;
TYPED_TEST_SUITE(aligned_storage, aligned_storages, names);

TYPED_TEST(aligned_storage, refuses_what_is_no_power_of_two_or_too_large) {
    for (std::uint64_t alignment : {std::uint64_t{3}, std::uint64_t{65}, std::uint64_t{4097}, 2 * max_alignment,
                                    std::uint64_t{1} << 63, lanes::test::negative}) {
        EXPECT_EQ(TypeParam::try_create(4096, {.alignment = alignment}).error(), errc::bad_alignment) << alignment;
    }
}

TYPED_TEST(aligned_storage, starts_where_it_was_asked_to) {
    for (std::uint64_t alignment = 1; alignment <= 2 * mib; alignment *= 2) {
        TypeParam a = TypeParam::try_create(4097, {.alignment = alignment}).value();
        TypeParam b = TypeParam::try_create(4097, {.alignment = alignment}).value();
        EXPECT_EQ(number(a.data()) % alignment, 0u) << alignment;
        EXPECT_EQ(number(b.data()) % alignment, 0u) << alignment;
        lanes::test::fill(a.data(), 4097, 1);
        lanes::test::fill(b.data(), 4097, 2);
        EXPECT_TRUE(lanes::test::holds(a.data(), 4097, 1)) << alignment;
    }
}

TEST(heap_storage, refuses_an_alignment_of_zero) {
    EXPECT_EQ(heap_storage::try_create(1, {.alignment = 0}).error(), errc::bad_alignment);
}

TEST(mapping_storage, of_the_largest_alignment_takes_no_more_than_its_size) {
    constexpr std::uint64_t noise = 64 * mib;  // what reading the number may itself map, under a sanitizer
    std::uint64_t before = mapped_bytes();
    std::vector<mapping_storage> several;
    for (int i = 0; i < 4; ++i) {
        auto& s = several.emplace_back(mapping_storage::try_create(1, {.alignment = max_alignment}).value());
        EXPECT_EQ(number(s.data()) % max_alignment, 0u);
        std::memset(s.data(), 1, s.size());
    }
    EXPECT_LT(mapped_bytes() - before, noise);
}

// ---- mappings

// The VmFlags of the mapping that holds the address.
std::string flags_of(const std::byte* at) {
    std::ifstream smaps("/proc/self/smaps");
    bool here = false;
    for (std::string line; std::getline(smaps, line);) {
        std::size_t dash = line.find('-');
        if (line.starts_with("VmFlags:")) {
            if (here) return line + " ";
        } else if (dash != std::string::npos && dash <= 16 && line.find(':') > dash) {
            here = std::stoull(line, nullptr, 16) <= number(at) &&
                   number(at) < std::stoull(line.substr(dash + 1), nullptr, 16);
        }
    }
    return {};
}

TEST(mapping_storage, says_the_size_that_it_has) {
    EXPECT_EQ(mapping_storage::try_create(1, {}).value().size(), page());
    EXPECT_EQ(mapping_storage::try_create(page() + 1, {}).value().size(), 2 * page());
}

TEST(mapping_storage, asks_for_nothing_that_was_not_asked_for) {
    auto s = mapping_storage::try_create(4 * mib, {}).value();
    EXPECT_EQ(s.huge_pages(), grant::not_asked);
    EXPECT_EQ(s.numa(), grant::not_asked);
    EXPECT_EQ(flags_of(s.data()).find(" hg "), std::string::npos);
}

TEST(mapping_storage, has_huge_pages_exactly_when_it_says_so) {
    auto s = mapping_storage::try_create(8 * mib, {.huge_pages = true}).value();
    EXPECT_EQ(number(s.data()) % (2 * mib), 0u);
    ASSERT_NE(s.huge_pages(), grant::not_asked);
    bool never =
        lanes::test::contents_of("/sys/kernel/mm/transparent_hugepage/enabled").find("[never]") != std::string::npos;
    bool advised = flags_of(s.data()).find(" hg ") != std::string::npos;
    EXPECT_EQ(s.huge_pages() == grant::granted, advised && !never) << flags_of(s.data());
    lanes::test::fill(s.data(), s.size(), 3);
    EXPECT_TRUE(lanes::test::holds(s.data(), s.size(), 3));
}

TEST(mapping_storage, works_without_huge_pages_where_the_system_refuses_them) {
    auto works_and_is_refused = [](std::uint64_t bytes) {
        auto s = mapping_storage::try_create(bytes, {.huge_pages = true}).value();
        lanes::test::fill(s.data(), s.size(), 4);
        return s.huge_pages() == grant::refused && lanes::test::holds(s.data(), s.size(), 4);
    };
    EXPECT_TRUE(works_and_is_refused(mib)) << "shorter than a huge page";
    EXPECT_EQ(in_child([&] {
                  CHILD_REQUIRE(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0);
                  CHILD_REQUIRE(works_and_is_refused(8 * mib));
                  return 0;
              }),
              0);
    EXPECT_EQ(in_child([&] {
                  CHILD_REQUIRE(lanes::test::refuse(SYS_madvise, EINVAL, 2, MADV_HUGEPAGE));
                  CHILD_REQUIRE(works_and_is_refused(8 * mib));
                  return 0;
              }),
              0);
}

TEST(mapping_storage, prefers_a_node_exactly_when_it_says_so) {
    auto s = mapping_storage::try_create(mib, {.numa_node = 0}).value();
    ASSERT_NE(s.numa(), grant::not_asked);
    int mode = -1;
    unsigned long nodes[16] = {};
    bool known = syscall(SYS_get_mempolicy, &mode, nodes, 8 * sizeof nodes, s.data(), MPOL_F_ADDR) == 0;
    EXPECT_EQ(s.numa() == grant::granted, known && mode == MPOL_PREFERRED && nodes[0] == 1) << mode;
    lanes::test::fill(s.data(), s.size(), 5);
    EXPECT_TRUE(lanes::test::holds(s.data(), s.size(), 5));
}

TEST(mapping_storage, works_without_a_node_that_is_not_there) {
    for (int node : {1023, 9999, 32767, 32768, 2147483647}) {
        auto s = mapping_storage::try_create(mib, {.numa_node = node}).value();
        EXPECT_EQ(s.numa(), grant::refused) << node;
        lanes::test::fill(s.data(), s.size(), 6);
        EXPECT_TRUE(lanes::test::holds(s.data(), s.size(), 6)) << node;
    }
    EXPECT_EQ(in_child([] {
                  CHILD_REQUIRE(lanes::test::refuse(SYS_mbind, ENOSYS));
                  CHILD_REQUIRE(mapping_storage::try_create(mib, {.numa_node = 0}).value().numa() == grant::refused);
                  return 0;
              }),
              0);
}

TEST(mapping_storage, refuses_a_node_that_is_no_number_of_one) {
    EXPECT_EQ(mapping_storage::try_create(mib, {.numa_node = -1}).error(), errc::bad_option);
}

TEST(mapping_storage, purge_gives_memory_back_and_leaves_zeroes) {
    auto s = mapping_storage::try_create(64 * page(), {}).value();
    std::memset(s.data(), 1, s.size());
    ASSERT_EQ(lanes::test::resident_pages(s.data(), s.size()), s.size() / 4096);

    // Only whole pages in the range: 2 to 61.
    EXPECT_EQ(s.purge(page() + 1, 61 * page()), 60 * page());
    EXPECT_EQ(lanes::test::resident_pages(s.data() + 2 * page(), 60 * page()), 0u);
    EXPECT_TRUE(lanes::test::is_zero(s.data() + 2 * page(), 60 * page()));
    EXPECT_EQ(s.data()[2 * page() - 1], std::byte{1});
    EXPECT_EQ(s.data()[62 * page()], std::byte{1});
    std::memset(s.data(), 2, s.size());
    EXPECT_EQ(s.data()[30 * page()], std::byte{2});
}

TEST(mapping_storage, purge_takes_any_range) {
    auto s = mapping_storage::try_create(4 * page(), {}).value();
    std::memset(s.data(), 1, s.size());
    EXPECT_EQ(s.purge(0, 0), 0u);
    EXPECT_EQ(s.purge(0, page() - 1), 0u);
    EXPECT_EQ(s.purge(1, page()), 0u);
    EXPECT_EQ(s.purge(4 * page(), page()), 0u);
    EXPECT_EQ(s.purge(lanes::test::negative, lanes::test::negative), 0u);
    EXPECT_EQ(s.data()[0], std::byte{1});
    EXPECT_EQ(s.purge(page(), lanes::test::negative), 3 * page());
    EXPECT_EQ(s.data()[page() - 1], std::byte{1});
    auto taken = std::move(s);
    EXPECT_EQ(s.purge(0, page()), 0u);
}

}  // namespace
