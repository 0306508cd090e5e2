// Where a lane's bytes lie: the heap, a mapping, a file that is kept, a file that never has a name.
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <iostream>
#include <string>
#include <utility>

#include "expect.hpp"
#include "lanes/lane.hpp"

namespace fs = std::filesystem;

static const char* text(lanes::grant g) {
    return g == lanes::grant::granted ? "granted" : g == lanes::grant::refused ? "refused" : "not asked";
}

int main() {
    // The process's own malloc.
    lanes::heap_lane heap(1 << 20, {.alignment = 4096});
    expect(reinterpret_cast<std::uintptr_t>(heap.bytes().data()) % 4096 == 0, "aligned as asked");

    // An anonymous mapping. A refused huge page or node is no error: the storage has memory, and says what was granted.
    lanes::mapping_lane mapping(4 << 20, {.huge_pages = true, .numa_node = 0});
    std::cout << "huge pages: " << text(mapping.storage()->huge_pages())
              << ", memory of node 0: " << text(mapping.storage()->numa()) << '\n';
    expect(mapping.storage()->huge_pages() != lanes::grant::not_asked, "there is an answer");

    // A file that is kept. A fragment that is sent stays in the lane when the program goes on without it.
    fs::path path = fs::temp_directory_path() / ("lanes-example-" + std::to_string(getpid()));
    lanes::fragment_token entry;
    {
        lanes::file_lane journal(1 << 16, {.path = path, .mode = lanes::file_storage::open_mode::create, .keep = true});
        lanes::fragment first = journal.allocate(64);
        first.write(0, std::uint64_t{42});
        entry = journal.send(std::move(first));
        journal.storage()->sync(0, journal.storage()->size());  // now also after a power cut
    }

    // Opened again, perhaps by another process: what was in use is one fragment, and tokens of then name its parts.
    {
        lanes::file_lane journal(lanes::file_storage::open(path));
        lanes::fragment contents = journal.contents();
        std::cout << "reopened: " << journal.trace() << '\n';
        expect(journal.capacity() == 1 << 16 && contents.size() == 64, "the file keeps its own capacity");
        expect(contents.read<std::uint64_t>(0) == 42, "and its contents");
        expect(journal.look(entry).data() == contents.data(), "the token names them, too");
        journal.storage()->try_keep(false).value();  // the name is gone now
    }
    expect(!fs::exists(path), "no file is left");

    // A file for what does not fit into memory. It has no name, so nothing is left of it, whatever happens.
    lanes::file_lane scratch(1 << 16, {.path = fs::temp_directory_path() / "lanes-example-scratch"});
    scratch.allocate(1000).write(0, 'x');
    expect(!scratch.storage()->keeps() && !fs::exists(scratch.storage()->path()), "it never had a name");
}
