"""Checks that the sources stand as .clang-format says, and that no line of a source is longer than its column limit.

usage: check_format.py SOURCE_ROOT CLANG_FORMAT
To mend what it names: git ls-files '*.cpp' '*.hpp' '*.c' '*.h' | xargs clang-format -i
"""
import pathlib
import re
import subprocess
import sys

FOLDERS = ("src", "include", "interpose", "tools", "bench", "tests", "docs")
SOURCES = (".cpp", ".hpp", ".c", ".h")


def sources_in(root):
    return [f for folder in FOLDERS for f in sorted((root / folder).rglob("*")) if f.suffix in SOURCES]


def badly_formatted(files, clang_format):
    done = subprocess.run([clang_format, "--dry-run", *map(str, files)], stderr=subprocess.PIPE, text=True, check=True)
    return sorted({line.split(":")[0] for line in done.stderr.splitlines() if "-Wclang-format-violations" in line})


def too_long(files, limit):
    for file in files:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            # A word that cannot be broken, a text or an include, may be longer.
            if len(line) > limit and line.lstrip().startswith(("//", "*", "/*")):
                yield f"{file}:{number} has {len(line)} columns, more than {limit}"


def main():
    root, clang_format = pathlib.Path(sys.argv[1]), sys.argv[2]
    limit = int(re.search(r"^ColumnLimit: (\d+)", (root / ".clang-format").read_text(encoding="utf-8"), re.M)[1])
    files = sources_in(root)
    problems = [f"{name} is not formatted" for name in badly_formatted(files, clang_format)] + list(too_long(files, limit))
    for problem in problems:
        print(problem)
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())
