// Highways and frames under the standard's containers: as std::pmr resources, and as allocators.
#include "lanes/memory_resource.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <barrier>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <memory_resource>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "lanes/frame.hpp"
#include "tests/lane/owned_highway_support.hpp"

namespace lanes {
namespace {

using namespace test;

// The n-th of many strings, too long for the string object itself.
std::string word(std::size_t n) { return "word number " + std::to_string(n) + std::string(n % 200, 'x'); }

// ---------------------------------------------------------------------------------------------------------------------
// std::pmr containers

// What a container has is compared with what the same steps gave on the process's heap.
void containers_work_on(std::pmr::memory_resource& resource) {
    constexpr std::size_t n = 1500;
    std::pmr::vector<std::pmr::string> vector(&resource);
    std::pmr::deque<std::size_t> deque(&resource);
    std::pmr::list<std::pmr::string> list(&resource);
    std::pmr::map<std::size_t, std::pmr::string> map(&resource);
    std::pmr::unordered_map<std::pmr::string, std::size_t> hashed(&resource);
    std::pmr::unordered_set<std::size_t> set(&resource);
    std::pmr::vector<bool> bits(&resource);
    std::deque<std::size_t> deque_twin;
    std::map<std::size_t, std::string> map_twin;
    for (std::size_t i = 0; i < n; ++i) {
        vector.emplace_back(word(i));
        bits.push_back(i % 3 == 0);
        i % 2 == 0 ? deque.push_back(i) : deque.push_front(i);
        i % 2 == 0 ? deque_twin.push_back(i) : deque_twin.push_front(i);
        if (i % 5 == 0) deque.pop_front(), deque_twin.pop_front();
        list.emplace_back(word(i));
        if (i % 4 == 3) list.pop_front();
        map.emplace(i * 7919 % 10007, word(i));
        map_twin.emplace(i * 7919 % 10007, word(i));
        if (i % 3 == 2) map.erase(map.begin()), map_twin.erase(map_twin.begin());
        hashed.emplace(word(i), i);
        set.insert(i * i);
        if (i % 2 == 1) set.erase(i * i / 2);
    }
    ASSERT_EQ(vector.size(), n);
    for (std::size_t i = 0; i < n; ++i) {
        ASSERT_EQ(std::string_view(vector[i]), word(i));
        ASSERT_EQ(bits[i], i % 3 == 0);
        ASSERT_EQ(hashed.at(std::pmr::string(word(i))), i);
    }
    ASSERT_TRUE(std::equal(deque.begin(), deque.end(), deque_twin.begin(), deque_twin.end()));
    ASSERT_EQ(map.size(), map_twin.size());
    for (auto& [key, value] : map_twin) ASSERT_EQ(std::string_view(map.at(key)), value);
    std::size_t at = n - list.size();
    for (const std::pmr::string& s : list) ASSERT_EQ(std::string_view(s), word(at++));

    // Inner containers got the resource, and copies and moves keep their contents.
    ASSERT_EQ(vector[7].get_allocator().resource(), &resource);
    std::pmr::vector<std::pmr::string> copy(vector, &resource), moved(std::move(vector), &resource);
    ASSERT_TRUE(copy == moved);
    copy.clear();
    copy.shrink_to_fit();
    auto node = map.extract(map.begin());
    node.key() = 20000;
    map.insert(std::move(node));
    ASSERT_EQ(map.rbegin()->first, 20000u);
    list.sort();
    hashed.rehash(10 * n);
    ASSERT_EQ(hashed.at(std::pmr::string(word(n - 1))), n - 1);
    ASSERT_TRUE(moved[n - 1] == std::pmr::string(word(n - 1)));
}

void zero_bytes_are_a_block(std::pmr::memory_resource& resource) {
    std::vector<marked_block> blocks;
    living_ranges ranges;
    for (std::uint64_t i = 0; i < 200; ++i) {
        std::uint64_t bytes = i % 3;
        void* at = resource.allocate(bytes, std::size_t{1} << i % 6);
        ASSERT_NE(at, nullptr);
        // One byte of it may be written to.
        ASSERT_TRUE(ranges.add(at, std::max<std::uint64_t>(bytes, 1)));
        blocks.push_back(marked(at, std::max<std::uint64_t>(bytes, 1), i));
    }
    for (std::uint64_t i = 0; i < 200; ++i) {
        ASSERT_TRUE(blocks[i].whole());
        resource.deallocate(blocks[i].at, i % 3, std::size_t{1} << i % 6);
    }
}

// What lies in an object, and where it may lie.
template <std::size_t Alignment>
struct alignas(Alignment) wide {
    explicit wide(std::uint64_t v) : value(v) { EXPECT_EQ(number(this) % Alignment, 0u); }
    std::uint64_t value;
};

template <class Allocator, std::size_t Alignment>
void wide_objects(const Allocator& allocator) {
    using T = wide<Alignment>;
    std::vector<T, typename std::allocator_traits<Allocator>::template rebind_alloc<T>> many(allocator);
    for (std::uint64_t i = 0; i < 30; ++i) many.emplace_back(i);
    std::list<T, typename std::allocator_traits<Allocator>::template rebind_alloc<T>> nodes(allocator);
    for (std::uint64_t i = 0; i < 30; ++i) nodes.emplace_back(i);
    std::uint64_t i = 0;
    for (const T& t : nodes) {
        EXPECT_EQ(number(&t) % Alignment, 0u);
        EXPECT_EQ(t.value, i);
        EXPECT_EQ(many[i].value, i);
        ++i;
    }
}

void resource_keeps_its_promises(std::pmr::memory_resource& resource) {
    containers_work_on(resource);
    wide_objects<std::pmr::polymorphic_allocator<int>, 64>(&resource);
    wide_objects<std::pmr::polymorphic_allocator<int>, 4096>(&resource);
}

TEST(frame_as_resource, holds_every_container) {
    owned_highway highway({.lane_bytes = 64 * kib});
    std::uint64_t held = 0;
    for (int round = 0; round < 3; ++round) {
        frame scratch(highway);
        resource_keeps_its_promises(scratch);
        if (round == 0) held = highway.bytes_held();
    }
    EXPECT_EQ(highway.bytes_held(), held);
    EXPECT_EQ(highway.total_live(), 0u);
}

template <class Highway>
struct any_resource : testing::Test {
    static Highway make() {
        if constexpr (std::is_same_v<Highway, owned_highway>) {
            return owned_highway({.lane_bytes = 64 * kib});
        } else {
            return Highway({.lanes = {mib, 256 * kib}});
        }
    }
    Highway highway = make();
    std::conditional_t<std::is_same_v<Highway, owned_highway>, owned_resource, highway_resource> resource{highway};
};
using all_highways = testing::Types<owned_highway, heap_highway, mapping_highway, memfd_highway>;
TYPED_TEST_SUITE(any_resource, all_highways);

TYPED_TEST(any_resource, holds_every_container_and_gets_all_back) {
    std::uint64_t held = 0;
    for (int round = 0; round < 4; ++round) {
        resource_keeps_its_promises(this->resource);
        EXPECT_EQ(this->highway.total_live(), 0u);
        if (round == 1) held = this->highway.bytes_held();
    }
    EXPECT_EQ(this->highway.bytes_held(), held);
}

TYPED_TEST(any_resource, zero_bytes_are_a_block_of_a_byte) {
    zero_bytes_are_a_block(this->resource);
    // No other block has that byte either.
    std::vector<std::pair<void*, fragment>> pairs;
    living_ranges ranges;
    for (int i = 0; i < 100; ++i) {
        void* at = this->resource.allocate(0, 1);
        fragment next = this->highway.allocate(1, 1);
        ASSERT_TRUE(ranges.add(at, 1));
        ASSERT_TRUE(ranges.add(next.data(), 1));
        pairs.emplace_back(at, std::move(next));
    }
    for (auto& [at, next] : pairs) this->resource.deallocate(at, 0, 1);
    pairs.clear();
    EXPECT_EQ(this->highway.total_live(), 0u);
}

TYPED_TEST(any_resource, blocks_may_be_freed_by_other_threads) {
    for (int round = 0; round < 20; ++round) {
        auto words = std::make_unique<std::pmr::vector<std::pmr::string>>(&this->resource);
        for (std::size_t i = 0; i < 500; ++i) words->emplace_back(word(i));
        in_new_thread([&] {
            for (std::size_t i = 0; i < 500; ++i) EXPECT_EQ(std::string_view((*words)[i]), word(i));
            words.reset();
        });
        ASSERT_EQ(this->highway.total_live(), 0u);
    }
    EXPECT_LE(this->highway.bytes_held(), 2 * mib);
}

template <class Highway>
struct shared_resource : any_resource<Highway> {};
using shared_highways = testing::Types<heap_highway, mapping_highway, memfd_highway>;
TYPED_TEST_SUITE(shared_resource, shared_highways);

TYPED_TEST(shared_resource, blocks_of_any_size_stay_whole_when_threads_make_them_and_others_free_them) {
    constexpr std::size_t threads = 4, rounds = 40, each = 25;
    random_source seeds("shared resource");
    std::array<std::vector<marked_block>, threads> made;
    std::barrier meet(static_cast<std::ptrdiff_t>(threads));
    std::atomic<std::size_t> broken{0};
    std::vector<std::thread> workers;
    for (std::size_t mine = 0; mine < threads; ++mine) {
        workers.emplace_back([&, mine, random = random_source(seeds())]() mutable {
            for (std::size_t round = 0; round < rounds; ++round) {
                for (std::size_t i = 0; i < each; ++i) {
                    std::uint64_t bytes = random.size(i == 0 ? 100 * kib : 2 * kib) + 1;
                    std::size_t alignment = std::size_t{1} << random.below(10);
                    void* at = this->resource.allocate(bytes, alignment);
                    if (number(at) % alignment != 0) broken.fetch_add(1);
                    made[mine].push_back(marked(at, bytes, random()));
                }
                meet.arrive_and_wait();
                // Those of the next thread; at the end, all.
                std::vector<marked_block>& others = made[(mine + 1) % threads];
                shuffle(others, random);
                while (others.size() > (round + 1 == rounds ? 0 : each)) {
                    marked_block b = others.back();
                    others.pop_back();
                    if (!b.whole()) broken.fetch_add(1);
                    this->resource.deallocate(b.at, b.bytes, 1);
                }
                meet.arrive_and_wait();
            }
        });
    }
    for (std::thread& t : workers) t.join();
    EXPECT_EQ(broken.load(), 0u);
    EXPECT_EQ(this->highway.total_live(), 0u);
}

TYPED_TEST(shared_resource, blocks_outlive_the_highway) {
    std::vector<marked_block> blocks;
    {
        std::optional<TypeParam> gone(std::in_place, highway_options{.lanes = {64 * kib}});
        highway_resource of_gone(*gone);
        for (std::uint64_t i = 0; i < 300; ++i) {
            result<void*> at = of_gone.try_allocate_block(1 + i * 17 % 3000, i % 2 == 0 ? 8 : 512);
            ASSERT_TRUE(at);
            blocks.push_back(marked(*at, 1 + i * 17 % 3000, i));
        }
    }
    std::atomic<std::size_t> broken{0};
    auto part = [&](std::size_t first) {
        for (std::size_t i = first; i < blocks.size(); i += 3) {
            if (!blocks[i].whole()) broken.fetch_add(1);
            highway_resource::free_block(blocks[i].at);
        }
    };
    std::thread a([&] { part(0); }), b([&] { part(1); });
    part(2);
    a.join();
    b.join();
    EXPECT_EQ(broken.load(), 0u);
}

TEST(highway_resource, works_without_lanes) {
    passthrough_highway highway;
    highway_resource resource(highway);
    resource_keeps_its_promises(resource);
    zero_bytes_are_a_block(resource);
}

TEST(highway_resource, large_alignments_hold_where_processes_do_not_share) {
    heap_highway highway({.lanes = {mib}});
    highway_resource resource(highway);
    for (std::uint64_t alignment : {64 * kib, mib}) {
        result<void*> at = resource.try_allocate_block(100, alignment);
        ASSERT_TRUE(at) << message(at.error());
        EXPECT_EQ(number(*at) % alignment, 0u);
        EXPECT_TRUE(marked(*at, 100, 1).whole());
        highway_resource::free_block(*at);
    }
    EXPECT_EQ(highway.total_live(), 0u);
}

// ---------------------------------------------------------------------------------------------------------------------
// What cannot be had

// The code of the std::bad_alloc that f() throws.
template <class F>
errc refused_by(F&& f) {
    try {
        f();
    } catch (const std::bad_alloc& e) {
        auto* ours = dynamic_cast<const bad_alloc*>(&e);
        EXPECT_NE(ours, nullptr);
        if (ours == nullptr) return errc{};
        EXPECT_STREQ(e.what(), message(ours->which()));
        return ours->which();
    }
    return errc{};
}

TEST(bad_alloc, says_why_there_is_no_block) {
    owned_highway owned({.lane_bytes = 64 * kib, .max_bytes = mib});
    owned_resource of_owned(owned);
    heap_highway shared({.lanes = {64 * kib}, .max_lanes = 1});
    highway_resource of_shared(shared);
    owned_highway moved_to;  // before the frame, which may not outlive it
    frame scratch(owned);
    constexpr std::size_t huge = std::size_t{1} << 62;
    volatile std::size_t largest = ~std::size_t{0};  // volatile, or the compiler warns
    volatile std::size_t huge_alignment = huge;
    for (std::pmr::memory_resource* r :
         {static_cast<std::pmr::memory_resource*>(&of_owned), static_cast<std::pmr::memory_resource*>(&of_shared),
          static_cast<std::pmr::memory_resource*>(&scratch)}) {
        EXPECT_EQ(refused_by([&] { (void)r->allocate(huge); }), errc::size_out_of_range);
        EXPECT_EQ(refused_by([&] { (void)r->allocate(largest); }), errc::size_out_of_range);
        EXPECT_EQ(refused_by([&] { (void)r->allocate(16, huge_alignment); }), errc::bad_alignment);
        // And the next request is served.
        void* at = r->allocate(1000);
        EXPECT_TRUE(marked(at, 1000, 1).whole());
        r->deallocate(at, 1000);
    }
    EXPECT_EQ(refused_by([&] {
                  for (;;) (void)of_owned.allocate(10 * kib);
              }),
              errc::max_bytes_reached);
    EXPECT_EQ(refused_by([&] { (void)scratch.allocate(100 * kib); }), errc::max_bytes_reached);
    std::vector<void*> taken_blocks;
    EXPECT_EQ(refused_by([&] {
                  for (;;) taken_blocks.push_back(of_shared.allocate(10 * kib));
              }),
              errc::max_lanes_reached);
    for (void* block : taken_blocks) of_shared.deallocate(block, 10 * kib);
    in_new_thread([&] { EXPECT_EQ(refused_by([&] { (void)of_owned.allocate(1); }), errc::not_the_owner); });

    moved_to = std::move(owned);
    EXPECT_EQ(refused_by([&] { (void)of_owned.allocate(1); }), errc::not_initialised);
    heap_highway taken = std::move(shared);
    EXPECT_EQ(refused_by([&] { (void)of_shared.allocate(1); }), errc::not_initialised);
}

TEST(bad_alloc, comes_from_allocators_too) {
    owned_highway owned({.lane_bytes = 64 * kib, .max_bytes = mib});
    heap_highway shared({.lanes = {64 * kib}, .max_bytes = mib});
    allocator<std::uint64_t> a(owned);
    allocator<std::uint64_t, highway> b(shared);
    for (std::size_t count :
         {~std::size_t{0}, ~std::size_t{0} / 8 + 2, std::size_t{1} << 61, std::size_t{1} << 60, mib}) {
        EXPECT_EQ(refused_by([&] { (void)a.allocate(count); }), errc::size_out_of_range) << count;
        errc e = refused_by([&] { (void)b.allocate(count); });
        EXPECT_TRUE(e == errc::size_out_of_range || e == errc::max_bytes_reached) << count;
    }
    std::vector<int, allocator<int>> numbers(allocator<int>{owned});
    EXPECT_EQ(refused_by([&] {
                  for (int i = 0;; ++i) numbers.push_back(i);
              }),
              errc::max_bytes_reached);
    EXPECT_GE(numbers.size(), 100 * kib / sizeof(int));  // strong guarantee: it has what it had
    for (std::size_t i = 0; i < numbers.size(); ++i) ASSERT_EQ(numbers[i], static_cast<int>(i));
    allocator<wide<(64 << 10)>> of_wide(owned);
    EXPECT_EQ(refused_by([&] { (void)of_wide.allocate(1); }), errc::bad_alignment);
    in_new_thread([&] { EXPECT_EQ(refused_by([&] { (void)a.allocate(1); }), errc::not_the_owner); });
}

TEST(memory_resources, are_equal_when_they_serve_the_same_highway) {
    owned_highway a, b;
    heap_highway c({.lanes = {64 * kib}}), d({.lanes = {64 * kib}});
    owned_resource a1(a), a2(a), b1(b);
    highway_resource c1(c), c2(c), d1(d);
    EXPECT_TRUE(a1.is_equal(a1) && a1.is_equal(a2) && a2.is_equal(a1));
    EXPECT_FALSE(a1.is_equal(b1) || a1.is_equal(c1) || c1.is_equal(a1));
    EXPECT_TRUE(c1.is_equal(c1) && c1.is_equal(c2) && c2.is_equal(c1));
    EXPECT_FALSE(c1.is_equal(d1) || c1.is_equal(*std::pmr::new_delete_resource()));
    // So blocks of one go back by the other.
    a2.deallocate(a1.allocate(100), 100);
    c2.deallocate(c1.allocate(100), 100);
    EXPECT_EQ(a.total_live() + c.total_live(), 0u);
    std::pmr::vector<int> from({1, 2, 3}, &a1), to(&a2);
    int* data = from.data();
    to = std::move(from);
    EXPECT_EQ(to.data(), data);  // moved, not copied
}

// ---------------------------------------------------------------------------------------------------------------------
// allocator<T>

template <class Highway>
struct any_allocator : testing::Test {
    static Highway make() {
        if constexpr (std::is_same_v<Highway, owned_highway>) {
            return owned_highway({.lane_bytes = 64 * kib});
        } else {
            return Highway({.lanes = {mib}});
        }
    }
    Highway one = make(), two = make();
    template <class T>
    using alloc = allocator<T, Highway>;
};
using allocator_highways = testing::Types<owned_highway, heap_highway, mapping_highway>;
TYPED_TEST_SUITE(any_allocator, allocator_highways);

TYPED_TEST(any_allocator, is_an_allocator_of_the_standards_kind) {
    using a = allocator<int, TypeParam>;
    using traits = std::allocator_traits<a>;
    static_assert(std::is_same_v<typename traits::template rebind_alloc<long>, allocator<long, TypeParam>>);
    static_assert(!traits::is_always_equal::value);
    static_assert(traits::propagate_on_container_move_assignment::value && traits::propagate_on_container_swap::value);
    static_assert(!traits::propagate_on_container_copy_assignment::value);
    static_assert(std::is_nothrow_copy_constructible_v<a> && std::is_nothrow_move_constructible_v<a>);
    static_assert(std::is_nothrow_constructible_v<allocator<long, TypeParam>, const a&>);
    a x(this->one), same(this->one), other(this->two);
    allocator<long, TypeParam> rebound(x);
    EXPECT_TRUE(x == same && x == rebound && rebound == x && x == a(rebound));
    EXPECT_TRUE(x != other && rebound != other);
    EXPECT_FALSE(x == other || x != same);
    a moved(std::move(same));
    EXPECT_TRUE(same == moved);  // [allocator.requirements]: moving leaves its source as it was
    int* at = x.allocate(10);
    rebound = allocator<long, TypeParam>(moved);
    a(rebound).deallocate(at, 10);
    at = x.allocate(0);
    ASSERT_NE(at, nullptr);
    x.deallocate(at, 0);
    EXPECT_EQ(this->one.total_live(), 0u);
}

TYPED_TEST(any_allocator, containers_live_on_it) {
    {
        using text = std::basic_string<char, std::char_traits<char>, allocator<char, TypeParam>>;
        allocator<char, TypeParam> from(this->one);
        std::vector<text, allocator<text, TypeParam>> vector(from);
        std::map<std::size_t, text, std::less<>, allocator<std::pair<const std::size_t, text>, TypeParam>> map(from);
        std::unordered_map<std::size_t, std::size_t, std::hash<std::size_t>, std::equal_to<>,
                           allocator<std::pair<const std::size_t, std::size_t>, TypeParam>>
            hashed(from);
        std::deque<std::size_t, allocator<std::size_t, TypeParam>> deque(from);
        std::list<text, allocator<text, TypeParam>> list(from);
        std::vector<bool, allocator<bool, TypeParam>> bits(from);
        for (std::size_t i = 0; i < 1000; ++i) {
            vector.emplace_back(word(i).c_str(), from);
            map.emplace(i, vector.back());
            hashed.emplace(i, i * i);
            deque.push_front(i);
            list.push_back(vector.back());
            bits.push_back(i % 7 == 0);
            if (i % 4 == 0) map.erase(i / 2), list.pop_front();
        }
        for (std::size_t i = 0; i < 1000; ++i) {
            ASSERT_EQ(std::string_view(vector[i]), word(i));
            ASSERT_EQ(hashed.at(i), i * i);
            ASSERT_EQ(deque[999 - i], i);
            ASSERT_EQ(bits[i], i % 7 == 0);
        }
        for (auto& [key, value] : map) ASSERT_EQ(std::string_view(value), word(key));
        ASSERT_EQ(std::string_view(list.back()), word(999));
        EXPECT_GT(this->one.total_live(), 2000u);
        wide_objects<allocator<int, TypeParam>, 64>(from);
        wide_objects<allocator<int, TypeParam>, 4096>(from);
    }
    EXPECT_EQ(this->one.total_live(), 0u);
    EXPECT_EQ(this->two.total_live(), 0u);
}

TYPED_TEST(any_allocator, goes_with_containers_that_are_moved_and_swapped_and_stays_when_they_are_copied) {
    using numbers = std::vector<int, allocator<int, TypeParam>>;
    numbers a({1, 2, 3}, allocator<int, TypeParam>(this->one)), b({4, 5}, allocator<int, TypeParam>(this->two));
    int *at_a = a.data(), *at_b = b.data();
    swap(a, b);
    EXPECT_EQ(a.data(), at_b);
    EXPECT_EQ(a.get_allocator().home(), &this->two);
    EXPECT_EQ(b.data(), at_a);
    b = a;  // a copy: each stays where it is
    EXPECT_EQ(b.get_allocator().home(), &this->one);
    EXPECT_EQ(b, (numbers({4, 5}, allocator<int, TypeParam>(this->one))));
    b = std::move(a);
    EXPECT_EQ(b.data(), at_b);
    EXPECT_EQ(b.get_allocator().home(), &this->two);
    numbers copied(b), elsewhere(b, allocator<int, TypeParam>(this->one)), taken(std::move(b));
    EXPECT_EQ(copied.get_allocator().home(), &this->two);
    EXPECT_EQ(elsewhere.get_allocator().home(), &this->one);
    EXPECT_EQ(taken.data(), at_b);
    EXPECT_TRUE(copied == elsewhere && elsewhere == taken);
}

TYPED_TEST(any_allocator, nodes_go_from_container_to_container_of_the_same_highway) {
    using table = std::map<int, int, std::less<>, allocator<std::pair<const int, int>, TypeParam>>;
    using chain = std::list<int, allocator<int, TypeParam>>;
    {
        table a(allocator<std::pair<const int, int>, TypeParam>(this->one)), b(a.get_allocator());
        for (int i = 0; i < 100; ++i) a.emplace(i, i * i);
        const int* where = &a.at(42);
        auto node = a.extract(42);
        EXPECT_TRUE(node.get_allocator() == a.get_allocator());
        b.insert(std::move(node));
        EXPECT_EQ(&b.at(42), where);
        b.merge(a);
        EXPECT_EQ(b.size(), 100u);
        EXPECT_TRUE(a.empty());
        auto outlives = b.extract(7);
        b.clear();
        EXPECT_EQ(outlives.mapped(), 49);
        chain c({1, 2, 3}, allocator<int, TypeParam>(this->one)), d(c.get_allocator());
        const int* first = &c.front();
        d.splice(d.end(), c);
        EXPECT_EQ(&d.front(), first);
    }
    EXPECT_EQ(this->one.total_live(), 0u);
}

TYPED_TEST(any_allocator, shared_pointers_may_end_in_another_thread) {
    std::vector<std::shared_ptr<std::uint64_t>> kept;
    for (std::uint64_t i = 0; i < 2000; ++i) {
        kept.push_back(std::allocate_shared<std::uint64_t>(allocator<std::uint64_t, TypeParam>(this->one), i));
    }
    EXPECT_EQ(this->one.total_live(), 2000u);
    std::atomic<std::size_t> broken{0};
    in_new_thread([&] {
        for (std::uint64_t i = 0; i < 2000; ++i) {
            if (*kept[i] != i) broken.fetch_add(1);
            kept[i].reset();
        }
    });
    EXPECT_EQ(broken.load(), 0u);
    EXPECT_EQ(this->one.total_live(), 0u);
}

}  // namespace
}  // namespace lanes
