// The errors of lanes, highways, fragments and storages: one enumeration, its category, the exception that carries it,
// and the result that the non-throwing twin of a call returns.
//
// Every call that can fail has two forms. `allocate` throws lanes::error; `try_allocate` returns a result and throws
// nothing. Both report the same errc. Refusals of the system (a full disk, a missing permission) have values of errc
// too, so that a program needs one switch and not two.
#pragma once

#if __cplusplus < 202002L
#error "lanes needs C++20 or later: -std=c++20"
#endif

#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include "lanes/lanes.h"

namespace lanes {

// Values are stable between versions of the library; new ones are added at the end.
enum class errc : int {
    not_initialised = 1,  // an empty or moved-from fragment, lane, highway or stream was used
    size_out_of_range,    // zero, or more than any lane of this kind may hold, such as a negative number cast to a size
    bad_alignment,        // not a power of two, or larger than max_alignment
    lane_full,            // no room until the next reset
    lane_closed,          // the lane hands out nothing until it is reopened
    lane_disposed,        // the lane's storage is given up
    wrong_cycle,          // the fragment is older than a forced reset of its lane
    out_of_bounds,        // a read or write past the end of a fragment
    no_such_lane,         // no lane has that index
    max_lanes_reached,    // highway_options::max_lanes
    max_bytes_reached,    // highway_options::max_bytes
    new_lane_failed,      // a new lane could not be had: the storage's own error was not one of those below
    growth_timeout,       // other threads kept the growth gate for highway_options::new_lane_timeout
    highway_disposed,     // the highway hands out nothing any more
    callback_failed,      // a callback of highway_options threw; the exception is nested in lanes::error
    too_many_fragments,   // the lane's live count is at its limit
    negative_reset,       // more was released than was handed out: a fragment's range was released twice
    not_the_owner,        // a thread-owned lane or highway was used to allocate by another thread
    fragments_alive,      // orphans of too many forced resets are alive: after one more, the oldest would look valid
    bad_option,           // an option is out of its documented range
    out_of_memory,        // the system has no memory or no address space to give
    file_not_found,       // opening a file storage that must exist
    file_exists,          // creating a file storage that must not exist
    permission_denied,    // a path or a file system that is read-only, or belongs to another user
    disk_full,            // the file system or the quota has no room for the file
    not_a_lane,           // the file or memory does not begin with a lane's header, or with one of another version
    storage_truncated,    // the file or memory is shorter than its header says
    storage_corrupt,      // the header contradicts itself
    system_failure,       // any other refusal of the system; errno of that call is in lanes::error::system_error()
    end_of_stream,        // a stream or source ended before the lane was filled
    contended,            // `tries` compare-and-swaps on the lane were lost to other threads
    wrong_gear,           // the gear of a stable_array does not allow the call, or it is being shifted
    gear_timeout,         // a gear could not be shifted in time: calls of the old gear, or another shift, went on
    array_full,           // stable_array_options::max_size
    not_innermost,        // another scope is open inside the one that was asked for scratch memory
    file_in_use,          // another storage has the file open, here or in another process
};

// One line of text that says what happened and what to do. Never fails; any thread; constant time.
LANES_API const char* message(errc) noexcept;

// The category "lanes" of std::error_code.
LANES_API const std::error_category& error_category() noexcept;

inline std::error_code make_error_code(errc e) noexcept { return {static_cast<int>(e), error_category()}; }

// What the throwing form of a call throws. `what()` has the message and, where there is one, the subject (a path, an
// index, a size).
class LANES_API error : public std::system_error {
  public:
    explicit error(errc, int system_error = 0);
    error(errc, const std::string& subject, int system_error = 0);
    ~error() override;

    errc which() const noexcept { return static_cast<errc>(code().value()); }
    // errno of the system call that was refused; 0 if none was.
    int system_error() const noexcept { return system_error_; }

  private:
    int system_error_;
};

// What memory resources and allocators throw, because their users expect std::bad_alloc. `what()` has the message.
class LANES_API bad_alloc : public std::bad_alloc {
  public:
    explicit bad_alloc(errc e) noexcept : which_(e) {}
    ~bad_alloc() override;
    errc which() const noexcept { return which_; }
    const char* what() const noexcept override { return message(which_); }

  private:
    errc which_;
};

// Throws bad_alloc(e): out of line, for the same reason as throw_error.
[[noreturn]] LANES_API void throw_bad_alloc(errc);

// Throws error(e, ...): out of line, so that a caller's hot path stays small.
[[noreturn]] LANES_API void throw_error(errc, int system_error = 0);

// A failure on its way into a result: `return failure{errc::lane_full};`.
struct failure {
    errc code;
    int system_error = 0;
};

// A T, or why there is none. Moves as T moves; asking costs one compare.
template <class T>
class [[nodiscard]] result {
  public:
    result(T value) noexcept(std::is_nothrow_move_constructible_v<T>) : value_(std::move(value)) {}
    result(failure f) noexcept : failure_(f) {}
    result(errc e) noexcept : failure_{e} {}

    bool has_value() const noexcept { return value_.has_value(); }
    explicit operator bool() const noexcept { return value_.has_value(); }

    // The value. Throws lanes::error if there is none.
    T& value() & { return require(); }
    T&& value() && { return std::move(require()); }
    // The value, which must be there.
    T& operator*() & noexcept { return *value_; }
    T&& operator*() && noexcept { return std::move(*value_); }
    T* operator->() noexcept { return &*value_; }

    // Why there is no value; errc{} (zero) if there is one.
    errc error() const noexcept { return value_ ? errc{} : failure_.code; }
    int system_error() const noexcept { return failure_.system_error; }
    failure why() const noexcept { return failure_; }

  private:
    T& require() {
        if (!value_) throw_error(failure_.code, failure_.system_error);
        return *value_;
    }

    std::optional<T> value_;
    failure failure_{};
};

// The same for calls that give nothing.
template <>
class [[nodiscard]] result<void> {
  public:
    result() noexcept = default;
    result(failure f) noexcept : failure_(f) {}
    result(errc e) noexcept : failure_{e} {}

    bool has_value() const noexcept { return failure_.code == errc{}; }
    explicit operator bool() const noexcept { return has_value(); }
    void value() const {
        if (!has_value()) throw_error(failure_.code, failure_.system_error);
    }
    errc error() const noexcept { return failure_.code; }
    int system_error() const noexcept { return failure_.system_error; }
    failure why() const noexcept { return failure_; }

  private:
    failure failure_{};
};

}  // namespace lanes

template <>
struct std::is_error_code_enum<lanes::errc> : std::true_type {};
