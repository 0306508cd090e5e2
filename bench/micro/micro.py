#!/usr/bin/env python3
"""Runs micro benchmarks under the allocator that is being measured: a driver row of the suite "micro".

    micro.py MICRO FILTER [SECONDS]     MICRO: the program; FILTER: a regular expression over its benchmarks

LANES_BENCH_PRELOAD names the library, empty for the system's malloc. Prints `pair_64 4.2`: nanoseconds of CPU time
per item, of all threads together where there are several.
"""
import json
import os
import re
import subprocess
import sys


def benchmarks(program, pattern, seconds, library):
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD" and not k.startswith("LANES_BENCH_")}
    if library:
        environment["LD_PRELOAD"] = library
    done = subprocess.run([program, f"--benchmark_filter={pattern}", f"--benchmark_min_time={seconds}",
                           "--benchmark_format=json"], env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"micro.py: {os.path.basename(program)} ended with {done.returncode}: {done.stderr.strip()[-200:]}")
    report = json.loads(done.stdout)
    if library and not os.path.samefile(report["context"]["malloc_in"], library):
        sys.exit("micro.py: preload without effect")
    return report["benchmarks"]


def key_of(name):
    """`all_to_all/real_time/threads:4` -> `all_to_all_threads_4`: how the time is taken is no part of the key."""
    name = re.sub(r"/(process_time|real_time)", "", name)
    return re.sub(r"[^a-z0-9]+", "_", name).strip("_")


def main():
    if len(sys.argv) not in (3, 4):
        print(__doc__, file=sys.stderr)
        return 2
    program, pattern = sys.argv[1:3]
    seconds = sys.argv[3] if len(sys.argv) == 4 else "0.05"
    found = benchmarks(program, pattern, seconds, os.environ.get("LANES_BENCH_PRELOAD", ""))
    if not found:
        print(f"micro.py: no benchmark matches {pattern}", file=sys.stderr)
        return 1
    for one in found:
        print(f"{key_of(one['name'])} {1e9 / one['items_per_second']:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
