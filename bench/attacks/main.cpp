// Attacks on the allocator, one a run:
//
//   attacks CASE      runs it: exit code 0 = prevented, 10 = succeeded; a signal = the process did not survive it
//   attacks --list    the cases: name, kind, title
//   attacks --malloc  the file that malloc comes from
#include <dlfcn.h>
#include <sys/resource.h>

#include <cstdio>
#include <cstring>

#include "attack.hpp"

using namespace attack;

namespace {

const attack_case* const tables[] = {free_cases, memory_cases, size_cases, list_cases, header_cases};

template <class Visit>
const attack_case* find_case(Visit wanted) {
    for (const attack_case* table : tables) {
        for (const attack_case* one = table; one->name != nullptr; one++) {
            if (wanted(*one)) return one;
        }
    }
    return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 2 && std::strcmp(argv[1], "--list") == 0) {
        find_case([](const attack_case& one) {
            std::printf("%s\t%s\t%s\n", one.name, one.kind, one.title);
            return false;
        });
        return 0;
    }
    if (argc == 2 && std::strcmp(argv[1], "--malloc") == 0) {
        Dl_info found;
        std::puts(dladdr(dlsym(RTLD_DEFAULT, "malloc"), &found) != 0 ? found.dli_fname : "?");
        return 0;
    }
    const attack_case* chosen =
        argc == 2 ? find_case([&](const attack_case& one) { return std::strcmp(one.name, argv[1]) == 0; }) : nullptr;
    if (chosen == nullptr) {
        std::fprintf(stderr, "usage: attacks CASE | --list | --malloc; the cases are in --list\n");
        return 2;
    }
    rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    return static_cast<int>(chosen->run());
}
