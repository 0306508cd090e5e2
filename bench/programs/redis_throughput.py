#!/usr/bin/python3
"""Redis under load: redis_throughput.py REQUESTS. redis-benchmark sets, gets, pushes and adds, 16 commands at a time.

The load has a processor of its own if there are two; the times are the server's alone."""
import os
import subprocess
import sys
import time

sys.dont_write_bytecode = True

import redis_server  # noqa: E402
import server  # noqa: E402

TESTS = "set,get,lpush,hset,zadd"


def load(requests, pin):
    command = ["/usr/bin/redis-benchmark", "-s", redis_server.SOCKET, "-q", "--csv", "-n", str(requests),
               "-r", "200000", "-d", "100", "-P", "16", "-t", TESTS]
    done = subprocess.run(command, env=server.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          preexec_fn=lambda: os.sched_setaffinity(0, pin), check=False)
    tests = done.stdout.decode().count("\n") - 1            # one line a test, below a heading
    if done.returncode != 0 or tests != len(TESTS.split(",")):
        raise server.Failed(f"redis-benchmark: exit code {done.returncode}, {tests} tests done: "
                            f"{done.stderr.decode(errors='replace').strip()[-200:]}")
    return tests * requests


def main(arguments):
    requests = int(arguments[0])
    for_server, for_load = server.processors()
    with redis_server.Redis(pin=for_server) as redis:
        began = time.monotonic()
        total = load(requests, for_load)
        wall = time.monotonic() - began
        values = {"wall_s": wall, "throughput_per_s": total / wall, "peak_rss_kib": redis.memory_kib("VmHWM"),
                  "used_memory_mib": redis.used_memory() / 2**20}
        time.sleep(2)
        values["settled_rss_kib"] = redis.memory_kib("VmRSS")
        redis.stop()
        usage = redis.usage
    server.report({**values, "user_s": usage.ru_utime, "system_s": usage.ru_stime,
                   "cpu_s": usage.ru_utime + usage.ru_stime, "page_faults": usage.ru_minflt + usage.ru_majflt})


server.driver(main)
