#!/usr/bin/env python3
"""Runs the attack programs under the allocator that is being measured: the driver of the suite "attacks".

    attacks.py ATTACKS                counts, as `key value` lines
    attacks.py ATTACKS --detail       a table with the outcome of each case
    attacks.py ATTACKS --kind KIND    only the cases of one kind ("double free", "overflow", ...)

--preload or LANES_BENCH_PRELOAD names the library; without, it is the system's malloc. What became of an attack:

    caught     the allocator noticed and ended the process by itself
    prevented  the attack had no effect
    crashed    a signal ended the process, or it hung: no attacker's success, no diagnosis either
    succeeded  memory was handed out twice or where the attacker wanted it, or a neighbour's data changed unnoticed

Each case runs three times, because keys and addresses are random, and the worst outcome counts.
"""
import argparse
import collections
import os
import signal
import subprocess
import sys

REPEATS = 3
TIMEOUT_S = 20
SUCCEEDED = 10  # exit code
# How an allocator ends a process: abort, a trap instruction. A bad access is no diagnosis.
DELIBERATE = {signal.SIGABRT, signal.SIGILL, signal.SIGTRAP}
FROM_WORST_TO_BEST = ("succeeded", "crashed", "prevented", "caught")


def environment(library):
    kept = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD" and not k.startswith("LANES_BENCH_")}
    if library:
        kept["LD_PRELOAD"] = library
    return kept


def output_of(program, option, library):
    return subprocess.run([program, option], env=environment(library), check=True, capture_output=True,
                          text=True).stdout


def outcome_of(program, case, library):
    try:
        done = subprocess.run([program, case], env=environment(library), stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return "crashed"
    if done.returncode in (0, SUCCEEDED):
        return "prevented" if done.returncode == 0 else "succeeded"
    if done.returncode < 0:
        return "caught" if -done.returncode in DELIBERATE else "crashed"
    # Some allocators end the process with exit instead of abort: with a message it is a diagnosis.
    return "caught" if done.stderr else "crashed"


def worst_outcome(program, case, library):
    outcomes = {outcome_of(program, case, library) for _ in range(REPEATS)}
    return min(outcomes, key=FROM_WORST_TO_BEST.index)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("attacks", help="the program")
    parser.add_argument("--detail", action="store_true", help="one line a case")
    parser.add_argument("--kind", help="only the cases of this kind")
    parser.add_argument("--preload", default=os.environ.get("LANES_BENCH_PRELOAD", ""), help="the allocator's library")
    options = parser.parse_args()
    library = options.preload
    if library and not os.path.samefile(output_of(options.attacks, "--malloc", library).strip(), library):
        sys.exit("attacks.py: preload without effect")
    cases = [line.split("\t") for line in output_of(options.attacks, "--list", "").splitlines()]
    chosen = [case for case in cases if options.kind in (None, case[1])]
    if not chosen:
        kinds = ", ".join(sorted({kind for _, kind, _ in cases}))
        sys.exit(f"attacks.py: no kind {options.kind!r}; there are: {kinds}")
    counts = collections.Counter()
    for name, kind, title in chosen:
        outcome = worst_outcome(options.attacks, name, library)
        counts[outcome] += 1
        if options.detail:
            print(f"{outcome:<10} {name:<28} {kind}: {title}")
    for outcome in reversed(FROM_WORST_TO_BEST):
        print(outcome, counts[outcome])
    print("cases", len(chosen))
    return 0


if __name__ == "__main__":
    sys.exit(main())
