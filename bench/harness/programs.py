"""Real programs that truly call malloc, each with a generated, seeded input in a temporary directory."""
import os
import random
import shutil
import subprocess
import time
from dataclasses import dataclass

from .measure import Run, clean_environment, failure_of, interleave, key_values
from .rows import mapped_check
from .workloads import compare_outputs


@dataclass(frozen=True)
class Program:
    name: str
    package: str
    command: tuple
    make_input: object = None    # make_input(directory) writes the files that the command names
    stdin: str = ""
    environment: tuple = ()
    quick: bool = False
    server: bool = False         # driven by redis-benchmark; killed by its own shutdown command


def write(directory, name, text):
    with open(os.path.join(directory, name), "w") as file:
        file.write(text)


def c_source(directory, functions=60):
    numbers = random.Random(1)
    parts = ["#include <stdio.h>\n#include <string.h>\n"]
    for i in range(functions):
        fields = "".join(f"    {numbers.choice(('int', 'long', 'char *', 'double'))} f{j};\n" for j in range(8))
        parts.append(f"struct s{i} {{\n{fields}}};\n")
        body = "".join(f"    if (n > {numbers.randrange(100)}) x{j} += n * {numbers.randrange(9)};"
                       f" else x{j} ^= a[{numbers.randrange(8)}];\n" for j in range(12))
        variables = "".join(f"    int x{j} = n + {j};\n" for j in range(12))
        total = " + ".join(f"x{j}" for j in range(12))
        parts.append(f"int f{i}(int n, int *a) {{\n{variables}    for (int i = 0; i < n; i++) {{\n{body}    }}\n"
                     f"    return {total};\n}}\n")
    parts.append("int main(void) {\n    int a[8] = {1, 2, 3, 4, 5, 6, 7, 8};\n    int t = 0;\n" +
                 "".join(f"    t += f{i}(t % 7, a);\n" for i in range(functions)) + "    printf(\"%d\\n\", t);\n}\n")
    write(directory, "big.c", "".join(parts))


def small_c_source(directory):
    c_source(directory, functions=15)


def cpp_source(directory):
    numbers = random.Random(2)
    parts = ["#include <algorithm>\n#include <map>\n#include <string>\n#include <unordered_map>\n#include <vector>\n"]
    for i in range(12):
        parts.append(f"template <class T> struct t{i} {{ std::map<std::string, std::vector<T>> m;\n"
                     f"  T sum() const {{ T s{{}}; for (auto& [k, v] : m) for (auto& e : v) s += e; return s; }} }};\n"
                     f"int g{i}(int n) {{ t{i}<int> a; t{i}<std::string> b; std::unordered_map<int, std::string> u;\n"
                     f"  for (int i = 0; i < n; i++) {{\n    a.m[std::to_string(i % {numbers.randrange(3, 30)})].push_back(i);"
                     f" u[i] = std::to_string(i); b.m[u[i]].push_back(u[i]); }}\n"
                     f"  return a.sum() + static_cast<int>(b.sum().size()); }}\n")
    write(directory, "big.cpp", "".join(parts))


def xml(directory):
    numbers = random.Random(3)
    items = "".join(f'<item id="{i}"><v a="{numbers.randrange(9)}">{numbers.random()}</v><n>name {i % 977}</n></item>\n'
                    for i in range(250000))
    write(directory, "items.xml", f"<items>\n{items}</items>\n")


def json_lines(directory):
    numbers = random.Random(4)
    rows = ",".join(f'{{"id":{i},"t":[{numbers.randrange(99)},{numbers.randrange(99)}],"s":"text {i % 313}",'
                    f'"o":{{"k":{i % 7},"z":null}}}}' for i in range(60000))
    write(directory, "rows.json", f"[{rows}]")


def sql(directory):
    write(directory, "work.sql", """
create table t(id integer primary key, k text, v real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 300000)
  insert into t select i, 'key ' || (i * 7919 % 100003), i * 0.5 from n;
create index tk on t(k);
select count(*), sum(v) from t where k like 'key 1%';
select substr(k, 1, 6) g, count(*), group_concat(id) is not null from t group by g order by g limit 20;
select count(distinct upper(k) || id % 100) from t;
delete from t where id % 3 = 0;
select count(*), max(k) from t;
""")


def python_script(directory):
    write(directory, "work.py", """
import json, re, collections
total = 0
for round in range(9):
    rows = [{"id": i, "name": "n%d" % (i * 7919 % 10007), "tags": ["a%d" % (i % 17), "b"]} for i in range(9000)]
    text = json.dumps(rows)
    back = json.loads(text)
    words = collections.Counter(re.findall(r"[a-z]\\d+", text))
    groups = collections.defaultdict(list)
    for row in back:
        groups[row["name"][:3]].append((row["id"], row["tags"]))
    total += len(text) + len(words) + sum(len(g) for g in groups.values())
    tree = None
    for i in range(30000):
        tree = (i, tree if i % 100 else None, str(i))
print(total)
""")


def ruby_script(directory):
    write(directory, "work.rb", """
require 'json'
total = 0
20.times do |round|
  rows = (0...9000).map do |i|
    { 'id' => i, 'name' => "n#{i * 7919 % 10007}", 'tags' => ["a#{i % 17}", 'b' * (i % 40)] }
  end
  text = JSON.generate(rows)
  back = JSON.parse(text)
  words = text.scan(/[a-z]\\d+/).tally
  total += text.size + words.size + back.group_by { |r| r['name'][0, 3] }.size
end
puts total
""")


def perl_script(directory):
    write(directory, "work.pl", r"""
use strict; my $total = 0;
for my $round (1..4) {
  my (%h, @list);
  for my $i (0..70000) { my $k = "k" . ($i * 7919 % 50021); $h{$k} .= "v$i,"; push @list, [$i, $k]; }
  my @sorted = sort { $a->[1] cmp $b->[1] } @list[0..20000];
  for my $k (sort keys %h) { $total += length $h{$k}; my @parts = split /,/, $h{$k}; $total += @parts; }
  $total += $sorted[100][0];
}
print "$total\n";
""")


def lua_script(directory):
    write(directory, "work.lua", """
local total = 0
for round = 1, 3 do
  local t = {}
  for i = 1, 150000 do t[i] = { id = i, name = 'n' .. (i * 7919 % 10007), tags = { i % 17, 'b' } } end
  local groups = {}
  for _, r in ipairs(t) do
    local k = r.name:sub(1, 4)
    groups[k] = groups[k] or {}
    table.insert(groups[k], r.id)
  end
  for k, g in pairs(groups) do total = total + #g + #k end
end
print(total)
""")


def smt(directory):
    numbers = random.Random(5)
    count = 30
    lines = ["(set-logic QF_UFLIA)", "(declare-fun f (Int) Int)", "(declare-fun g (Int Int) Int)"]
    lines += [f"(declare-const x{i} Int)" for i in range(count)]
    lines += [f"(assert (and (>= x{i} 0) (< x{i} 40)))" for i in range(count)]
    for _ in range(600):
        a, b, c = (numbers.randrange(count) for _ in range(3))
        lines.append(f"(assert (or (< (+ (f x{a}) x{b}) (g x{c} {numbers.randrange(9)}))"
                     f" (> (f (+ x{b} {numbers.randrange(5)})) (+ x{a} x{c})) (= (g x{a} x{b}) (f x{c}))))")
    lines.append("(assert (distinct " + " ".join(f"x{i}" for i in range(count)) + "))")
    for i in range(count - 1):
        lines.append(f"(assert (distinct (f x{i}) (f x{i + 1})))")
    lines.append("(check-sat)")
    write(directory, "small.smt2", "\n".join(lines) + "\n")


PROGRAMS = (
    Program("cppcheck", "cppcheck", ("cppcheck", "-q", "--enable=all", "--max-configs=1", "big.c"), small_c_source,
            quick=True),
    Program("xmllint", "libxml2-utils", ("xmllint", "--noout", "--xpath", "count(//item[v/@a=3])", "items.xml"), xml,
            quick=True),
    Program("python3", "python3", ("python3", "work.py"), python_script,
            environment=(("PYTHONMALLOC", "malloc"), ("PYTHONHASHSEED", "0")), quick=True),
    Program("ruby", "ruby", ("ruby", "--disable-gems", "work.rb"), ruby_script),
    Program("sqlite3", "sqlite3", ("sqlite3", ":memory:"), sql, stdin="work.sql", quick=True),
    Program("jq", "jq", ("jq", "-c", "[(map(.t[0] + .id) | add), (map(.s) | unique | length)]", "rows.json"), json_lines,
            quick=True),
    Program("lua5.4", "lua5.4", ("lua5.4", "work.lua"), lua_script),
    Program("perl", "perl", ("perl", "work.pl"), perl_script, environment=(("PERL_HASH_SEED", "0"),)),
    Program("gcc", "gcc", ("gcc", "-O1", "-c", "-o", "out.o", "big.c"), c_source),
    Program("g++", "g++", ("g++", "-std=c++17", "-O1", "-c", "-o", "out.o", "big.cpp"), cpp_source),
    Program("clang", "clang", ("clang", "-O1", "-c", "-o", "out.o", "big.c"), c_source),
    Program("z3", "z3", ("z3", "small.smt2"), smt),
    Program("redis", "redis-server", ("redis-server",), server=True),
)


def where(program):
    """A program of the distribution, not a version manager's shell script of the same name."""
    return shutil.which(program, path="/usr/bin:/bin:/usr/local/bin")


def missing(program):
    wanted = [program.command[0]] + (["redis-benchmark", "redis-cli"] if program.server else [])
    return [p for p in wanted if where(p) is None]


def measure_program(program, launcher, allocators, runs, directory, progress):
    own = os.path.join(directory, program.name)
    os.makedirs(own, exist_ok=True)
    if program.make_input:
        program.make_input(own)
    command = [where(program.command[0]), *program.command[1:]]
    options = {"environment": dict(program.environment), "directory": own,
               "stdin": os.path.join(own, program.stdin) if program.stdin else None}

    def one_run(allocator):
        if program.server:
            run = serve(launcher, allocator, command, own)
        else:
            run = launcher.run("spawn", allocator, command, **options)
        run.values["cpu_s"] = run.values.get("user_s", 0.0) + run.values.get("system_s", 0.0)
        return run

    results = interleave(allocators, runs, True, one_run, progress, program.name)
    compare_outputs(results, "output differs from the system's")
    for allocator in allocators:
        if allocator.path and not program.server and not results.failure(allocator.name):
            progress.say(f"{program.name}: is {allocator.name} mapped?")
            results.checks[allocator.name] = mapped_check(launcher, allocator, command, **options)
    return results


REDIS_LOAD = ("-q", "-n", "150000", "-r", "100000", "-d", "100", "-P", "16", "-t", "set,get,lpush,hset")


def serve(launcher, allocator, command, directory):
    """Starts the server, drives it from outside, lets it shut itself down; the server alone is measured.

    Debian's redis-server links jemalloc: "system" needs a preload of its own to be glibc's malloc."""
    socket = os.path.join(directory, "socket")
    arguments = ["--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--daemonize", "no"]
    if os.path.exists(socket):
        os.unlink(socket)
    server, reading = launcher.start(
        "spawn", allocator, command + arguments, preload=launcher.path("libsystem_malloc.so"), cwd=directory,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean_environment())
    quiet = {"env": clean_environment(), "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    failure = ""
    with os.fdopen(reading) as report:
        pid = int(report.readline().split()[1])
        deadline = time.monotonic() + 10
        while not os.path.exists(socket) and server.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        library = os.path.realpath(allocator.path or launcher.path("libsystem_malloc.so"))
        try:
            with open(f"/proc/{pid}/maps") as maps:
                if library not in maps.read():
                    failure = "preload without effect"
        except OSError:
            failure = "server did not start"
        try:
            load = subprocess.run([where("redis-benchmark"), "-s", socket, *REDIS_LOAD], timeout=launcher.timeout,
                                  **quiet)
            if load.returncode != 0 and not failure:
                failure = f"redis-benchmark exit {load.returncode}"
        except subprocess.TimeoutExpired:
            failure = "timeout"
        try:
            subprocess.run([where("redis-cli"), "-s", socket, "shutdown", "nosave"], timeout=20, **quiet)
        except subprocess.TimeoutExpired:
            pass  # the launcher's own timeout ends the server
        values = key_values(report.read())
    server.wait()
    return Run(values, "", failure or failure_of(values))
