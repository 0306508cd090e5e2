// Where the bytes of a lane lie: the process heap, an anonymous mapping, a file, or memory that processes share.
//
// A storage is a move-only owner of one contiguous range of bytes that never moves. It knows nothing of lanes; a lane
// takes one over and gives it up when it is disposed and its last fragment has gone.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "lanes/error.hpp"

namespace lanes {

enum class storage_type : std::uint8_t { process_heap, mapping, file, memfd, slot };

// "heap", "mapping", "file", "memfd", "slot".
LANES_API const char* name_of(storage_type) noexcept;

// The largest alignment that any call takes, in bytes.
inline constexpr std::uint64_t max_alignment = std::uint64_t{1} << 30;

// What a storage must be. `options` says how to make one; `options::for_lane(index)` is the same for the lane with that
// index of a highway (a file gets a name of its own). A storage with `keeps_state` puts the lane's state beside the bytes,
// so that another process, or this one after a restart, finds it there.
template <class S>
concept storage =
    std::movable<S> && !std::copyable<S> && requires(const S& s, const typename S::options& o, std::uint64_t bytes, std::size_t index) {
        { S::type } -> std::convertible_to<storage_type>;
        { S::keeps_state } -> std::convertible_to<bool>;
        { S::try_create(bytes, o) } -> std::same_as<result<S>>;
        { o.for_lane(index) } -> std::same_as<typename S::options>;
        { s.data() } -> std::same_as<std::byte*>;
        { s.size() } -> std::same_as<std::uint64_t>;
    };

// Bytes of the process's own malloc: of lanes where that is preloaded, of any other malloc elsewhere.
class LANES_API heap_storage {
  public:
    struct options {
        std::uint64_t alignment = 64;   // of the first byte; a power of two up to max_alignment
        options for_lane(std::size_t) const { return *this; }
    };
    static constexpr storage_type type = storage_type::process_heap;
    static constexpr bool keeps_state = false;

    // `bytes` (1 or more) bytes of any contents. Errors: size_out_of_range, bad_alignment, out_of_memory. Any thread.
    static result<heap_storage> try_create(std::uint64_t bytes, const options&) noexcept;

    heap_storage(heap_storage&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    heap_storage& operator=(heap_storage&& other) noexcept;
    ~heap_storage();

    std::byte* data() const noexcept { return data_; }
    std::uint64_t size() const noexcept { return size_; }

  private:
    heap_storage(std::byte* data, std::uint64_t size) : data_(data), size_(size) {}
    std::byte* data_ = nullptr;
    std::uint64_t size_ = 0;
};

// What the system said to a wish that it may refuse without harm.
enum class grant : std::uint8_t { not_asked, granted, refused };

// Anonymous memory straight from the system, zero, counted by the system only as it is touched.
class LANES_API mapping_storage {
  public:
    struct options {
        std::uint64_t alignment = 0;        // of the first byte, a power of two up to max_alignment; 0: a page (2 MiB with huge_pages)
        bool huge_pages = false;            // ask for transparent huge pages; see huge_pages() for the answer
        std::optional<int> numa_node;       // prefer memory of this node; see numa() for the answer
        options for_lane(std::size_t) const { return *this; }
    };
    static constexpr storage_type type = storage_type::mapping;
    static constexpr bool keeps_state = false;

    // `bytes` (1 or more) bytes of zero, rounded up to pages. A refused huge page or node is no error: the memory is there, and
    // huge_pages() and numa() say so. Errors: size_out_of_range, bad_alignment, bad_option (a negative node), out_of_memory. Any thread.
    static result<mapping_storage> try_create(std::uint64_t bytes, const options&) noexcept;

    mapping_storage(mapping_storage&&) noexcept;
    mapping_storage& operator=(mapping_storage&&) noexcept;
    ~mapping_storage();

    std::byte* data() const noexcept { return data_; }
    std::uint64_t size() const noexcept { return size_; }
    grant huge_pages() const noexcept { return huge_pages_; }
    grant numa() const noexcept { return numa_; }

    // Gives the memory behind [from, from + bytes) back to the system, as far as it is whole pages; it reads as zero
    // afterwards. Returns the bytes given back. The range must not be in use. A system call.
    std::uint64_t purge(std::uint64_t from, std::uint64_t bytes) const noexcept;

  private:
    mapping_storage() = default;
    std::byte* data_ = nullptr;
    std::uint64_t size_ = 0;
    grant huge_pages_ = grant::not_asked, numa_ = grant::not_asked;
};

// A file, mapped shared: what is written is in the file, also when the process is killed (after a power cut only what
// sync() has confirmed). Its blocks are reserved when it is made, so that a full disk is an error here and not a signal at
// a later write; where the file system cannot reserve blocks, reserved() says so.
class LANES_API file_storage {
  public:
    enum class open_mode : std::uint8_t {
        create,             // must not exist
        replace,            // an existing file loses its contents
        open,               // must exist; its contents and its size stay
        open_or_create,
    };
    struct options {
        std::filesystem::path path;         // of the file itself; for_lane appends ".INDEX"
        open_mode mode = open_mode::create;
        bool keep = false;                  // false: the file is removed with the storage (and its name goes as soon as
                                            // the process can do without it, so that a killed process leaves none)
        unsigned permissions = 0600;        // of a new file, less the umask
        options for_lane(std::size_t index) const;
    };
    static constexpr storage_type type = storage_type::file;
    static constexpr bool keeps_state = true;

    // For a new file, `bytes` (1 or more) bytes of zero. An existing file that is opened keeps its own size, whatever `bytes`
    // says; it is an error if it is empty (storage_truncated).
    // Errors: size_out_of_range, file_not_found, file_exists, permission_denied (read-only path, somebody else's file),
    // disk_full, out_of_memory (address space), system_failure. A failed call leaves no new file behind. Any thread.
    static result<file_storage> try_create(std::uint64_t bytes, const options&) noexcept;

    file_storage(file_storage&&) noexcept;
    file_storage& operator=(file_storage&&) noexcept;
    ~file_storage();

    std::byte* data() const noexcept { return data_; }
    std::uint64_t size() const noexcept { return size_; }
    bool fresh() const noexcept { return fresh_; }            // its contents are new and zero
    bool reserved() const noexcept { return reserved_; }      // its blocks are there
    const std::filesystem::path& path() const noexcept { return path_; }

    // Waits until [from, from + bytes) is on the medium. Errors: out_of_bounds, disk_full, system_failure.
    result<void> try_sync(std::uint64_t from, std::uint64_t bytes) const noexcept;
    void sync(std::uint64_t from, std::uint64_t bytes) const { try_sync(from, bytes).value(); }

    // Decides again whether the file stays when the storage goes. Errors: system_failure if the file had no name any more
    // and cannot get one back.
    result<void> try_keep(bool keep) noexcept;

  private:
    file_storage() = default;
    std::byte* data_ = nullptr;
    std::uint64_t size_ = 0;
    std::filesystem::path path_;
    bool fresh_ = false, reserved_ = false, keep_ = false;
};

// Memory without a name in the file system, which other processes map too: inherited by a child, or sent as a file
// descriptor over a Unix socket.
class LANES_API memfd_storage {
  public:
    struct options {
        std::string name = "lanes";         // shown in /proc/PID/fd, no more than that
        bool inherit = false;               // whether the descriptor stays open across exec
        options for_lane(std::size_t index) const;
    };
    static constexpr storage_type type = storage_type::memfd;
    static constexpr bool keeps_state = true;

    // `bytes` (1 or more) bytes of zero, which the other side can neither shrink nor grow (it is sealed). Errors: size_out_of_range,
    // bad_option (a name the system refuses), out_of_memory, system_failure. Any thread.
    static result<memfd_storage> try_create(std::uint64_t bytes, const options&) noexcept;

    // Maps what another process has made; takes the descriptor over, also when it fails. A descriptor of ordinary
    // shared memory works too. Errors: not_a_lane (no mappable memory), storage_truncated (empty, or it could be shrunk under
    // our feet because it is not sealed), permission_denied, out_of_memory, system_failure.
    static result<memfd_storage> try_open(int descriptor) noexcept;

    memfd_storage(memfd_storage&&) noexcept;
    memfd_storage& operator=(memfd_storage&&) noexcept;
    ~memfd_storage();

    std::byte* data() const noexcept { return data_; }
    std::uint64_t size() const noexcept { return size_; }
    bool fresh() const noexcept { return fresh_; }
    int descriptor() const noexcept { return descriptor_; }   // stays ours; dup it to keep it

  private:
    memfd_storage() = default;
    std::byte* data_ = nullptr;
    std::uint64_t size_ = 0;
    int descriptor_ = -1;
    bool fresh_ = false;
};

static_assert(storage<heap_storage> && storage<mapping_storage> && storage<file_storage> && storage<memfd_storage>);

}  // namespace lanes
