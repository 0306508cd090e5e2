"""Compilers, build and debugging tools: objects must have the same bytes, programs the same output."""

import generate
from harness import Run


def _compile(run: Run, compiler, level):
    source = run.write("work.cpp", generate.cpp_source())
    objects = run.directory / f"{compiler}{level}.o"
    run.out(compiler, "-std=c++17", level, "-g", "-c", source, "-o", objects)
    run.keep(f"object {level}", objects)


def gcc(run: Run):
    _compile(run, "g++", "-O2")
    c = run.write("work.c", "\n".join(generate.c_source(i) for i in range(200)))
    run.same("assembly", "gcc", "-O3", "-S", "-o", "-", c)
    run.same("preprocessed", "g++", "-std=c++17", "-E", "-P", run.directory / "work.cpp")


def clang(run: Run):
    _compile(run, "clang++", "-O1")
    c = run.write("work.c", "\n".join(generate.c_source(i) for i in range(200)))
    run.same("intermediate code", "clang", "-O3", "-S", "-emit-llvm", "-o", "-", c)


def make(run: Run):
    count = 24
    for i in range(count):
        run.write(f"part{i}.c", generate.c_source(i))
    calls = "".join(f'    printf("%lu\\n", work_{i}(1000));\n' for i in range(count))
    declarations = "".join(f"unsigned long work_{i}(int);\n" for i in range(count))
    run.write("main.c", f"#include <stdio.h>\n{declarations}int main(void) {{\n{calls}    return 0;\n}}\n")
    run.write("Makefile", """
objects := main.o $(foreach i,$(shell seq 0 %d),part$(i).o)
squares := $(shell for i in $$(seq 500); do echo $$((i * i)); done)
program: $(objects)
\t$(CC) -o $@ $^
%%.o: %%.c
\t@echo $(words $(squares)) $(lastword $(sort $(squares))) > $*.list
\t$(CC) -O1 -c -o $@ $<
""" % (count - 1))
    run.keep("commands", "\n".join(sorted(run.out("make", "-j4").split("\n"))))
    run.keep("program", run.directory / "program")
    run.same("list", "cat", "part3.list")
    run.same("output", "./program")
    run.same("nothing left to do", "make", "-j4")


def gdb(run: Run):
    source = run.write("work.cpp", """
#include <map>
#include <string>
#include <vector>
struct row { std::string name; std::vector<int> values; };
std::map<std::string, row> table;
int deep(int n, row& r) {
    if (n == 0) return r.values.size();
    r.values.push_back(n);
    return deep(n - 1, r) + 1;
}
int main() {
    for (int i = 0; i < 20; ++i) {
        row& r = table["key" + std::to_string(i)];
        r.name = std::string(i, 'x');
        deep(i, r);
    }
    return table.size();
}
""")
    run.out("g++", "-g", "-O0", "-o", "work", source)
    commands = ["set debuginfod enabled off", "set pagination off", "set startup-with-shell off",
                "set print address off", "break deep if n == 0 && r.values.size() == 15", "run", "backtrace 20",
                "print r", "print table", "ptype row", "info source", "up 5", "info locals", "delete", "finish",
                "continue", "python print(sum(len(str(i)) for i in range(100000)))"]
    done = run.call("gdb", "-nx", "-batch", *(word for c in commands for word in ("-ex", c)), "work")
    text = done.stdout.decode(errors="replace")
    run.check("Breakpoint 1, deep (n=0" in text and "length 15" in text, f"gdb said\n{text}")
    run.keep("session", "\n".join(line for line in text.split("\n") if "process " not in line))
    run.same("symbols", "gdb", "-nx", "-batch", "-ex", "info functions deep", "-ex", "info types row", "work")


def cppcheck(run: Run):
    run.write("source/flawed.c", generate.flawed_c_source(600))
    for i in range(6):
        run.write(f"source/part{i}.c", generate.c_source(i))
    run.write("source/work.cpp", generate.cpp_source(60))
    arguments = ["--enable=all", "--inconclusive", "--max-configs=2", "--quiet", 
                 "--template={file}:{line}:{id}:{message}", "source"]
    for name, jobs in (("one process", []), ("two processes", ["-j2"])):
        found = sorted(set(run.call("cppcheck", *jobs, *arguments).stderr.decode().split("\n")))
        run.check(len(found) > 20, f"cppcheck found {len(found)} flaws only")
        run.keep(name, "\n".join(found))
