// The main of the joint test programs: `PROGRAM NAME` runs the tests of NAME_test.cpp, `PROGRAM` runs all of them.
//
// GoogleTest's own options work on top: with --gtest_filter, that filter alone chooses.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <string_view>

namespace {

// A filter for the tests that the file defines; empty if there are none.
std::string tests_of(std::string_view name) {
    const std::string ending = "/" + std::string(name) + "_test.cpp";
    std::string filter;
    const testing::UnitTest& program = *testing::UnitTest::GetInstance();
    for (int s = 0; s < program.total_test_suite_count(); ++s) {
        const testing::TestSuite& suite = *program.GetTestSuite(s);
        for (int t = 0; t < suite.total_test_count(); ++t) {
            const testing::TestInfo& test = *suite.GetTestInfo(t);
            if (!std::string_view(test.file()).ends_with(ending)) continue;
            filter += (filter.empty() ? "" : ":") + std::string(suite.name()) + "." + test.name();
        }
    }
    return filter;
}

}  // namespace

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    if (argc > 2) {
        std::fprintf(stderr, "usage: %s [NAME] [GOOGLETEST OPTIONS]    (NAME: of a file NAME_test.cpp)\n", argv[0]);
        return 2;
    }
    if (argc == 2 && GTEST_FLAG_GET(filter) == "*") {
        std::string filter = tests_of(argv[1]);
        if (filter.empty()) {
            std::fprintf(stderr, "%s: no test is defined in a file %s_test.cpp\n", argv[0], argv[1]);
            return 2;
        }
        GTEST_FLAG_SET(filter, filter);
    }
    return RUN_ALL_TESTS();
}
