// What the tests of storage in a file share: a directory with or without the one file of the test.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "lanes/storage.hpp"
#include "tests/storage/storage_support.hpp"

namespace lanes::test {

using mode = file_storage::open_mode;

constexpr std::uint64_t bytes = 3 * 4096 + 5;

// Every test ends with as many descriptors as it began with.
struct with_a_directory : ::testing::Test {
    scratch_directory directory;
    std::filesystem::path path = directory / "file";
    std::size_t descriptors = open_descriptors();

    result<file_storage> make(mode how, bool keep, std::uint64_t size = bytes) const {
        return file_storage::try_create(size, {.path = path, .mode = how, .keep = keep});
    }
    // Together with others.
    result<file_storage> share(mode how) const {
        return file_storage::try_create(bytes, {.path = path, .mode = how, .keep = true, .exclusive = false});
    }
    // A file that is there before: `text` over and over, of a size of its own.
    void write_file(char text, std::size_t size = 6000) const { std::ofstream(path) << std::string(size, text); }
    bool is_file_of(char text, std::size_t size = 6000) const { return contents_of(path) == std::string(size, text); }

    void TearDown() override { EXPECT_EQ(open_descriptors(), descriptors); }
};

}  // namespace lanes::test
