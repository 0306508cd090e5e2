"""Checks that x.hpp declares what x.cpp defines, and that system calls are made in src/os only.

Each function that a .cpp under src defines in a namespace of lanes, with external linkage, is declared in the first
header that the file includes, which is its own, or in a public header. Members are declared with their class; functions of
the products that a lower layer calls have their declaration in that layer (HOOKS). Variables are not checked: the heap's
locks stand together in src/heap/locks.hpp.

usage: check_declarations.py SOURCE_ROOT | --self-test
"""
import pathlib
import re
import sys
import tempfile

# What the product defines for the heap, and where that is declared.
HOOKS = {"read_settings": "src/heap/product.hpp", "outside_heap": "src/heap/product.hpp",
         "process_was_forked": "src/heap/product.hpp"}
TOPS = ("src", "interpose", "include")
# Calls of the kernel, by their wrappers in libc. `read`, `write`, `open` and `close` are also names of methods and of
# local functions, so those count with an explicit global scope only, as libc's must then be called.
SYSTEM_CALLS = (r"(?<![\w.>:])(?:::)?(mmap|munmap|mremap|mprotect|madvise|mbind|mincore|msync|ftruncate|fallocate|"
                r"posix_fallocate|openat|lseek|pread|pwrite|readv|writev|preadv|pwritev|fstat|fstatvfs|fsync|memfd_create|fcntl|"
                r"flock|syscall|futex|nanosleep|usleep|clock_gettime|getrlimit|setrlimit|prctl|process_vm_readv|"
                r"sched_yield|getrandom)\(|(?<!\w)::(read|write|open|close|stat|unlink|rename|getpid)\(")
# A definition at the start of a line, not a member (its name would have a scope) and not local to the file (static).
FUNCTION = re.compile(r"^(?!static\b|using\b|typedef\b|struct\b|class\b|enum\b|namespace\b|return\b|inline\b|constexpr\b|"
                      r"extern\b|#)"
                      r"(?:\[\[[^\]\n]*\]\] )*(?!static\b)(?:__attribute__\(\(.*?\)\)\) )?[A-Za-z][\w:<>,*& ]*?[ *&](\w+)"
                      r"\([^;{}]*\)[ \w]*\{", re.MULTILINE)


def without_comments(text):
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)


def functions_defined(text):
    # The end of a namespace is the only closing brace whose comment says so: keep those apart from functions' ends.
    marked = re.sub(r"^\}  // namespace.*$", "}}namespace", text, flags=re.MULTILINE)
    marked = without_comments(marked)
    marked = re.sub(r"^namespace \{\n.*?^\}\}namespace", "", marked, flags=re.DOTALL | re.MULTILINE)
    parts = re.findall(r"^namespace lanes[\w:]* \{\n(.*?)^\}\}namespace", marked, re.DOTALL | re.MULTILINE)
    return [name for part in parts for name in FUNCTION.findall(part)]


def problems_in(root):
    problems = []
    files = sorted((root / "src").rglob("*.cpp"))
    if not files:
        problems.append(f"no source files under {root}")
    public = "".join(without_comments(f.read_text(encoding="utf-8")) for f in sorted((root / "include").rglob("*.h*")))
    for file in files:
        text = file.read_text(encoding="utf-8")
        include = re.search(r'^#include "([^"]+)"', text, re.MULTILINE)
        header = next((root / top / include.group(1) for top in ("src", "include")
                       if (root / top / include.group(1)).is_file()), None) if include else None
        declared = without_comments(header.read_text(encoding="utf-8")) if header else ""
        for name in functions_defined(text):
            where = root / HOOKS[name] if name in HOOKS and "product" in file.parts else header
            declares = without_comments(where.read_text(encoding="utf-8")) if where != header else declared
            if not re.search(rf"\b{name}\(", declares + public):
                problems.append(f"{file.relative_to(root)} defines {name}, which "
                                f"{where.relative_to(root) if where else 'no header of it'} does not declare")
    for top in TOPS:
        for file in sorted((root / top).rglob("*.[chi]*")):
            if not file.is_file() or file.is_relative_to(root / "src/os"):
                continue
            for found in re.finditer(SYSTEM_CALLS, without_comments(file.read_text(encoding="utf-8"))):
                problems.append(f"{file.relative_to(root)} calls {found.group(1) or found.group(2)}: system calls are in src/os")
    return problems


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, text in {
                "src/heap/a.hpp": "namespace lanes::heap {\nvoid declared();\n// void undeclared();\n}\n",
                "src/heap/a.cpp": '#include "heap/a.hpp"\n\nnamespace lanes::heap {\nnamespace {\nvoid local() {\n}\n'
                                  "}  // namespace\n\nvoid declared() {\n    local();\n}\n"
                                  "[[gnu::noinline]] int* undeclared(int a,\n    int b) {\n    return mmap(a, b);\n}\nvoid a::method() {\n}\nstatic void own() {\n}\n"
                                  "}  // namespace lanes::heap\n",
                "src/os/os.cpp": "void* map() { return mmap(); }\n",
                "include/lanes/b.hpp": "inline void f(file& x) { x.read(1); munmap(0); ::read(0); }  // mmap(\n"}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        found = problems_in(root)
        expected = ["src/heap/a.cpp defines undeclared, which src/heap/a.hpp does not declare",
                    "src/heap/a.cpp calls mmap: system calls are in src/os",
                    "include/lanes/b.hpp calls munmap: system calls are in src/os",
                    "include/lanes/b.hpp calls read: system calls are in src/os"]
        return [] if found == expected else [f"found {found}", f"instead of {expected}"]


def main():
    problems = self_test() if sys.argv[1] == "--self-test" else problems_in(pathlib.Path(sys.argv[1]).resolve())
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
