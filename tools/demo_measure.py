#!/usr/bin/env python3
"""Runs cppcheck on a generated C++ file under three allocators, interleaved, and prints what each took."""
import argparse
import hashlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

SEED = 7
FUNCTIONS = 110     # about two seconds a run with system malloc
PROGRAM = "cppcheck"


def write_source(path):
    """A file of plain functions; cppcheck builds token lists, scopes and value flow for it: millions of small objects."""
    rng = random.Random(SEED)
    lines = []
    for f in range(FUNCTIONS):
        lines.append(f"struct node{f} {{ int a; int b[{rng.randint(2, 9)}]; struct node{f} *next; }};")
        lines.append(f"static int work{f}(struct node{f} *n, int x, int y) {{")
        for s in range(rng.randint(20, 40)):
            lines.append(rng.choice([
                f"  if (x > {rng.randint(0, 99)} && n->a < y) {{ x += n->b[{rng.randint(0, 1)}] * {rng.randint(1, 9)}; }}"
                f" else {{ y -= x / {rng.randint(2, 9)}; }}",
                f"  for (int i{s} = 0; i{s} < {rng.randint(2, 30)}; ++i{s}) {{ x ^= i{s} << {rng.randint(1, 5)}; n->a += x; }}",
                f"  while (n->next && n->a > {rng.randint(0, 999)}) {{ n = n->next; y++; }}",
                f"  switch (x % 5) {{ case 0: y += {s}; break; case 1: x -= y; break; default: n->b[0] = y; }}",
                f"  int v{s} = x * {rng.randint(1, 50)} + y; x = v{s} - n->a;",
            ]))
        lines.append("  return x + y;\n}")
    lines.append("int main() { return 0; }")
    with open(path, "w", encoding="utf-8") as out:
        out.write("\n".join(lines) + "\n")


def is_mapped(pid, library):
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
            return any(line.rstrip().endswith(library) for line in maps)
    except OSError:
        return False


def run_once(name, library, source, folder):
    """One run; returns its numbers and the digest of what the program wrote."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LANES_")}
    if library:
        environment["LD_PRELOAD"] = library
    output = os.path.join(folder, "output")
    to_file = [(os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
               (os.POSIX_SPAWN_DUP2, 1, 2)]
    start = time.monotonic()
    pid = os.posix_spawnp(PROGRAM, [PROGRAM, "--enable=all", "--quiet", "--max-configs=1", source], environment,
                          file_actions=to_file)
    effective = library == ""
    finished = False
    # Look early and often until the loader has mapped it, then leave the machine to the program.
    while not effective and not finished:
        effective = is_mapped(pid, os.path.realpath(library))
        if not effective:
            finished = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
            time.sleep(0.002)
    _, status, usage = os.wait4(pid, 0)
    wall = time.monotonic() - start
    with open(output, "rb") as file:
        text = file.read()
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        sys.stderr.write(text.decode(errors="replace")[-2000:])
        sys.exit(f"demo: {PROGRAM} ended with {code} under {name}; its last output is above")
    if not effective:
        sys.exit(f"demo: '{library}' was not loaded into {PROGRAM}; `lanes doctor {PROGRAM}` says why")
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "rss": usage.ru_maxrss / 1024,
            "faults": usage.ru_minflt + usage.ru_majflt}, hashlib.sha256(text).hexdigest()


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--folder", required=True)
    arguments.add_argument("--mimalloc", required=True)
    arguments.add_argument("--rounds", type=int, default=5)
    options = arguments.parse_args()
    if options.rounds < 1:
        sys.exit("demo: the number of rounds must be at least 1")
    allocators = [("system malloc", ""), ("mimalloc", options.mimalloc),
                  ("lanes", os.path.abspath(os.path.join(options.folder, "interpose/liblanes_malloc.so")))]
    for name, library in allocators:
        if library and not os.path.exists(library):
            sys.exit(f"demo: the library of {name} is missing: {library}")

    runs = {name: [] for name, _ in allocators}
    outputs = {}
    version = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"\n{version} on a generated C++ file (seed {SEED}), one warm-up and {options.rounds} rounds, interleaved")
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "generated.cpp")
        write_source(source)
        for round_number in range(options.rounds + 1):
            label = f"round {round_number} of {options.rounds}" if round_number else "warm-up"
            print(f"  {label:<14}", end="", flush=True)
            for name, library in allocators:
                numbers, digest = run_once(name, library, source, folder)
                outputs.setdefault(digest, name)
                if round_number:
                    runs[name].append(numbers)
                print(f"  {name} {numbers['wall']:.2f} s", end="", flush=True)
            print()
    if len(outputs) != 1:
        sys.exit(f"demo: the outputs differ between {' and '.join(outputs.values())}; this is a defect, please report it")

    print(f"\n{'medians':<16}{'wall time':>16}{'user+sys':>16}{'peak RSS':>18}{'page faults':>18}")
    middle = {name: {key: statistics.median(run[key] for run in rows) for key in rows[0]} for name, rows in runs.items()}
    base = middle["system malloc"]
    for name, row in middle.items():
        ratio = {key: f"{row[key] / base[key]:.2f}x" for key in row}
        cells = [f"{row['wall']:.2f} s {ratio['wall']}", f"{row['cpu']:.2f} s {ratio['cpu']}",
                 f"{row['rss']:.1f} MiB {ratio['rss']}", f"{row['faults']:.0f} {ratio['faults']}"]
        print(f"{name:<16}{cells[0]:>16}{cells[1]:>16}{cells[2]:>18}{cells[3]:>18}")
    print("(ratios are to system malloc; less is better. The program's output was the same in all runs,")
    print(" and each library was seen in the memory of the process that it was measured in.)")
    print(f"\nNext, with a program of yours:\n  {options.folder}/tools/lanes run --summary -- your-command")
    print("Would it work there, and why not?\n  " f"{options.folder}/tools/lanes doctor your-command")


if __name__ == "__main__":
    main()
