// Open files and reads from them that never go past their end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace lanes::tool {

class file_descriptor {
  public:
    file_descriptor() = default;
    explicit file_descriptor(int fd) : fd_(fd) {}
    file_descriptor(file_descriptor&& other) noexcept : fd_(other.release()) {}
    file_descriptor& operator=(file_descriptor&& other) noexcept;
    ~file_descriptor();

    explicit operator bool() const { return fd_ >= 0; }
    int get() const { return fd_; }
    int release();

  private:
    int fd_ = -1;
};

// An empty descriptor, with errno set, when the file cannot be opened. Never blocks on a FIFO.
file_descriptor open_for_reading(const std::string& path);

// Reads at most `size` bytes at `offset`; returns how many there were. An error reads as the end of the file, with
// errno set; errno is 0 otherwise.
std::size_t read_at(const file_descriptor& file, void* into, std::size_t size, std::uint64_t offset);

// The whole of a file without a known size, such as those in /proc; at most `most` bytes. Sets errno like read_at.
std::string read_all(const file_descriptor& file, std::size_t most = std::size_t{64} << 20);

}  // namespace lanes::tool
