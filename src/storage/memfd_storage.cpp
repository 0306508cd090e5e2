// Storage in memory behind a file descriptor, which processes share.
#include <memory>

#include "lanes/storage.hpp"
#include "os/files.hpp"
#include "storage/sizes.hpp"
#include "storage/system_errors.hpp"

namespace lanes {
namespace {

// Its file system lies in memory, so no room for the file means no memory.
failure refused_memory(int system_error) {
    failure f = refused(system_error);
    if (f.code == errc::disk_full) f.code = errc::out_of_memory;
    return f;
}

}  // namespace

memfd_storage::options memfd_storage::options::for_lane(std::size_t index) const {
    options o = *this;
    o.name.append(1, '.').append(std::to_string(index));
    return o;
}

result<memfd_storage> memfd_storage::try_create(std::uint64_t bytes, const options& o) noexcept {
    if (!is_storage_size(bytes)) return errc::size_out_of_range;
    if (o.name.find('\0') != std::string::npos) return errc::bad_option;
    os::descriptor fd;
    if (int e = os::create_memory_file(o.name.c_str(), o.inherit, fd); e != 0) {
        return e == EINVAL ? failure{errc::bad_option, e} : refused_memory(e);
    }
    if (int e = os::set_size(fd.get(), bytes); e != 0) return refused_memory(e);
    if (int e = os::seal_size(fd.get()); e != 0) return refused(e);

    memfd_storage s;
    void* at = nullptr;
    if (int e = os::map_file(fd.get(), bytes, at); e != 0) return refused_memory(e);
    s.data_ = static_cast<std::byte*>(at);
    s.size_ = bytes;
    s.descriptor_ = fd.release();
    s.fresh_ = s.sealed_ = true;
    return s;
}

result<memfd_storage> memfd_storage::try_open(int descriptor, size_promise wanted) noexcept {
    os::descriptor fd(descriptor);
    memfd_storage s;
    // Sealed before its size is read, so that it cannot shrink in between.
    s.sealed_ = os::sealed_against_shrinking(fd.get());
    os::file_facts facts;
    if (int e = os::facts_of(fd.get(), facts); e != 0) return failure{errc::not_a_lane, e};
    if (!facts.regular) return errc::not_a_lane;
    if (facts.bytes == 0 || (wanted == size_promise::sealed && !s.sealed_)) return errc::storage_truncated;

    void* at = nullptr;
    if (int e = os::map_file(fd.get(), facts.bytes, at); e != 0) {
        return e == ENODEV ? failure{errc::not_a_lane, e} : refused_memory(e);
    }
    s.data_ = static_cast<std::byte*>(at);
    s.size_ = facts.bytes;
    s.descriptor_ = fd.release();
    return s;
}

memfd_storage::memfd_storage(memfd_storage&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      fresh_(other.fresh_),
      sealed_(other.sealed_) {}

memfd_storage& memfd_storage::operator=(memfd_storage&& other) noexcept {
    if (this != &other) {
        std::destroy_at(this);
        std::construct_at(this, std::move(other));
    }
    return *this;
}

memfd_storage::~memfd_storage() {
    if (data_ != nullptr) os::unmap_mapped(data_, size_);
    os::descriptor closed_here(descriptor_);
}

}  // namespace lanes
