#!/usr/bin/python3
"""A cache that is emptied and filled with something else: redis_delete.py [SCALE].

200,000 keys with values of 20 to 900 bytes, nine in ten of them deleted, MEMORY PURGE (jemalloc's purge through
mallctl; without effect where there is no such call), then 30,000 values of 1500 bytes. RSS after each step. SCALE
(default 1) divides the numbers of keys."""
import sys
import time

sys.dont_write_bytecode = True

import redis_server  # noqa: E402
import server  # noqa: E402

BATCH = 5000
SETTLE_S = 3
# Redis seeds its Lua's random numbers the same way for each script, so each batch is given a seed of its own; the
# deletions another one than the sizes, or the smallest values would be the survivors.
FILL_SCRIPT = """
math.randomseed(ARGV[2])
for i = ARGV[1], ARGV[2] do
  redis.call('SET', 'key:' .. i, string.rep('x', math.random(20, 900)))
end
"""
DELETE_SCRIPT = """
math.randomseed(ARGV[2] + 1000003)
for i = ARGV[1], ARGV[2] do
  if math.random(10) > 1 then redis.call('DEL', 'key:' .. i) end
end
"""
REFILL_SCRIPT = """
for i = ARGV[1], ARGV[2] do
  redis.call('SET', 'big:' .. i, string.rep('y', 1500))
end
"""


def run_in_batches(redis, script, count):
    for first in range(1, count + 1, BATCH):
        redis.ask("EVAL", script, 0, first, min(first + BATCH - 1, count))


def main(arguments):
    scale = int(arguments[0]) if arguments else 1
    values = {}

    def note_rss(redis, step):
        values[step + "_rss_mib"] = redis.memory_kib("VmRSS") / 1024

    with redis_server.Redis() as redis:
        run_in_batches(redis, FILL_SCRIPT, 200000 // scale)
        note_rss(redis, "filled")
        run_in_batches(redis, DELETE_SCRIPT, 200000 // scale)
        note_rss(redis, "deleted")
        time.sleep(SETTLE_S)
        note_rss(redis, "idle")
        values["live_mib"] = redis.used_memory() / 2**20
        redis.ask("MEMORY", "PURGE")
        note_rss(redis, "purged")
        run_in_batches(redis, REFILL_SCRIPT, 30000 // scale)
        note_rss(redis, "refilled")
        values.update(refilled_live_mib=redis.used_memory() / 2**20, keys=redis.ask("DBSIZE"), cpu_s=redis.cpu_s(),
                      peak_rss_kib=redis.memory_kib("VmHWM"))
    server.report(values)


server.driver(main)
