#!/usr/bin/python3
"""A cache whose values grow: redis_eviction.py wait|distinct [SCALE]. How much memory holds 100 MB of live data?

700,000 values of 240 bytes go into a Redis that may hold 100 MB and evicts at random (LRU among one sample); when it
has evicted down to its limit, 170,000 values of 492 bytes follow, and evict most of what was there. `distinct` gives
them keys of their own, `wait` uses the same keys, so that only those that were evicted are set again. After each step
Redis is waited for until used_memory is at its limit: without that the published form of this test hardly gets to its
second step. SCALE (default 1) divides all three numbers by itself."""
import sys
import time

sys.dont_write_bytecode = True

import redis_server  # noqa: E402
import server  # noqa: E402

SECOND_SIZE = 492
SETTLE_S = 2
COUNT_SCRIPT = """
local cursor, count = '0', 0
repeat
  local page = redis.call('SCAN', cursor, 'COUNT', 1000)
  cursor = page[1]
  for _, key in ipairs(page[2]) do
    if redis.call('STRLEN', key) == tonumber(ARGV[1]) then count = count + 1 end
  end
until cursor == '0'
return count
"""


def main(arguments):
    prefix = {"wait": "asdf", "distinct": "asdf2"}[arguments[0]]
    scale = int(arguments[1]) if len(arguments) > 1 else 1
    limit = 100 * 2**20 // scale
    with redis_server.Redis(maxmemory=str(limit), maxmemory_policy="allkeys-lru", maxmemory_samples="1",
                            enable_debug_command="yes") as redis:
        redis.ask("DEBUG", "POPULATE", 700000 // scale, "asdf", 240)
        redis.wait_for_eviction(limit)
        first_kib = redis.memory_kib("VmRSS")
        redis.ask("DEBUG", "POPULATE", 170000 // scale, prefix, SECOND_SIZE)
        redis.wait_for_eviction(limit)
        time.sleep(SETTLE_S)
        rss_kib = redis.memory_kib("VmRSS")
        used = redis.used_memory()
        values = {"rss_mib": rss_kib / 1024, "rss_over_used": rss_kib * 1024 / used, "used_memory_mib": used / 2**20,
                  "first_step_rss_mib": first_kib / 1024, "page_tables_mib": redis.memory_kib("VmPTE") / 1024,
                  "peak_rss_kib": redis.memory_kib("VmHWM"), "cpu_s": redis.cpu_s(), "keys": redis.ask("DBSIZE"),
                  "second_step_keys": redis.ask("EVAL", COUNT_SCRIPT, 0, SECOND_SIZE)}
    server.report(values)


server.driver(main)
