#!/usr/bin/env python3
"""Real programs under preload: each does its work without and with the library, and must give the same result.

    programs.py NAME --preload LIBRARY     run one case (exit code 0: same results, 1: not, or a program is missing)
    programs.py --list                     the names, one a line
    programs.py --packages                 the Debian packages that all cases need, one a line

A case is compared in everything it keeps (stdout, files, counts; see cases/). Besides, the preload must have taken
effect in each program that `active` names, which is seen from the statistics slot it claims, and no error of the
allocator may show up. LANES_ variables of the caller reach the preloaded run. `--no-verify` leaves the checks of the
library away and compares only, so that any other malloc can be tried.
"""

import argparse
import dataclasses
import pathlib
import shutil
import signal
import sys
import tempfile
import time
import typing

sys.dont_write_bytecode = True

import harness
from cases import compilers, coreutils, databases, git, java, languages, python, query, security, servers


@dataclasses.dataclass
class Case:
    work: typing.Callable[[harness.Run], None]
    active: list              # programs in which the library must be seen at work
    needs: dict               # command, or pattern of a path -> Debian package


PYTHON = {"python3": "python3"}
PYTHON_TESTS = PYTHON | {"/usr/lib/python3*/test/test_json": "libpython3.11-testsuite"}
GCC = {"gcc": "gcc", "g++": "g++", "as": "binutils"}
POSTGRES = {f"/usr/lib/postgresql/*/bin/{name}": "postgresql" for name in ("initdb", "pgbench", "psql")}

CASES = {
    "python-tests": Case(python.tests_of_the_library, ["python3"], PYTHON_TESTS),
    "python-threading": Case(python.threading_tests, ["python3"], PYTHON_TESTS),
    "python-multiprocessing": Case(python.multiprocessing_tests, ["python3"], PYTHON_TESTS),
    "python-malloc": Case(python.objects_from_malloc, ["python3"], PYTHON_TESTS),
    "perl": Case(languages.perl, ["perl"], {"perl": "perl-base", "prove": "perl"}),
    "ruby": Case(languages.ruby, ["ruby"], {"ruby": "ruby"}),
    "node": Case(languages.node, ["node"], {"node": "nodejs"}),
    "lua": Case(languages.lua, ["lua5.4"], {"lua5.4": "lua5.4"}),
    "bash": Case(languages.bash, ["bash"], {"bash": "bash"}),
    "java": Case(java.single_file_program, ["java"],
                 {"java": "openjdk-17-jre-headless", "javac": "openjdk-17-jdk-headless"}),
    "gcc": Case(compilers.gcc, ["g++", "cc1plus", "as"], GCC),
    "clang": Case(compilers.clang, ["clang"], {"clang++": "clang"} | GCC),
    "make": Case(compilers.make, ["make", "cc1", "collect2", "ld"], {"make": "make"} | GCC),
    "gdb": Case(compilers.gdb, ["gdb"], {"gdb": "gdb"} | GCC),
    "cppcheck": Case(compilers.cppcheck, ["cppcheck"], {"cppcheck": "cppcheck"}),
    "git": Case(git.history, ["git"], {"git": "git"}),
    "sqlite": Case(databases.sqlite, ["sqlite3"], {"sqlite3": "sqlite3"}),
    "redis": Case(databases.redis, ["redis-server", "redis-benchmark", "redis-cli"],
                  {"redis-server": "redis-server", "redis-cli": "redis-tools"}),
    "postgres": Case(databases.postgres, ["postgres", "pgbench", "psql"], POSTGRES),
    "nginx": Case(servers.nginx, ["nginx", "wrk"], {"nginx": "nginx-light", "wrk": "wrk"}),
    "xmllint": Case(query.xmllint, ["xmllint"], {"xmllint": "libxml2-utils"}),
    "jq": Case(query.jq, ["jq"], {"jq": "jq"}),
    "z3": Case(query.z3, ["z3"], {"z3": "z3"}),
    "awk": Case(query.awk, ["awk"], {"awk": "mawk"}),
    "sort": Case(coreutils.sort, ["sort"], {"sort": "coreutils"}),
    "files": Case(coreutils.files, ["ls", "find", "cp", "diff"],
                  {"ls": "coreutils", "find": "findutils", "diff": "diffutils"}),
    # gzip never calls malloc, so it cannot be seen.
    "archives": Case(coreutils.archives, ["tar", "xz"], {"tar": "tar", "gzip": "gzip", "xz": "xz-utils"}),
    "ssh-keygen": Case(security.ssh_keygen, ["ssh-keygen"], {"ssh-keygen": "openssh-client"}),
    "openssl": Case(security.openssl, ["openssl"], {"openssl": "openssl"}),
}


def missing_packages(needs):
    for need, package in needs.items():
        if need.startswith("/"):
            there = any(pathlib.Path("/").glob(need[1:]))
        else:
            there = shutil.which(need, path=harness.PATH)
        if not there:
            yield need, package


def run_once(case, base, preload, verify):
    directory = base / "work"
    directory.mkdir()
    directory.chmod(0o755)
    started = time.monotonic()
    run = harness.Run(directory, preload, verify)
    try:
        case.work(run)
        run.expect_active(case.active)
    except harness.Failed as failure:
        shown = harness.tail(run.stderr_path.read_text(errors="replace"), 10)
        raise harness.Failed(f"{'with' if preload else 'without'} preload: {failure}\nstderr ends with:\n{shown}") \
            from None
    finally:
        harness.end_orphans()
        shutil.rmtree(directory, ignore_errors=True)
    return run.results, time.monotonic() - started


def compare(case, preload, verify):
    """Exit code of one case."""
    for need, package in (missing := list(missing_packages(case.needs))):
        print(f"{need} is missing: apt-get install {package}", file=sys.stderr)
    if missing:
        return 1
    if not preload.is_file():
        print(f"{preload} is not there", file=sys.stderr)
        return 1
    base = pathlib.Path(tempfile.mkdtemp(prefix="lanes-preload-"))
    base.chmod(0o755)             # a server under another user works in there
    try:
        plain, plain_seconds = run_once(case, base, None, verify)
        preloaded, seconds = run_once(case, base, preload, verify)
    except harness.Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(base, ignore_errors=True)
    differing = harness.differences(plain, preloaded)
    for text in differing:
        print(f"differs: {text}", file=sys.stderr)
    print(f"{len(plain)} results, {len(differing)} differ; {plain_seconds:.1f} s without, {seconds:.1f} s with preload")
    return 1 if differing or not plain else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", choices=CASES, metavar="NAME")
    parser.add_argument("--preload", type=lambda text: pathlib.Path(text).absolute(), metavar="LIBRARY")
    parser.add_argument("--no-verify", action="store_true", help="the library is not lanes: compare results only")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("--packages", action="store_true", help="print the Debian packages that the cases need")
    options = parser.parse_args()
    if options.list:
        print("\n".join(CASES))
        return 0
    if options.packages:
        print("\n".join(sorted({package for case in CASES.values() for package in case.needs.values()})))
        return 0
    if not options.name or not options.preload:
        parser.error("NAME and --preload are needed")
    for number in (signal.SIGTERM, signal.SIGHUP):            # so that the servers end when meson's timeout ends us
        signal.signal(number, lambda *_: sys.exit(1))
    harness.become_subreaper()
    return compare(CASES[options.name], options.preload, not options.no_verify)


if __name__ == "__main__":
    sys.exit(main())
