#!/usr/bin/python3
"""PostgreSQL: postgres.py ROUNDS. A new database in a folder of its own, one table, then ROUNDS times the queries.

A backend's memory contexts take blocks of 1 KiB to 8 MiB from malloc. Times, faults and peak RSS are those of the
server and its backends."""
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True

import server  # noqa: E402

SETTINGS = {"listen_addresses": "", "max_connections": "10", "fsync": "off", "shared_buffers": "16MB", "jit": "off",
            "work_mem": "16MB", "autovacuum": "off", "max_parallel_workers_per_gather": "0", "max_wal_senders": "0",
            "wal_level": "minimal", "synchronous_commit": "off", "log_min_messages": "fatal"}
TABLE = """CREATE TABLE item AS SELECT i AS id, md5(i::text) AS name, (i * 7919) % 1000 AS part,
             jsonb_build_object('k', i, 't', repeat('x', i % 50), 'a', jsonb_build_array(i, i * 2)) AS doc
           FROM generate_series(1, 60000) i;"""
QUERIES = """
SELECT a.part, count(*), max(b.name) FROM item a JOIN item b ON b.id = a.part + 1
  GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5;
SELECT md5(string_agg(name, ',' ORDER BY name DESC)) FROM item;
SELECT id, rank() OVER (PARTITION BY part ORDER BY name) r FROM item ORDER BY r DESC, id LIMIT 5;
SELECT count(*), sum((doc->'a'->>1)::int) FROM item WHERE doc->>'t' LIKE 'xxx%' AND doc @> '{}';
SELECT sum(length(regexp_replace(name, '([a-f]+)([0-9])', '\\2\\1', 'g'))), count(DISTINCT substr(name, 1, 3))
  FROM item;
SELECT md5(jsonb_agg(doc ORDER BY name)::text) FROM item WHERE id % 3 = 0;
SELECT sum(array_length(string_to_array(s, ' '), 1))
  FROM (SELECT part, array_to_string(array_agg(name), ' ') s FROM item GROUP BY part) g;
DO $$ DECLARE t text := ''; n int := 0;
  BEGIN FOR i IN 1..20000 LOOP t := left(t || i, 5000); n := n + length(t); END LOOP; END $$;
"""


def account():
    """PostgreSQL refuses to run as root: (uid, gid) to run as, or None."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise server.Failed("PostgreSQL does not run as root, and there is no account postgres or nobody")


def programs():
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        raise server.Failed("no PostgreSQL in /usr/lib/postgresql; install the package postgresql-15")
    return found[-1]


def run(command, user, text=""):
    """A client or a tool: never under the allocator that is measured."""
    who = {"user": user[0], "group": user[1], "extra_groups": []} if user else {}
    done = subprocess.run(command, input=text.encode(), env=server.environment(), stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, check=False, **who)
    if done.returncode != 0:
        raise server.Failed(f"{command[0]}: exit code {done.returncode}: "
                            f"{done.stderr.decode(errors='replace').strip()[-300:]}")


def hand_over(folder, library, user):
    """Makes the folder the account's own, with a copy of the library: it may not be able to read that where it lies."""
    library = library and shutil.copy(library, folder)
    os.chown(folder, *user)
    may_enter = subprocess.run(["test", "-x", folder], user=user[0], group=user[1], extra_groups=[], check=False)
    if may_enter.returncode != 0:
        raise server.Failed(f"PostgreSQL does not run as root, and its account may not enter {folder}; run this in a "
                            "folder that others may enter")
    return library


def measure(folder, rounds):
    user, bin_folder = account(), programs()
    library = server.preload()
    if user:
        library = hand_over(folder, library, user)
    os.chdir(folder)
    client = [str(bin_folder / "psql"), "-h", folder, "-U", "lanes", "-X", "-At", "-d", "postgres"]
    run([str(bin_folder / "initdb"), "-D", "data", "-U", "lanes", "-A", "trust", "-E", "UTF8", "--locale=C",
         "--no-sync"], user)
    settings = {**SETTINGS, "unix_socket_directories": folder}
    command = [str(bin_folder / "postgres"), "-D", "data",
               *(word for name, value in settings.items() for word in ("-c", f"{name}={value}"))]

    def answers():
        return subprocess.run([*client, "-c", "SELECT 1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              env=server.environment(), check=False).returncode == 0

    with server.Server(command, library, user=user, stop_signal=signal.SIGINT) as postgres:
        postgres.wait_until(answers)
        began = time.monotonic()
        run([*client, "-v", "ON_ERROR_STOP=1"], None, TABLE + QUERIES * rounds)
        wall = time.monotonic() - began
        postgres.stop()
        usage = postgres.usage
    server.report({"wall_s": wall, "user_s": usage.ru_utime, "system_s": usage.ru_stime,
                   "cpu_s": usage.ru_utime + usage.ru_stime, "peak_rss_kib": usage.ru_maxrss,
                   "page_faults": usage.ru_minflt + usage.ru_majflt})


def main(arguments):
    before = os.getcwd()
    with tempfile.TemporaryDirectory(prefix="postgres-", dir=before) as folder:
        try:
            measure(folder, int(arguments[0]))
        finally:
            os.chdir(before)


server.driver(main)
