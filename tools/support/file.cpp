// Open files and reads from them.
#include "tools/support/file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace lanes::tool {

file_descriptor& file_descriptor::operator=(file_descriptor&& other) noexcept {
    if (this != &other) {
        if (fd_ >= 0) close(fd_);
        fd_ = other.release();
    }
    return *this;
}

file_descriptor::~file_descriptor() {
    if (fd_ >= 0) close(fd_);
}

int file_descriptor::release() { return std::exchange(fd_, -1); }

file_descriptor open_for_reading(const std::string& path) {
    return file_descriptor(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
}

std::size_t read_at(const file_descriptor& file, void* into, std::size_t size, std::uint64_t offset) {
    std::size_t done = 0;
    while (done < size) {
        // A 64-bit address above the signed range is a valid place in /proc/PID/mem only for the kernel, never for us.
        ssize_t n = pread(file.get(), static_cast<char*>(into) + done, size - done, static_cast<off_t>(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return done;
        if (n == 0) break;
        done += static_cast<std::size_t>(n);
    }
    errno = 0;
    return done;
}

std::string read_all(const file_descriptor& file, std::size_t most) {
    std::string text;
    std::size_t step = 64 << 10;
    while (text.size() < most) {
        std::size_t old = text.size();
        std::size_t wanted = std::min(step, most - old);
        text.resize(old + wanted);
        std::size_t n = read_at(file, text.data() + old, wanted, old);
        text.resize(old + n);
        if (n < wanted) break;
    }
    return text;
}

}  // namespace lanes::tool
