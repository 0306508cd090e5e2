// Which shared libraries this machine has, where they lie, and what version they are.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace lanes::compare {

class installed_libraries {
  public:
    // Asks the linker's cache (ldconfig -p) and looks through the usual folders; only files for this machine count.
    installed_libraries();

    // Of the libraries whose name is `stem` or begins with `stem` and a dot ("libmimalloc.so"), the file of the highest
    // version; empty if there is none.
    std::string newest(std::string_view stem) const;

    // The file that the loader takes for a name in a NEEDED entry; empty if there is none.
    std::string file_of(const std::string& soname) const;

  private:
    std::map<std::string, std::string, std::less<>> files_;  // name -> path
};

struct library_version {
    std::string version;  // "2.0.9"; empty if nothing tells
    std::string origin;   // "Debian package libmimalloc2.0", or "built from source" for a file of no package
};

// Of the Debian package that brought the file, else from the end of its real name: "libmimalloc.so.3.4",
// "libsnmalloc-checks-0.7.5.so".
library_version version_of_library(const std::string& path);

// "3.4.3" of "mimalloc-3.4.3": what stands behind the last hyphen, if it begins with a figure; else empty.
std::string version_in_name(std::string_view name);

// The name of the other allocator that the program, or a library that it needs, links ("jemalloc"); empty if none does.
std::string linked_allocator(const std::string& executable, const installed_libraries& libraries);

}  // namespace lanes::compare
