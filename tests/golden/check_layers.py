"""Checks that includes point down between the folders (design: interpose -> heap, route, observe -> ground -> os, base).

usage: check_layers.py SOURCE_ROOT | --self-test
"""
import pathlib
import re
import sys
import tempfile

# What each folder may include besides itself. Within the middle row: observe looks at the heap, the heap asks the router. Public headers (include/lanes) may be included by all but os and base.
BELOW = {
    "src/os": {"src/base"},
    "src/base": {"src/os"},
    "src/ground": {"src/os", "src/base"},
    "src/heap": {"src/route", "src/ground", "src/os", "src/base"},
    "src/observe": {"src/heap", "src/route", "src/ground", "src/os", "src/base"},
    "src/route": {"src/ground", "src/os", "src/base"},
    "src/lane": {"src/ground", "src/os", "src/base"},
    "src/arena": {"src/ground", "src/os", "src/base"},
    "include/lanes": set(),
}
NO_PUBLIC_HEADERS = {"src/os", "src/base"}
FROM_OUTSIDE = ("tests/", "tools/", "bench/")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)


def folder_of(path, root):
    return path.parent.relative_to(root).as_posix()


def target_of(name, file, root):
    """The file of ours that an include names; nothing for headers of the system."""
    for base in (file.parent, root / "src", root / "include", root):
        candidate = (base / name).resolve()
        if candidate.is_file() and candidate.is_relative_to(root):
            return candidate
    return None


def problems_in(root):
    root = root.resolve()
    files = [f for top in ("src", "interpose", "include") for f in sorted((root / top).rglob("*"))
             if f.suffix in (".hpp", ".cpp", ".h", ".c", ".inc")]
    problems = []
    if not files:
        problems.append(f"no source files under {root}")
    for file in files:
        folder = folder_of(file, root)
        layer = next((name for name in BELOW if folder == name or folder.startswith(name + "/")), None)
        for name in INCLUDE.findall(file.read_text(encoding="utf-8")):
            target = target_of(name, file, root)
            where = f"{file.relative_to(root)} includes {name}"
            if target is None:
                # A header that does not exist yet, or was moved, must not pass unseen.
                if any(name.startswith(prefix.removeprefix("src/") + "/") for prefix in BELOW):
                    problems.append(f"{where}, which does not exist")
                continue
            to = folder_of(target, root)
            if (to + "/").startswith(FROM_OUTSIDE):
                problems.append(f"{where}: libraries do not use {to}")
            elif layer is None or to == layer or to.startswith(layer + "/"):
                continue    # interpose/ and the files directly in src/ may use everything
            elif to == "include/lanes" or to.startswith("include/lanes/"):
                if layer in NO_PUBLIC_HEADERS:
                    problems.append(f"{where}: {layer} uses nothing of ours")
            elif not any(to == below or to.startswith(below + "/") for below in BELOW[layer]):
                problems.append(f"{where}: {layer} may include only {', '.join(sorted(BELOW[layer])) or 'itself'}")
    return problems


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, text in {"src/os/os.hpp": '#include "ground/ground.hpp"\n', "src/ground/ground.hpp": '#include "os/os.hpp"\n',
                           "src/heap/heap.hpp": "#include <ground/ground.hpp>\n#include <vector>\n#include \"heap/gone.hpp\"\n"}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        found = problems_in(root)
        expected = ["src/heap/heap.hpp includes heap/gone.hpp, which does not exist",
                    "src/os/os.hpp includes ground/ground.hpp: src/os may include only src/base"]
        if found != expected:
            return [f"found {found}", f"instead of {expected}"]
    return []


def main():
    problems = self_test() if sys.argv[1] == "--self-test" else problems_in(pathlib.Path(sys.argv[1]))
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
