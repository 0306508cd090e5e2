// The errors: every code has a text of its own, and result says the same as the exception.
#include "lanes/error.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>

namespace {

using lanes::errc;

constexpr int last = static_cast<int>(errc::file_in_use);

TEST(error, every_code_has_a_text_of_its_own) {
    std::set<std::string> texts;
    for (int code = 0; code <= last; ++code) {
        std::string text = lanes::message(static_cast<errc>(code));
        EXPECT_NE(text, "unknown error") << code;
        EXPECT_TRUE(texts.insert(text).second) << text;
    }
    EXPECT_STREQ(lanes::message(static_cast<errc>(last + 1)), "unknown error");
}

TEST(error, a_code_compares_with_the_standard_s_conditions) {
    std::error_code full = errc::disk_full;
    EXPECT_EQ(full.category(), lanes::error_category());
    EXPECT_EQ(full, std::errc::no_space_on_device);
    EXPECT_EQ(std::error_code(errc::out_of_memory), std::errc::not_enough_memory);
    EXPECT_NE(std::error_code(errc::lane_full), std::errc::no_space_on_device);
    EXPECT_STREQ(full.category().name(), "lanes");
}

TEST(error, the_exception_carries_code_subject_and_what_the_system_said) {
    lanes::error thrown(errc::permission_denied, "/a/path", EACCES);
    EXPECT_EQ(thrown.which(), errc::permission_denied);
    EXPECT_EQ(thrown.system_error(), EACCES);
    std::string what = thrown.what();
    EXPECT_NE(what.find("/a/path"), std::string::npos) << what;
    EXPECT_NE(what.find("Permission denied"), std::string::npos) << what;
    EXPECT_NE(what.find(lanes::message(errc::permission_denied)), std::string::npos) << what;
}

TEST(result, gives_its_value_or_throws_its_error) {
    lanes::result<std::unique_ptr<int>> good = std::make_unique<int>(7);
    ASSERT_TRUE(good);
    EXPECT_EQ(good.error(), errc{});
    EXPECT_EQ(*std::move(good).value(), 7);

    lanes::result<std::unique_ptr<int>> bad = lanes::failure{errc::disk_full, ENOSPC};
    EXPECT_FALSE(bad);
    EXPECT_EQ(bad.error(), errc::disk_full);
    try {
        bad.value();
        FAIL() << "no exception";
    } catch (const lanes::error& e) {
        EXPECT_EQ(e.which(), errc::disk_full);
        EXPECT_EQ(e.system_error(), ENOSPC);
    }
}

TEST(result, of_nothing_is_good_until_it_is_told_otherwise) {
    lanes::result<void> good;
    EXPECT_TRUE(good);
    EXPECT_NO_THROW(good.value());
    lanes::result<void> bad = errc::no_such_lane;
    EXPECT_FALSE(bad);
    EXPECT_THROW(bad.value(), lanes::error);
}

}  // namespace
