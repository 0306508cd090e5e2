"""Compiles each public header alone: .h as C11 and as C++20, .hpp as C++20, without warnings.

usage: check_headers.py INCLUDE_FOLDER --c COMPILER... --cpp COMPILER...
"""
import pathlib
import subprocess
import sys

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Wno-sign-conversion", "-Werror"]


def main():
    include = pathlib.Path(sys.argv[1])
    split = sys.argv.index("--cpp")
    c, cpp = sys.argv[sys.argv.index("--c") + 1:split], sys.argv[split + 1:]
    headers = sorted(h for h in include.rglob("*") if h.suffix in (".h", ".hpp"))
    failed = not headers
    if not headers:
        print(f"no headers under {include}")
    for header in headers:
        languages = [("C++20", cpp, "c++", "-std=c++20")]
        if header.suffix == ".h":
            languages.append(("C11", c, "c", "-std=c11"))
        for name, compiler, language, standard in languages:
            # Twice, so that a missing include guard is found too.
            text = f'#include "{header.relative_to(include)}"\n' * 2
            run = subprocess.run([*compiler, "-x", language, standard, *WARNINGS, f"-I{include}", "-fsyntax-only", "-"],
                                 input=text, text=True, capture_output=True, check=False)
            print(f"{header.relative_to(include)} as {name}: {'ok' if run.returncode == 0 else 'failed'}")
            if run.returncode != 0:
                failed = True
                print(run.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
