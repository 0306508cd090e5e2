// Storage in a file: new ones that appear complete or not at all, and those that are there already.
#include <atomic>
#include <cstdio>
#include <memory>
#include <string>

#include "lanes/storage.hpp"
#include "os/files.hpp"
#include "os/os.hpp"
#include "storage/sizes.hpp"
#include "storage/system_errors.hpp"

namespace lanes {
namespace {

constexpr unsigned all_permissions = 0777;

// Attempts at finding a free name, or at opening a file that other processes make and remove, before that is an error.
// A guess: a second failure is rare already.
constexpr int max_tries = 16;

// A new file in the making. If it is destroyed before the last step, it leaves nothing behind.
class unfinished_file {
  public:
    unfinished_file(const std::filesystem::path& target, const file_storage::options& o)
        : target_(target), permissions_(o.permissions), exclusive_(o.exclusive) {}
    unfinished_file(const unfinished_file&) = delete;
    ~unfinished_file() { drop_name(); }

    int create_unnamed() {
        int e = os::create_unnamed(target_.parent_path().c_str(), permissions_, file_);
        return e != 0 ? e : os::lock_file(file_.get(), exclusive_);
    }
    int create_beside() {
        int e = with_name_beside([this](const char* name) { return os::create_file(name, permissions_, file_); });
        return e != 0 ? e : os::lock_file(file_.get(), exclusive_);
    }

    // Gives the file the target's name. With `over`, atomically replaces a file that has the name.
    int publish(bool over) {
        if (beside_.empty()) {
            if (!over) return os::name_unnamed(file_.get(), target_.c_str());
            int e = with_name_beside([this](const char* name) { return os::name_unnamed(file_.get(), name); });
            if (e != 0) return e;
        }
        int e =
            over ? os::rename_over(beside_.c_str(), target_.c_str()) : os::rename_new(beside_.c_str(), target_.c_str());
        if (e == 0) beside_.clear();
        return e;
    }
    void drop_name() {
        if (!beside_.empty()) os::remove_name(beside_.c_str());
        beside_.clear();
    }

    int fd() const { return file_.get(); }
    int release() { return file_.release(); }

  private:
    // Calls make(name) with new names in the target's directory until one is free.
    template <class F>
    int with_name_beside(F&& make) {
        static std::atomic<std::uint64_t> count{0};
        int e = EEXIST;
        for (int i = 0; i < max_tries && e == EEXIST; ++i) {
            std::uint64_t number = os::wall_clock_ns() + (count.fetch_add(1, std::memory_order_relaxed) << 40) +
                                   (std::uint64_t{os::process_id()} << 24);
            std::string name = (target_.parent_path() / ".lanes-") += std::to_string(number);
            e = make(name.c_str());
            if (e == 0) beside_ = std::move(name);
        }
        return e;
    }

    std::filesystem::path target_;
    unsigned permissions_;
    bool exclusive_;
    os::descriptor file_;
    std::string beside_;  // its temporary name; empty: none
};

// The file's path, absolute and without symbolic links.
std::filesystem::path resolved(const std::filesystem::path& given) {
    std::error_code e;
    auto whole = std::filesystem::canonical(given, e);
    if (!e) return whole;
    auto directory = given.has_parent_path() ? given.parent_path() : std::filesystem::path(".");
    whole = std::filesystem::canonical(directory, e);
    return e ? given : whole / given.filename();
}

// Reserves the file's blocks. False: the file system cannot reserve any, which is no failure.
result<bool> reserve(int fd, std::uint64_t bytes) {
    int e = os::reserve_blocks(fd, bytes);
    switch (e) {
        case 0:
            return true;
        case ENOSPC:
        case EDQUOT:
        case EFBIG:
        case ENOMEM:
        case EIO:
        case EINTR:
            return refused(e);
        default:
            return false;
    }
}

failure not_opened(int e) {
    bool other = e == EISDIR || e == ENXIO || e == ENODEV;  // a directory, a socket, a device
    return other ? failure{errc::not_a_lane, e} : refused(e);
}

}  // namespace

file_storage::options file_storage::options::for_lane(std::size_t index) const {
    options o = *this;
    (o.path += '.') += std::to_string(index);
    return o;
}

result<file_storage> file_storage::try_create(std::uint64_t bytes, const options& o) noexcept {
    try {
        bool is_name = o.path.has_filename() && o.path.native().find('\0') == std::string::npos;
        if (!is_name || o.mode > open_mode::open_or_create || o.permissions > all_permissions) return errc::bad_option;
        return open_or_make(bytes, o);
    } catch (const std::exception&) {
        return errc::out_of_memory;  // only allocations throw in there
    }
}

result<file_storage> file_storage::try_open(const std::filesystem::path& path) noexcept {
    try {
        return try_create(1, {.path = path, .mode = open_mode::open});
    } catch (const std::exception&) {
        return errc::out_of_memory;  // copying the path threw
    }
}

result<file_storage> file_storage::open_or_make(std::uint64_t bytes, const options& o) {
    std::filesystem::path where = resolved(o.path);
    if (o.mode == open_mode::open) return open_existing(o, where);
    if (o.mode != open_mode::open_or_create) return make(bytes, o, where);
    // Between the two, another process may make or remove the file.
    result<file_storage> r = errc::file_not_found;
    for (int i = 0; i < max_tries; ++i) {
        r = open_existing(o, where);
        if (r.error() != errc::file_not_found) break;
        r = make(bytes, o, where);
        if (r.error() != errc::file_exists) break;
    }
    return r;
}

result<file_storage> file_storage::open_existing(const options& o, std::filesystem::path where) {
    os::descriptor fd;
    if (int e = os::open_file(where.c_str(), fd); e != 0) return not_opened(e);
    os::file_facts facts;
    if (int e = os::facts_of(fd.get(), facts); e != 0) return refused(e);
    if (!facts.regular) return errc::not_a_lane;
    if (int e = os::lock_file(fd.get(), o.exclusive); e != 0) return failure{errc::file_in_use, e};
    // Its former user may have removed its name or shortened it.
    os::file_facts named{};
    if (int e = os::facts_of(fd.get(), facts); e != 0) return refused(e);
    bool still_named = os::facts_of_name(where.c_str(), named) == 0 && named.file_system == facts.file_system &&
                       named.number == facts.number;
    if (!still_named) return failure{errc::file_not_found, ENOENT};
    if (facts.bytes == 0) return errc::storage_truncated;
    if (!is_storage_size(facts.bytes)) return errc::size_out_of_range;

    file_storage s;
    void* at = nullptr;
    if (int e = os::map_file(fd.get(), facts.bytes, at); e != 0) return not_opened(e);
    s.data_ = static_cast<std::byte*>(at);
    s.size_ = facts.bytes;
    s.path_ = std::move(where);
    s.file_system_ = facts.file_system;
    s.number_ = facts.number;
    s.exclusive_ = o.exclusive;
    s.keep_ = true;
    // It may have holes.
    auto room = reserve(fd.get(), facts.bytes);
    if (!room) return room.why();
    s.reserved_ = *room;
    return s;
}

result<file_storage> file_storage::make(std::uint64_t bytes, const options& o, const std::filesystem::path& where) {
    if (!is_storage_size(bytes)) return errc::size_out_of_range;
    result<file_storage> r = make(bytes, o, where, true);
    auto is = [&](errc e) { return r.error() == e; };
    if (r || is(errc::file_exists) || is(errc::disk_full) || is(errc::out_of_memory)) return r;
    // The file system may not support files without a name, or they cannot be given one (no /proc, a system call
    // filter).
    return make(bytes, o, where, false);
}

result<file_storage> file_storage::make(std::uint64_t bytes, const options& o, const std::filesystem::path& where,
                                        bool unnamed) {
    os::file_facts facts{};
    bool exists = os::facts_of_name(where.c_str(), facts) == 0;
    if (exists) {
        if (o.mode != open_mode::replace) return failure{errc::file_exists, EEXIST};
        os::descriptor old;  // a file that the caller cannot write to must not be replaced
        int e = os::open_file(where.c_str(), old);
        if (e != 0) return e == ENOENT ? failure{errc::file_exists, EEXIST} : not_opened(e);
        if (!facts.regular) return errc::not_a_lane;
    }
    unfinished_file file(where, o);
    if (int e = unnamed ? file.create_unnamed() : file.create_beside(); e != 0) return refused(e);
    if (!o.keep) file.drop_name();

    // Address space first: it is cheaper than blocks, and giving it up leaves nothing behind.
    file_storage s;
    void* at = nullptr;
    if (int e = os::map_file(file.fd(), bytes, at); e != 0) return refused(e);
    s.data_ = static_cast<std::byte*>(at);
    s.size_ = bytes;
    auto room = reserve(file.fd(), bytes);
    if (!room) return room.why();
    s.reserved_ = *room;
    if (int e = s.reserved_ ? 0 : os::set_size(file.fd(), bytes); e != 0) return refused(e);

    s.path_ = where;
    s.fresh_ = true;
    s.exclusive_ = o.exclusive;
    s.keep_ = o.keep;
    if (int e = os::facts_of(file.fd(), facts); e != 0) return refused(e);
    s.file_system_ = facts.file_system;
    s.number_ = facts.number;
    if (o.keep) {
        if (int e = file.publish(o.mode == open_mode::replace); e != 0) return refused(e);
    } else {
        if (int e = exists ? os::remove_name(where.c_str()) : 0; e != 0 && e != ENOENT) return refused(e);
        if (unnamed) s.descriptor_ = file.release();
    }
    return s;
}

file_storage::file_storage(file_storage&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      path_(std::move(other.path_)),
      file_system_(other.file_system_),
      number_(other.number_),
      descriptor_(std::exchange(other.descriptor_, -1)),
      fresh_(other.fresh_),
      reserved_(other.reserved_),
      exclusive_(other.exclusive_),
      keep_(other.keep_),
      name_is_synced_(other.name_is_synced_.load(std::memory_order_relaxed)) {}

file_storage& file_storage::operator=(file_storage&& other) noexcept {
    if (this != &other) {
        std::destroy_at(this);
        std::construct_at(this, std::move(other));
    }
    return *this;
}

file_storage::~file_storage() {
    if (data_ != nullptr) os::unmap_mapped(data_, size_);
    os::descriptor closed_here(descriptor_);
}

result<void> file_storage::try_sync(std::uint64_t from, std::uint64_t bytes) const noexcept {
    if (data_ == nullptr) return errc::not_initialised;
    if (from > size_ || bytes > size_ - from) return errc::out_of_bounds;
    if (bytes == 0) return {};
    if (int e = os::sync_mapped(data_ + from, bytes); e != 0) return refused(e);
    if (!keep_ || name_is_synced_.load(std::memory_order_relaxed)) return {};
    try {
        if (int e = os::sync_directory(path_.parent_path().c_str()); e != 0) return refused(e);
    } catch (const std::exception&) {
        return errc::out_of_memory;
    }
    name_is_synced_.store(true, std::memory_order_relaxed);
    return {};
}

result<void> file_storage::try_keep(bool keep) noexcept {
    if (data_ == nullptr) return errc::not_initialised;
    if (keep == keep_) return {};
    if (keep) {
        if (descriptor_ < 0) return errc::system_failure;
        if (int e = os::name_unnamed(descriptor_, path_.c_str()); e != 0) return refused(e);
        os::descriptor closed_here(std::exchange(descriptor_, -1));
        name_is_synced_.store(false, std::memory_order_relaxed);
    } else {
        os::file_facts named;
        int e = os::facts_of_name(path_.c_str(), named);
        if (e == 0 && named.file_system == file_system_ && named.number == number_) e = os::remove_name(path_.c_str());
        if (e != 0 && e != ENOENT) return refused(e);
    }
    keep_ = keep;
    return {};
}

}  // namespace lanes
