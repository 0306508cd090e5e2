// Micro benchmarks of whatever allocator is preloaded (or of the system's):
//
//   LD_PRELOAD=liblanes_malloc.so build/bench/micro/micro --benchmark_filter=pair
//
// Times drift on shared machines: compare allocators by interleaved runs (`lanes bench micro`), never by two runs an
// hour apart.
#include <benchmark/benchmark.h>
#include <dlfcn.h>

#include <cstdlib>

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    Dl_info found;
    void* used = dlsym(RTLD_DEFAULT, "malloc");
    benchmark::AddCustomContext("malloc_in", dladdr(used, &found) != 0 ? found.dli_fname : "?");
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
}
