"""Checks that includes point down between the folders.

    interpose, src/product > config > heap > route > ground > stats > os, base
                             arena > lane > storage > os, base          (the C++ API beside the heap)
    tools/lanes > tools/compare/{measure, report} > tools/compare/judge > tools/support > tools/instruments

usage: check_layers.py SOURCE_ROOT | --self-test
"""
import pathlib
import re
import sys
import tempfile

# What each folder may include besides itself. Public headers (include/lanes) may be included by all but os, base and stats.
OS = {"src/os", "src/base"}
GROUND = OS | {"src/stats"}
HEAP = GROUND | {"src/ground", "src/route"}
API = OS | {"src/storage"}
SUPPORT = {"tools/support", "tools/instruments", "src/stats", "src/config"}
BELOW = {
    "src/os": {"src/base"},
    "src/base": {"src/os"},
    "src/stats": OS,
    "src/ground": GROUND,
    "src/route": OS,
    "src/heap": HEAP,
    "src/config": HEAP | {"src/heap"},
    "src/storage": OS,
    "src/lane": API,
    "src/arena": API | {"src/lane", "src/ground"},
    "include/lanes": set(),
    "tools/instruments": set(),
    "tools/support": SUPPORT,
    "tools/compare/judge": {"tools/support"},
    "tools/compare/measure": {"tools/support", "tools/compare/judge"},
    "tools/compare/report": {"tools/support", "tools/compare/judge"},
}
NO_PUBLIC_HEADERS = {"src/os", "src/base", "src/stats"}
# The libraries use nothing of these; the tools use nothing of the first two.
TESTS = ("tests/", "bench/")
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
    files = [f for top in ("src", "interpose", "include", "tools") for f in sorted((root / top).rglob("*"))
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
            if (to + "/").startswith(TESTS) or ((to + "/").startswith("tools/") and not folder.startswith("tools")):
                problems.append(f"{where}: {'tools do' if folder.startswith('tools') else 'libraries do'} not use {to}")
            elif layer is None or to == layer or to.startswith(layer + "/"):
                continue    # interpose/, src/product and tools/lanes may use everything
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
                           "src/heap/heap.hpp": "#include <ground/ground.hpp>\n#include <vector>\n#include \"heap/gone.hpp\"\n",
                           "tools/support/file.hpp": '#include "tools/compare/judge/result.hpp"\n',
                           "tools/compare/judge/result.hpp": "#include <vector>\n"}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        found = problems_in(root)
        expected = ["src/heap/heap.hpp includes heap/gone.hpp, which does not exist",
                    "src/os/os.hpp includes ground/ground.hpp: src/os may include only src/base",
                    "tools/support/file.hpp includes tools/compare/judge/result.hpp: tools/support may include only "
                    "src/config, src/stats, tools/instruments, tools/support"]
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
