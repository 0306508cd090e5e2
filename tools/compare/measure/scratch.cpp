// A folder for what a comparison needs while it runs.
#include "tools/compare/measure/scratch.hpp"

#include <stdlib.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

namespace lanes::compare {

namespace fs = std::filesystem;

scratch_folder::scratch_folder() {
    const char* parent = std::getenv("TMPDIR");
    path_ = fs::absolute(parent != nullptr && *parent != 0 ? parent : "/tmp") / "lanes-compare-XXXXXX";
    if (mkdtemp(path_.data()) == nullptr) throw std::system_error(errno, std::generic_category(), path_);
    // A server that refuses to run as root is given another account, which has to get through to its row's folder.
    fs::permissions(path_, fs::perms::owner_all | fs::perms::group_exec | fs::perms::others_exec);
}

scratch_folder::~scratch_folder() { remove(path_); }

std::string scratch_folder::folder(const std::string& name) const {
    fs::path made = fs::path(path_) / name;
    fs::create_directories(made);
    return made;
}

void scratch_folder::remove(const std::string& folder) const {
    std::error_code ignored;
    fs::remove_all(folder, ignored);
}

}  // namespace lanes::compare
