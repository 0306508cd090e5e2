// An ordinary program that does a bit of everything and prints a number that must not depend on the allocator; the
// loader driver runs it in unusual surroundings. Paths of plugins come as arguments: [DEEPBIND_PLUGIN
// THREAD_LOCAL_PLUGIN]
#include <dlfcn.h>
#include <iconv.h>
#include <langinfo.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

[[noreturn]] void die(const char* what) {
    std::fprintf(stderr, "failed: %s (%s)\n", what, dlerror());
    std::exit(1);
}

unsigned long work(unsigned seed) {
    std::map<std::string, std::vector<int>> index;
    for (unsigned i = 0; i < 3000; ++i) {
        seed = seed * 1664525 + 1013904223;
        index["key " + std::to_string(seed % 500)].push_back(static_cast<int>(i));
        if (i % 7 == 0) index.erase(index.begin());
    }
    unsigned long sum = 0;
    for (auto& [key, values] : index) sum = sum * 31 + key.size() + values.size();
    try {
        throw std::runtime_error("text of an exception that is long enough to need the heap");
    } catch (const std::exception& e) {
        sum += std::strlen(e.what());
    }
    return sum;
}

void use_what_the_loader_allocates() {
    for (int i = 0; i < 20; ++i) {
        if (dlopen("/no/such/library.so", RTLD_NOW) != nullptr || dlerror() == nullptr) die("dlerror");
        if (dlsym(RTLD_DEFAULT, "no_such_symbol") != nullptr || dlerror() == nullptr) die("dlerror of dlsym");
    }
    for (const char* name : {"C.UTF-8", "C", "no_SUCH", "C.UTF-8"}) {
        setlocale(LC_ALL, name);
        locale_t l = newlocale(LC_ALL_MASK, name, static_cast<locale_t>(nullptr));
        if (l != static_cast<locale_t>(nullptr)) {
            locale_t copy = duplocale(l);
            freelocale(l);
            freelocale(copy);
        }
    }
    iconv_t conversion = iconv_open("UTF-16", "UTF-8");
    if (conversion != reinterpret_cast<iconv_t>(-1)) iconv_close(conversion);
    setenv("A_VARIABLE", "one", 1);
    for (int i = 0; i < 200; ++i) setenv("A_VARIABLE", std::string(static_cast<std::size_t>(i) * 30, 'v').c_str(), 1);
    unsetenv("A_VARIABLE");
}

void use_deepbind_plugin(const char* path) {
    void* plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    if (plugin == nullptr) die(path);
    auto allocate = reinterpret_cast<void* (*)(std::size_t)>(dlsym(plugin, "plugin_allocate"));
    auto aligned = reinterpret_cast<void* (*)(std::size_t, std::size_t)>(dlsym(plugin, "plugin_allocate_aligned"));
    auto copy = reinterpret_cast<char* (*)(const char*)>(dlsym(plugin, "plugin_copy"));
    auto works_alone = reinterpret_cast<int (*)()>(dlsym(plugin, "plugin_works_alone"));
    auto malloc_address = reinterpret_cast<void* (*)()>(dlsym(plugin, "plugin_malloc_address"));
    const char* preloaded = getenv("LD_PRELOAD");
    if (preloaded != nullptr && preloaded[0] != 0 && malloc_address() == dlsym(RTLD_DEFAULT, "malloc"))
        die("the plugin is not bound to libc");
    if (works_alone() == 0) die("plugin_works_alone");
    for (std::size_t n : {std::size_t{1}, std::size_t{24}, std::size_t{100}, std::size_t{1000}, std::size_t{5000},
                          std::size_t{100000}, std::size_t{1000000}, std::size_t{20000000}}) {
        for (int i = 0; i < 10; ++i) {
            auto* block = static_cast<char*>(allocate(n));
            std::size_t usable = malloc_usable_size(block);  // 0 says that it is not known
            if (block == nullptr || (usable != 0 && usable < n)) die("usable size of a plugin's block");
            if (i % 2 == 0) {
                block = static_cast<char*>(realloc(block, n * 2));
                if (block == nullptr || block[0] != 5 || block[n - 1] != 5) die("realloc of a plugin's block");
            }
            free(block);
            free(aligned(64, n));
        }
    }
    free(copy("a text"));
}

void use_thread_local_plugin(const char* path) {
    for (int round = 0; round < 20; ++round) {
        void* plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (plugin == nullptr) die(path);
        auto use = reinterpret_cast<std::size_t (*)()>(dlsym(plugin, "plugin_use"));
        pthread_barrier_t barrier;
        pthread_barrier_init(&barrier, nullptr, 2);
        std::thread user([&] {
            use();
            pthread_barrier_wait(&barrier);
            pthread_barrier_wait(&barrier);
        });
        pthread_barrier_wait(&barrier);
        dlclose(plugin);
        pthread_barrier_wait(&barrier);
        user.join();
        pthread_barrier_destroy(&barrier);
    }
}

// Objects that are freed after main has returned.
struct late {
    std::unique_ptr<std::string> text = std::make_unique<std::string>(500, 'l');
    ~late() {
        text = std::make_unique<std::string>(100000, 'm');
        std::free(std::malloc(300));
        std::free(std::calloc(1, 3000000));
    }
};
late static_object;
std::vector<late>* leaked_on_purpose = new std::vector<late>(10);

void at_exit() {
    static void* of_first_call;
    if (of_first_call == nullptr) {
        of_first_call = std::malloc(70000);
        std::atexit(at_exit);
    } else {
        std::free(of_first_call);
    }
    work(5);
}

}  // namespace

int main(int argc, char** argv) {
    std::atexit(at_exit);
    static late function_static;
    unsigned long sum = work(1);
    unsigned long of_threads[6];
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 6; ++i) {
        threads.emplace_back([&of_threads, i] {
            use_what_the_loader_allocates();
            of_threads[i] = work(i + 2);
        });
    }
    for (auto& t : threads) t.join();
    for (unsigned long s : of_threads) sum = sum * 131 + s;
    use_what_the_loader_allocates();
    if (argc > 1 && argv[1][0] != 0) use_deepbind_plugin(argv[1]);
    if (argc > 2 && argv[2][0] != 0) use_thread_local_plugin(argv[2]);
    // A thread that is still running when main returns.
    std::thread([] {
        for (;;) std::free(std::malloc(1000));
    }).detach();
    pid_t child = fork();
    if (child == 0) _exit(work(1) != 0 ? 0 : 1);
    int status = -1;
    if (waitpid(child, &status, 0) != child || status != 0) die("the child");
    std::printf("sum %lu malloc from %s\n", sum, [] {
        Dl_info info{};
        return dladdr(dlsym(RTLD_DEFAULT, "malloc"), &info) != 0 ? info.dli_fname : "?";
    }());
    return 0;
}
