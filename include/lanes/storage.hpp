// Where the bytes of a lane lie: the process heap, an anonymous mapping, a file, or memory that processes share.
//
// A storage is a move-only owner of one contiguous range of bytes that never moves. It is independent of lanes: a lane
// takes a storage over, and destroys it when the lane is disposed and its last fragment has gone. A storage that was
// moved from has no bytes; it can be assigned to and destroyed. data() and size() never fail and take constant time;
// size() is in bytes.
#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "lanes/error.hpp"

namespace lanes {

enum class storage_type : std::uint8_t { process_heap, mapping, file, memfd, slot };

// "heap", "mapping", "file", "memfd", "slot". Never fails; any thread; constant time.
LANES_API const char* name_of(storage_type) noexcept;

// The largest alignment that any call takes, in bytes.
inline constexpr std::uint64_t max_alignment = std::uint64_t{1} << 30;

// What a storage must be. `options` says how to make one; `options::for_lane(index)` is the same for the lane with that
// index of a highway (a file gets a name of its own). A storage with `keeps_state` puts the lane's state beside the
// bytes, so that another process, or this one after a restart, finds it there.
template <class S>
concept storage = std::movable<S> && !std::copyable<S> &&
                  requires(const S& s, const typename S::options& o, std::uint64_t bytes, std::size_t index) {
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
        std::uint64_t alignment = 64;  // of the first byte; a power of two up to max_alignment
        options for_lane(std::size_t) const { return *this; }
    };
    static constexpr storage_type type = storage_type::process_heap;
    static constexpr bool keeps_state = false;

    // `bytes` (1 or more) bytes of any contents. Errors: size_out_of_range (zero, or about 2^63 and more, such as a
    // negative number cast to a size), bad_alignment, out_of_memory. Any thread.
    static result<heap_storage> try_create(std::uint64_t bytes, const options&) noexcept;

    heap_storage(heap_storage&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)),
          size_(std::exchange(other.size_, 0)),
          alignment_(other.alignment_) {}
    heap_storage& operator=(heap_storage&& other) noexcept;
    ~heap_storage();

    std::byte* data() const noexcept { return data_; }
    std::uint64_t size() const noexcept { return size_; }

  private:
    heap_storage(std::byte* data, std::uint64_t size, std::align_val_t alignment) noexcept
        : data_(data), size_(size), alignment_(alignment) {}
    std::byte* data_;
    std::uint64_t size_;
    std::align_val_t alignment_;
};

// The system's answer to a request that it may refuse without harm.
enum class grant : std::uint8_t { not_asked, granted, refused };

// An anonymous mapping: its bytes are zero, and each page takes memory only once it is touched.
class LANES_API mapping_storage {
  public:
    struct options {
        std::uint64_t alignment = 0;  // of the first byte at least, a power of two up to max_alignment; it is never
                                      // less than a page (2 MiB with huge_pages), which 0 asks for
        bool huge_pages = false;      // ask for transparent huge pages; see huge_pages() for the answer
        std::optional<int> numa_node = {};  // prefer memory of this node; see numa() for the answer
        options for_lane(std::size_t) const { return *this; }
    };
    static constexpr storage_type type = storage_type::mapping;
    static constexpr bool keeps_state = false;

    // `bytes` (1 or more) bytes of zero, rounded up to pages. A refused huge page or node is no error: the memory is
    // there, and huge_pages() and numa() say so. Errors: size_out_of_range, bad_alignment, bad_option (a negative
    // node), out_of_memory. Any thread.
    static result<mapping_storage> try_create(std::uint64_t bytes, const options&) noexcept;

    mapping_storage(mapping_storage&&) noexcept;
    mapping_storage& operator=(mapping_storage&&) noexcept;
    ~mapping_storage();

    std::byte* data() const noexcept { return data_; }
    std::uint64_t size() const noexcept { return size_; }
    // Granted: the system may back the range with huge pages, at the first touch or later. Also refused if the range is
    // shorter than a huge page, or huge pages are turned off for the machine or the process.
    grant huge_pages() const noexcept { return huge_pages_; }
    // Granted: pages come from that node as long as it has free ones. Also refused if there is no such node.
    grant numa() const noexcept { return numa_; }

    // Gives the memory behind [from, from + bytes) back to the system, as far as it is whole pages; it reads as zero
    // afterwards. The part past the end of the storage is ignored. Returns the bytes given back. The range must not be
    // in use. Never fails; any thread; a system call.
    std::uint64_t purge(std::uint64_t from, std::uint64_t bytes) const noexcept;

  private:
    mapping_storage() = default;
    std::byte* data_ = nullptr;
    std::uint64_t size_ = 0;
    grant huge_pages_ = grant::not_asked, numa_ = grant::not_asked;
};

// A file, mapped shared: what is written is in the file, also when the process is killed (after a power cut only what
// sync() has confirmed). Its blocks are reserved when it is made, so that a full disk is an error here and not a signal
// at a later write; where the file system cannot reserve blocks, reserved() says so. If the file is shortened while it
// is mapped, every access past its new end is a SIGBUS, as with any mapped file.
//
// Only one storage at a time may have a file open, in all processes: a second lane over it would treat the live
// fragments of the first as leftovers. (This needs a file system with locks. Another file may still take the name with
// `replace`.)
//
// A new file gets its name in the last step, when it has its size and its blocks: no process sees an incomplete one,
// and an error or a kill before that leaves no file. (On file systems without unnamed files it is called
// `.lanes-NUMBER` meanwhile.)
class LANES_API file_storage {
  public:
    enum class open_mode : std::uint8_t {
        create,   // must not exist
        replace,  // a new file takes the name of an existing one, which must be writable for the caller. Existing
                  // mappings of the old file stay valid. When the call fails, the old file has not changed
        open,     // must exist; its contents and its size stay
        open_or_create,
    };
    struct options {
        std::filesystem::path path = {};  // of the file itself; for_lane appends ".INDEX". A symbolic link is followed
                                          // if it leads to a file; one that leads nowhere counts as an existing file
        open_mode mode = open_mode::create;
        bool keep = false;            // whether a new file stays when the storage goes. false: it never has a name, so
                                      // that a killed process leaves none, and costs a descriptor as long as it lives.
                                      // An existing file that is opened stays in any case, until try_keep(false)
        unsigned permissions = 0600;  // of a new file, less the umask
        bool exclusive = true;  // whether this is the only storage that has the file open, in any process. Lanes need
                                // that; false shares plain bytes with other storages that are opened with false
        options for_lane(std::size_t index) const;
    };
    static constexpr storage_type type = storage_type::file;
    static constexpr bool keeps_state = true;

    // For a new file, `bytes` (1 or more) bytes of zero. An existing file that is opened keeps its own size, whatever
    // `bytes` says; it is an error if it is empty (storage_truncated). Errors: size_out_of_range, bad_option (no file
    // name in the path; no such mode; more than 0777), file_not_found (also the directory of a new file), file_exists,
    // file_in_use (to be opened, and another storage has it open or a child of fork still has that one's memory),
    // permission_denied (read-only path, another user's file), not_a_lane (a directory, a device), disk_full,
    // out_of_memory (address space), system_failure. Any thread.
    static result<file_storage> try_create(std::uint64_t bytes, const options&) noexcept;

    // A file that is there, of the size that it has, to stay: try_create with open_mode::open.
    static result<file_storage> try_open(const std::filesystem::path&) noexcept;
    static file_storage open(const std::filesystem::path& path) { return try_open(path).value(); }

    file_storage(file_storage&&) noexcept;
    file_storage& operator=(file_storage&&) noexcept;
    ~file_storage();

    std::byte* data() const noexcept { return data_; }
    std::uint64_t size() const noexcept { return size_; }
    bool fresh() const noexcept { return fresh_; }          // it was made by this call, and is zero
    bool reserved() const noexcept { return reserved_; }    // its blocks are allocated on the disk
    bool exclusive() const noexcept { return exclusive_; }  // no other storage has it open
    bool keeps() const noexcept { return keep_; }           // it has a name, and stays when the storage goes
    // Absolute and without symbolic links: the same file also when the process has changed its directory.
    const std::filesystem::path& path() const noexcept { return path_; }

    // Waits until [from, from + bytes) is on the medium, and the file's name too if it has one. Errors: out_of_bounds,
    // disk_full, system_failure, and permission_denied for a directory that may not be read. Any thread.
    result<void> try_sync(std::uint64_t from, std::uint64_t bytes) const noexcept;
    void sync(std::uint64_t from, std::uint64_t bytes) const { try_sync(from, bytes).value(); }

    // Changes whether the file stays when the storage goes. false removes its name now; a file of another storage that
    // has taken the name stays. true gives its name to a file that was made without one. Errors: file_exists (the name
    // is taken), file_not_found (the directory is gone), permission_denied, system_failure if the file lost its name
    // earlier and cannot get it back. After an error nothing has changed. One thread at a time; system calls.
    result<void> try_keep(bool keep) noexcept;

  private:
    file_storage() = default;
    static result<file_storage> open_or_make(std::uint64_t bytes, const options&);
    static result<file_storage> open_existing(const options&, std::filesystem::path);
    static result<file_storage> make(std::uint64_t bytes, const options&, const std::filesystem::path&);
    static result<file_storage> make(std::uint64_t bytes, const options&, const std::filesystem::path&, bool unnamed);

    std::byte* data_ = nullptr;
    std::uint64_t size_ = 0;
    std::filesystem::path path_;
    std::uint64_t file_system_ = 0, number_ = 0;  // together they say which file it is
    int descriptor_ = -1;                         // of a file that has no name yet
    bool fresh_ = false, reserved_ = false, exclusive_ = true, keep_ = false;
    mutable std::atomic<bool> name_is_synced_ = false;  // relaxed: at worst two threads wait for the same thing
};

// Memory without a name in the file system that other processes can map: through a descriptor that a child inherits, or
// that is sent over a Unix socket.
class LANES_API memfd_storage {
  public:
    struct options {
        std::string name = "lanes";  // shown in /proc/PID/fd; no other effect
        bool inherit = false;        // whether the descriptor stays open across exec
        options for_lane(std::size_t index) const;
    };
    static constexpr storage_type type = storage_type::memfd;
    static constexpr bool keeps_state = true;

    // `bytes` (1 or more) bytes of zero. The memory is sealed: no process can shrink or grow it. Errors:
    // size_out_of_range, bad_option (a name the system refuses), out_of_memory, system_failure. Any thread.
    static result<memfd_storage> try_create(std::uint64_t bytes, const options&) noexcept;

    // Why the size is safe. If another process shrinks the memory, every access past its new end is a SIGBUS.
    enum class size_promise : std::uint8_t {
        sealed,   // no process can shrink it; a memfd that is not sealed yet is sealed by try_open
        trusted,  // the caller guarantees that no process shrinks it. For ordinary shared memory (shm_open, a file on
                  // a tmpfs), which cannot be sealed, and memfds that refuse seals
    };
    // Maps memory that another process has made, in its whole size; takes the descriptor over, also when it fails.
    // Errors: not_a_lane (no mappable memory), storage_truncated (empty, or not sealed where it has to be),
    // permission_denied (the descriptor or a seal forbids to write), out_of_memory, system_failure. Any thread.
    static result<memfd_storage> try_open(int descriptor, size_promise = size_promise::sealed) noexcept;
    static memfd_storage open(int descriptor, size_promise promise = size_promise::sealed) {
        return try_open(descriptor, promise).value();
    }

    memfd_storage(memfd_storage&&) noexcept;
    memfd_storage& operator=(memfd_storage&&) noexcept;
    ~memfd_storage();

    std::byte* data() const noexcept { return data_; }
    std::uint64_t size() const noexcept { return size_; }
    bool fresh() const noexcept { return fresh_; }
    bool sealed() const noexcept { return sealed_; }         // no process can shrink it
    int descriptor() const noexcept { return descriptor_; }  // owned by the storage; dup it to keep it

  private:
    memfd_storage() = default;
    std::byte* data_ = nullptr;
    std::uint64_t size_ = 0;
    int descriptor_ = -1;
    bool fresh_ = false, sealed_ = false;
};

static_assert(storage<heap_storage> && storage<mapping_storage> && storage<file_storage> && storage<memfd_storage>);

}  // namespace lanes
