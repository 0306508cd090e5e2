"""sqlite3, redis and PostgreSQL: load, query, change, fork, and check that nothing was lost."""

import pathlib
import re
import signal
import time

import generate
from harness import Run, free_port


def sqlite(run: Run):
    build = """
        CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, x REAL, parent INTEGER, note BLOB);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 80000)
          INSERT INTO item SELECT i, printf('name-%05d', (i * 7919) % 100003), i / 8.0, (i * 31) % i,
            zeroblob(i % 200) FROM n;
        CREATE INDEX by_name ON item(name); CREATE INDEX by_parent ON item(parent, x);
        CREATE VIRTUAL TABLE text USING fts5(body);
        INSERT INTO text SELECT name || ' ' || replace(hex(id), '3', ' three ') FROM item WHERE id % 5 = 0;
        DELETE FROM item WHERE id % 11 = 3; UPDATE item SET note = zeroblob(3) || name WHERE id % 7 = 2;
    """
    ask = """
        SELECT count(*), sum(x), sum(length(note)) FROM item;
        SELECT a.parent, count(*), max(b.name) FROM item a JOIN item b ON a.parent = b.id
          GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 30;
        SELECT name, rank() OVER (PARTITION BY id % 10 ORDER BY x DESC) AS r FROM item ORDER BY r, name LIMIT 40;
        WITH RECURSIVE up(id, depth) AS (SELECT 79999, 0 UNION ALL SELECT parent, depth + 1
          FROM item JOIN up USING (id))
          SELECT group_concat(id), max(depth) FROM up;
        SELECT count(*) FROM text WHERE text MATCH 'three NEAR name';
        SELECT json_group_array(json_object('id', id, 'name', name)) FROM (SELECT * FROM item ORDER BY name LIMIT 500);
        SELECT group_concat(name, ',') FROM (
          SELECT DISTINCT substr(name, 1, 8) AS name FROM item ORDER BY 1 LIMIT 4000);
        EXPLAIN QUERY PLAN SELECT * FROM item WHERE name LIKE 'name-1%' AND parent = 4;
    """
    run.same("memory", "sqlite3", "-bail", ":memory:", stdin=build + ask + "PRAGMA integrity_check;")
    journal = "PRAGMA journal_mode=WAL; PRAGMA cache_size=-1500; PRAGMA page_size=8192;"
    check = "PRAGMA integrity_check; VACUUM; ANALYZE;"
    run.same("file", "sqlite3", "-bail", "a.db", stdin=journal + build + ask + check)
    run.same("threads", "sqlite3", "-bail", "a.db", stdin="PRAGMA threads=2; PRAGMA temp_store=MEMORY;"
             "PRAGMA cache_size=500; CREATE INDEX later ON item(x, name, note);"
             "PRAGMA integrity_check; PRAGMA foreign_key_check;" + ask)
    run.keep("dump", run.out("sqlite3", "-readonly", "a.db", stdin=".dump item\n").encode())
    rows = "\n".join(f"{row['id']},{row['name']},{row['x']}" for row in generate.rows(40000))
    run.write("rows.csv", rows + "\n")
    run.same("import", "sqlite3", "-bail", "b.db", stdin="CREATE TABLE r(id, name, x);\n.import --csv rows.csv r\n"
             "ATTACH 'a.db' AS a; SELECT count(*), sum(r.x) FROM r JOIN a.item i ON i.id = r.id;"
             "PRAGMA integrity_check;\n.backup c.db\n")
    run.same("backup", "sqlite3", "c.db", "SELECT count(*), total(x), max(name) FROM r; PRAGMA quick_check;")


def _redis_commands():
    """The same keys of every type in every run, some overwritten, some deleted."""
    for n, word in enumerate(generate.words(50000)):
        kind, key = n % 6, n % 9000
        yield {0: f"SET s:{key} {word * (n % 40 + 1)}", 1: f"HSET h:{key % 900} {word} {word * 3}",
               2: f"RPUSH l:{key % 300} {word}", 3: f"ZADD z:{key % 500} {n} {word}",
               4: f"SADD t:{key % 700} {word}", 5: f"DEL s:{(n * 7) % 9000}"}[kind]
        if n % 50 == 0:
            yield f"APPEND big {word * 400}"


def redis(run: Run):
    port = free_port()
    cli = ["redis-cli", "-h", "127.0.0.1", "-p", str(port)]
    config = ["--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", run.directory,
              "--enable-debug-command", "local", "--logfile", run.directory / "redis.log"]
    benchmark = ["redis-benchmark", "-h", "127.0.0.1", "-p", str(port), "-q", "-c", "20", "-P", "8", "-r", "5000",
                 "-d", "200"]

    def ask(*arguments):
        return run.out(*cli, *arguments).strip()

    def answers():
        return run.call(*cli, "ping").stdout == b"PONG\n"

    with run.server("redis-server", *config, ready=answers):
        run.check("errors: 0" in run.out(*cli, "--pipe", stdin="".join(f"{line}\r\n" for line in _redis_commands())),
                  "redis refused commands")
        run.keep("keys", ask("dbsize"))
        run.keep("digest", ask("debug", "digest"))
        script = ("local n = 0 for i = 1, 20000 do redis.call('SET', KEYS[1] .. i, string.rep(ARGV[1], i % 300))"
                  " n = n + i % 300 end return n")
        run.keep("script", ask("eval", script, "1", "lua:", "x"))
        run.keep("sorted", ask("sort", "l:7", "alpha", "desc", "limit", "0", "40"))
        run.keep("digest after the script", ask("debug", "digest"))
        bench = run.out(*benchmark, "-n", "6000", "-t",
                        "set,get,incr,lpush,rpush,lpop,sadd,hset,zadd,zpopmin,lrange_100,mset")
        rates = re.findall(r"([\d.]+) requests per second", bench)
        run.keep("benchmarks", len(rates))
        run.check(len(rates) >= 12 and min(map(float, rates)) > 0, f"redis-benchmark said {bench}")
        before = ask("debug", "digest"), ask("dbsize")
        ask("bgsave")
        run.keep("write while the child saves", ask("set", "during", "x" * 5000))
        _wait_while(run, ask, "rdb_bgsave_in_progress:1")
        run.check("rdb_last_bgsave_status:ok" in ask("info", "persistence"), "BGSAVE failed")
        ask("del", "during")
        run.keep("reload", ask("debug", "reload"))
        run.check((ask("debug", "digest"), ask("dbsize")) == before, "DEBUG RELOAD changed the data")
        _redis_memory(run, ask)
        run.keep("purge", ask("memory", "purge"))
        ask("flushall", "async")
        run.keep("empty", ask("dbsize"))
        run.out(*cli, "--pipe", stdin="".join(f"{line}\r\n" for line in _redis_commands()))
        run.keep("digest of the second time", ask("debug", "digest"))
        ask("save")
    threads = ["--io-threads", "2", "--io-threads-do-reads", "yes"]   # one thread frees what another has read
    with run.server("redis-server", *config, *threads, ready=answers):      # reads the dump of another process
        run.keep("digest after a restart", ask("debug", "digest"))
        run.out(*benchmark, "-n", "3000", "--threads", "2", "-t", "get")
        ask("config", "set", "appendonly", "yes")                     # forks a child that writes the whole log
        _wait_while(run, ask, "aof_rewrite_in_progress:1", "aof_rewrite_scheduled:1")
        run.check("aof_last_bgrewrite_status:ok" in ask("info", "persistence"), "the child that writes the log failed")
        run.keep("reload of the log", ask("debug", "loadaof"))
        run.keep("digest of the log", ask("debug", "digest"))


def _wait_while(run: Run, ask, *states):
    deadline = time.monotonic() + 30
    while any(state in ask("info", "persistence") for state in states):
        run.check(time.monotonic() < deadline, f"redis stays in {' '.join(states)}")
        time.sleep(0.02)


def _redis_memory(run: Run, ask):
    """What Redis shows of the allocator comes from mallctl. INFO's mem_allocator does not: it is compiled in."""
    if not run.verify:
        return
    info = dict(line.split(":", 1) for line in ask("info", "memory").replace("\r", "").split("\n") if ":" in line)
    used, allocated, resident = (int(info[k]) for k in ("used_memory", "allocator_allocated", "allocator_resident"))
    run.check(0.95 * used <= allocated <= 3 * used + 2**22,
              f"INFO: used_memory {used}, allocator_allocated {allocated}")
    run.check(allocated <= resident, f"INFO: allocator_allocated {allocated}, allocator_resident {resident}")
    statistics = ask("memory", "malloc-stats")
    run.check("lanes" in statistics, f"MEMORY MALLOC-STATS does not name lanes: {statistics[:300]}")


def postgres(run: Run):
    run.drop_root("postgres", "nobody")
    programs = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    data = run.directory / "data"
    where = ["-h", str(run.directory), "-U", "lanes"]
    run.out(programs / "initdb", "-D", data, "-U", "lanes", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8",
            "--no-sync")

    def ask(query, database="postgres"):
        return run.out(programs / "psql", *where, "-X", "-At", "-d", database, "-c", query).strip()

    def answers():
        return run.call(programs / "psql", *where, "-X", "-d", "postgres", "-c", "SELECT 1").returncode == 0

    # A unix socket in the directory of this run needs no port; the number is only part of the socket's name.
    settings = {"listen_addresses": "", "unix_socket_directories": run.directory, "max_connections": "20",
                "fsync": "off", "shared_buffers": "32MB", "work_mem": "1MB", "log_min_messages": "warning",
                "min_parallel_table_scan_size": "0", "parallel_setup_cost": "0", "parallel_tuple_cost": "0",
                "jit_above_cost": "1e9"}
    arguments = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    with run.server(programs / "postgres", "-D", data, *arguments, ready=answers, stop=signal.SIGINT):
        ask("CREATE DATABASE bench")
        bench = [programs / "pgbench", *where]
        run.out(*bench, "-i", "-q", "-s", "3", "bench")
        for name, options, count in (("TPC-B", ["-t", "400"], 1600), ("select only", ["-S", "-t", "2500"], 10000),
                                     ("prepared", ["-S", "-M", "prepared", "-t", "2500"], 10000),
                                     ("a connection each", ["-S", "-C", "-t", "40"], 160)):
            said = run.out(*bench, "-n", "-c", "4", "-j", "2", *options, "bench")
            run.check(f"transactions actually processed: {count}/{count}" in said and "failed transactions: 0 " in said,
                      f"pgbench {name} said {said}")
        sums = ask("SELECT sum(abalance) FROM pgbench_accounts UNION ALL SELECT sum(bbalance) FROM pgbench_branches"
                   " UNION ALL SELECT sum(tbalance) FROM pgbench_tellers"
                   " UNION ALL SELECT sum(delta) FROM pgbench_history",
                   "bench")
        run.check(len(set(sums.split())) == 1, f"accounts, branches, tellers and history differ: {sums}")
        run.keep("history", ask("SELECT count(*) FROM pgbench_history", "bench"))
        ask("CREATE TABLE item AS SELECT i AS id, md5(i::text) AS name, (i * 7919) % 1000 AS part,"
            " array[i, i * 2] AS pair, jsonb_build_object('k', i, 't', repeat('x', i % 50)) AS doc"
            " FROM generate_series(1, 60000) i", "bench")
        ask("CREATE INDEX ON item(name); CREATE INDEX ON item USING gin(doc); ANALYZE item", "bench")
        for name, query in QUERIES.items():
            run.keep(name, ask(query, "bench"))
        permanent = ("SELECT string_agg(pid::text, ' ') FROM pg_stat_activity"
                     " WHERE backend_type IN ('checkpointer', 'walwriter')")
        for pid in ask(permanent).split():
            run.expect_loaded(pid)
        dump = run.out(programs / "pg_dump", *where, "-t", "item", "bench")
        run.keep("dump", re.sub(r"(?m)^\\(un)?restrict .*", "", dump).encode())         # a fresh token in every dump
        run.keep("vacuum", ask("VACUUM FULL item", "bench"))
        run.keep("checked", ask("SELECT count(*), sum(id), sum(length(name)) FROM item", "bench"))


QUERIES = {
    "join": "SELECT a.part, count(*), max(b.name) FROM item a JOIN item b ON b.id = a.part + 1"
            " GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 30",
    "sort on disk": "SELECT md5(string_agg(name, ',' ORDER BY name DESC)) FROM item",
    "window": "SELECT id, rank() OVER (PARTITION BY part ORDER BY name) r FROM item ORDER BY r DESC, id LIMIT 30",
    "json": "SELECT count(*) FROM item WHERE doc @> '{\"k\": 4711}' OR doc->>'t' LIKE 'xxx%'",
    "text": "SELECT sum(length(regexp_replace(name, '([a-f]+)([0-9])', '\\2\\1', 'g'))),"
            " count(DISTINCT substr(name, 1, 3)) FROM item",
    "recursion": "WITH RECURSIVE n(i, s) AS (SELECT 1, '1' UNION ALL SELECT i + 1, s || i FROM n WHERE i < 2000)"
                 " SELECT max(i), max(length(s)) FROM n",
    "function": "DO $$ DECLARE t text := ''; BEGIN FOR i IN 1..20000 LOOP t := left(t || i, 5000); END LOOP; END $$",
}
