// A line of text put together on the stack, for messages from inside malloc. What does not fit is cut.
#pragma once

#include <cstddef>
#include <cstdint>

#include "os/os.hpp"

namespace lanes::os {

class line {
  public:
    line& text(const char* s) {
        while (*s != 0) put(*s++);
        return *this;
    }

    line& number(std::uint64_t n) {
        char digits[20];
        int count = 0;
        do {
            digits[count++] = static_cast<char>('0' + n % 10);
            n /= 10;
        } while (n != 0);
        while (count > 0) put(digits[--count]);
        return *this;
    }

    line& pointer(const void* p) {
        auto n = reinterpret_cast<std::uintptr_t>(p);
        text("0x");
        int shift = 60;
        while (shift > 0 && (n >> shift & 15) == 0) shift -= 4;
        for (; shift >= 0; shift -= 4) put("0123456789abcdef"[n >> shift & 15]);
        return *this;
    }

    void write() const { write_error(buffer_, length_); }
    const char* data() const { return buffer_; }
    std::size_t size() const { return length_; }

  private:
    void put(char c) {
        if (length_ < sizeof buffer_) buffer_[length_++] = c;
    }

    char buffer_[512];
    std::size_t length_ = 0;
};

}  // namespace lanes::os
