// Fragments: what a lane hands out. A fragment owns a range of its lane's bytes and releases it when it is destroyed.
//
//     lanes::fragment f = lane.allocate(64);
//     f.write(0, std::uint32_t{7});                  // any trivially copyable type, at any offset
//     std::span<double> numbers = f.span<double>();  // the same bytes as an array
//     auto n = f.read<std::uint32_t>(0);
//
// A fragment may be used after its lane was closed, disposed or reset by force: checked calls then say lane_closed,
// lane_disposed or wrong_cycle. Unchecked calls access the bytes without asking. The bytes stay mapped as long as the
// fragment lives; after a forced reset they may also belong to another fragment.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "lanes/detail/owned_core.hpp"
#include "lanes/error.hpp"

namespace lanes {

// A type whose bytes are its value: integers, floating point, time points, 16-byte ids, plain structs.
template <class T>
concept storable = std::is_trivially_copyable_v<T>;

// Reads and writes of a range of bytes, in three forms: throwing (checked), try_ (checked), unchecked_. Offsets and
// sizes are bytes.
//
// Checked calls ask first whether the bytes may be used (a load and a compare) and whether the range is inside; their
// errors are those of fragment::check() and out_of_bounds. Unchecked ones must be inside. None of them orders one
// thread's access to the bytes against another's. `Self` has data(), size() and check().
template <class Self>
class byte_access {
  public:
    // All bytes.
    std::span<std::byte> bytes() const {
        require(self().check());
        return unchecked_bytes();
    }
    result<std::span<std::byte>> try_bytes() const noexcept {
        if (errc e = self().check(); e != errc{}) return e;
        return unchecked_bytes();
    }
    std::span<std::byte> unchecked_bytes() const noexcept { return {self().data(), self().size()}; }

    // As many whole T as fit. Another error: bad_alignment, when the first byte is not aligned for a T.
    template <storable T>
    std::span<T> span() const {
        return try_span<T>().value();
    }
    template <storable T>
    result<std::span<T>> try_span() const noexcept {
        if (errc e = self().check(); e != errc{}) return e;
        if (reinterpret_cast<std::uintptr_t>(self().data()) % alignof(T) != 0) return errc::bad_alignment;
        return unchecked_span<T>();
    }
    template <storable T>
    std::span<T> unchecked_span() const noexcept {
        return {reinterpret_cast<T*>(self().data()), self().size() / sizeof(T)};
    }

    // The T whose bytes begin at `offset`, of any alignment.
    template <storable T>
    T read(std::uint64_t offset) const {
        require(check_range(offset, sizeof(T)));
        return unchecked_read<T>(offset);
    }
    template <storable T>
    result<T> try_read(std::uint64_t offset) const noexcept {
        if (errc e = check_range(offset, sizeof(T)); e != errc{}) return e;
        return unchecked_read<T>(offset);
    }
    template <storable T>
    T unchecked_read(std::uint64_t offset) const noexcept {
        std::array<std::byte, sizeof(T)> value;
        std::memcpy(value.data(), self().data() + offset, sizeof(T));
        return std::bit_cast<std::remove_const_t<T>>(value);  // which may have no default constructor
    }

    // Writes the bytes of `value` to `offset`, of any alignment. Gives the offset behind it, where the next one may go.
    template <storable T>
    std::uint64_t write(std::uint64_t offset, const T& value) const {
        require(check_range(offset, sizeof(T)));
        return unchecked_write(offset, value);
    }
    template <storable T>
    result<std::uint64_t> try_write(std::uint64_t offset, const T& value) const noexcept {
        if (errc e = check_range(offset, sizeof(T)); e != errc{}) return e;
        return unchecked_write(offset, value);
    }
    template <storable T>
    std::uint64_t unchecked_write(std::uint64_t offset, const T& value) const noexcept {
        std::memcpy(self().data() + offset, static_cast<const void*>(&value), sizeof(T));
        return offset + sizeof(T);
    }

    // read_bytes copies `to.size()` bytes out, beginning at `offset`; write_bytes copies all of `from` in. Both give
    // the offset behind the copied bytes. The two ranges may overlap.
    std::uint64_t read_bytes(std::uint64_t offset, std::span<std::byte> to) const {
        return try_read_bytes(offset, to).value();
    }
    result<std::uint64_t> try_read_bytes(std::uint64_t offset, std::span<std::byte> to) const noexcept {
        if (errc e = check_range(offset, to.size()); e != errc{}) return e;
        if (!to.empty()) std::memmove(to.data(), self().data() + offset, to.size());
        return offset + to.size();
    }
    std::uint64_t write_bytes(std::uint64_t offset, std::span<const std::byte> from) const {
        return try_write_bytes(offset, from).value();
    }
    result<std::uint64_t> try_write_bytes(std::uint64_t offset, std::span<const std::byte> from) const noexcept {
        if (errc e = check_range(offset, from.size()); e != errc{}) return e;
        if (!from.empty()) std::memmove(self().data() + offset, from.data(), from.size());
        return offset + from.size();
    }

    // One byte, checked or not.
    std::byte& at(std::uint64_t index) const {
        require(check_range(index, 1));
        return self().data()[index];
    }
    std::byte& operator[](std::uint64_t index) const noexcept { return self().data()[index]; }

    // A copy of all bytes. Also throws std::bad_alloc.
    std::vector<std::byte> copy() const {
        std::span<std::byte> all = bytes();
        return {all.begin(), all.end()};
    }

  private:
    static void require(errc e) {
        if (e != errc{}) [[unlikely]]
            throw_error(e);
    }
    const Self& self() const noexcept { return static_cast<const Self&>(*this); }
    errc check_range(std::uint64_t offset, std::uint64_t bytes) const noexcept {
        if (errc e = self().check(); e != errc{}) return e;
        return offset > self().size() || bytes > self().size() - offset ? errc::out_of_bounds : errc{};
    }
};

// A range of a lane's bytes, owned. Move-only. May be used, moved and released by one thread at a time, not necessarily
// the one that allocated it. data() is null and size() (bytes) zero for an empty one; both never fail and take constant
// time.
class fragment : public byte_access<fragment> {
  public:
    fragment() noexcept = default;  // empty: check() says not_initialised
    fragment(fragment&& other) noexcept : fragment(other.detach()) {}
    fragment& operator=(fragment&& other) noexcept {
        if (this != &other) {
            release();
            take(other.detach());
        }
        return *this;
    }
    ~fragment() { release(); }

    std::byte* data() const noexcept { return data_; }
    std::uint64_t size() const noexcept { return size_and_stamp_ >> 16; }
    bool empty() const noexcept { return data_ == nullptr; }
    explicit operator bool() const noexcept { return data_ != nullptr; }

    // Whether the bytes may be used: errc{} if so; not_initialised, wrong_cycle, lane_closed or lane_disposed if not. A
    // load and a compare; a call and two loads more where another process may close or reset the lane.
    errc check() const noexcept {
        if (core_ != nullptr) return core_->access(stamp());
        return data_ != nullptr ? errc{} : errc::not_initialised;
    }

    // Where the bytes lie. An empty fragment and one over a caller's buffer say slot.
    storage_type type() const noexcept { return core_ != nullptr ? core_->type() : storage_type::slot; }

    // Gives the range back now; the fragment is empty afterwards. The result is information only, nothing is left to
    // undo: errc{}; not_initialised for an empty one; wrong_cycle for one from before a forced reset; negative_reset
    // when the lane had no live fragment left (a range adopted twice; thread-owned lanes cannot tell). Cost: some five
    // instructions by the owner of a thread-owned lane; otherwise one or two atomic operations. The last release of a
    // lane resets it.
    errc release() noexcept {
        if (data_ == nullptr) return errc::not_initialised;
        parts was = detach();
        if (was.core == nullptr) return errc{};
        if (was.core->owned_by_caller()) return static_cast<detail::owned_core*>(was.core)->release_by_owner(was.stamp);
        return was.core->release(was.stamp);
    }

    // For code built on fragments: detach() takes the range out without releasing it, fragment(parts) makes a fragment
    // of it again. Never fail.
    struct parts {
        std::byte* data;
        std::uint64_t size;
        detail::lane_core* core;
        detail::fragment_stamp stamp;
    };
    explicit fragment(const parts& p) noexcept { take(p); }
    parts detach() noexcept {
        parts was{data_, size(), core_, stamp()};
        take({});
        return was;
    }
    const detail::lane_core* core() const noexcept { return core_; }

  private:
    void take(const parts& p) noexcept {
        data_ = p.data;
        core_ = p.core;
        size_and_stamp_ = p.size << 16 | p.stamp;
    }
    detail::fragment_stamp stamp() const noexcept { return static_cast<detail::fragment_stamp>(size_and_stamp_); }

    // Three words, because handing a fragment to another thread copies all of it. 48 bits of size are enough for any
    // address space.
    std::byte* data_ = nullptr;
    detail::lane_core* core_ = nullptr;  // null: nothing to release (a caller's buffer)
    std::uint64_t size_and_stamp_ = 0;   // {size : 48 | stamp : 16}
};
static_assert(sizeof(fragment) == 24);

// A fragment without a lane: a block of the process heap, or a buffer of the caller. One thread at a time.
class slot : public byte_access<slot> {
  public:
    // A block of `bytes` (1 or more) bytes of any contents. Any thread; costs a malloc. Errors: size_out_of_range,
    // bad_alignment, out_of_memory.
    explicit slot(std::uint64_t bytes, std::uint64_t alignment = 16) : slot(try_make(bytes, alignment).value()) {}
    LANES_API static result<slot> try_make(std::uint64_t bytes, std::uint64_t alignment = 16) noexcept;

    // Over bytes that stay the caller's and must outlive the slot. Not empty.
    explicit slot(std::span<std::byte> buffer) noexcept
        : held_(fragment::parts{buffer.data(), buffer.size(), nullptr, 0}) {}
    // Over a part of them. Errors: out_of_bounds, size_out_of_range (zero).
    slot(std::span<std::byte> buffer, std::uint64_t from, std::uint64_t bytes)
        : slot(try_over(buffer, from, bytes).value()) {}
    LANES_API static result<slot> try_over(std::span<std::byte> buffer, std::uint64_t from,
                                           std::uint64_t bytes) noexcept;

    // A slot of exactly one T, as value.
    template <storable T>
    static slot holding(const T& value) {
        slot made(sizeof(T), alignof(T) < 16 ? 16 : alignof(T));
        made.unchecked_write(0, value);
        return made;
    }

    std::byte* data() const noexcept { return held_.data(); }
    std::uint64_t size() const noexcept { return held_.size(); }
    errc check() const noexcept { return held_.check(); }

    // The same range as a fragment, for code that takes those; the slot is empty afterwards. Never fails.
    fragment into_fragment() && noexcept { return std::move(held_); }

  private:
    explicit slot(fragment held) noexcept : held_(std::move(held)) {}
    fragment held_;
};

}  // namespace lanes
