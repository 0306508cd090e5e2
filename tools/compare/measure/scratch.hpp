// A folder for what a comparison needs while it runs, removed with all that is in it.
#pragma once

#include <string>

namespace lanes::compare {

class scratch_folder {
  public:
    // In $TMPDIR, or /tmp. Throws std::system_error.
    scratch_folder();
    ~scratch_folder();
    scratch_folder(const scratch_folder&) = delete;
    scratch_folder& operator=(const scratch_folder&) = delete;

    const std::string& path() const { return path_; }
    // A folder below it, made if it is not there.
    std::string folder(const std::string& name) const;
    void remove(const std::string& folder) const;

  private:
    std::string path_;
};

}  // namespace lanes::compare
