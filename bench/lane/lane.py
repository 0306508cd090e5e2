#!/usr/bin/env python3
"""Compares what the C++ API of lanes costs with what its rivals cost: a driver row of the suite "lane".

    lane.py [--rounds N] [--with NAME=PATH]... PROGRAM LANES RIVALS MEASURES [name=value]...

LANES and RIVALS are lists with commas of what PROGRAM takes as `use=`. A rival is run on the system's malloc;
RIVAL@NAME runs it under the allocator of that name, and RIVAL@ under each one, as RIVAL_NAME. MEASURES are the keys that
are to be divided. Prints every contender's values (`frame_total_ns 8.1`) and, for each measure, ratio of every contender
of lanes to every rival (`frame_over_monotonic_total_ns 0.97`).

The allocators are those in LANES_BENCH_ALLOCATORS (`NAME=PATH,NAME=PATH,...`, an empty path for the system's malloc), as
`lanes bench` gives them, or those of --with. One call is one round, in which every contender runs once, and
LANES_BENCH_ROUND says who begins; with --rounds, medians over so many rounds are printed.
"""
import argparse
import os
import statistics
import subprocess
import sys


class Failed(Exception):
    """Why there is no result, in words for the table."""


class Contender:
    """One way to get memory: what the program is told, and what is preloaded."""

    def __init__(self, use, name=None, library=""):
        self.use, self.name, self.library = use, name or use, library

    def run(self, program, parameters):
        environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD" and not k.startswith("LANES_BENCH_")}
        if self.library:
            environment["LD_PRELOAD"] = self.library
        done = subprocess.run([program, f"use={self.use}", *parameters], env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            said = done.stderr.strip().splitlines()
            raise Failed(f"{self.name}: {os.path.basename(program)} ended with {done.returncode}"
                         + (f": {said[-1]}" if said else ""))
        values = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
        if self.library and not os.path.samefile(values["malloc_in"], self.library):
            raise Failed(f"{self.name}: preload without effect")
        work = values.pop("operations"), values.pop("checksum")
        del values["malloc_in"]
        return work, {key: float(value) for key, value in values.items()}


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--with", dest="allocators", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("program")
    for name in ("lanes", "rivals", "measures"):
        parser.add_argument(name, type=lambda text: text.split(","))
    parser.add_argument("parameters", nargs="*")
    return parser.parse_args(arguments)


def allocators_of(given):
    items = given or os.environ.get("LANES_BENCH_ALLOCATORS", "system=").split(",")
    return dict(item.partition("=")[::2] for item in items)


def mimalloc_of(allocators):
    """The library whose heaps are a rival; empty if mimalloc takes no part."""
    return next((path for name, path in allocators.items() if name.startswith("mimalloc")), "")


def rivals_of(words, allocators):
    for word in words:
        use, at, under = word.partition("@")
        if use == "mi_heap" and not mimalloc_of(allocators):
            continue
        if not at:
            yield Contender(use)
        for name, path in allocators.items():
            if at and under in ("", name):
                yield Contender(use, f"{use}_{name}" if not under else use, path)


def parameters_of(contender, given, allocators):
    return [*given, f"mimalloc={mimalloc_of(allocators)}"] if contender.use == "mi_heap" else given


def one_round(options, contenders, allocators, number):
    """The values of each contender by its name."""
    first = (number - 1) % len(contenders)
    found, done = {}, {}
    for contender in contenders[first:] + contenders[:first]:
        work, found[contender.name] = contender.run(options.program,
                                                    parameters_of(contender, options.parameters, allocators))
        done.setdefault(work, contender.name)
    if len(done) > 1:
        raise Failed("different work was done: " + "; ".join(
            f"{name}: {operations} operations, checksum {checksum}" for (operations, checksum), name in done.items()))
    return found


def figures(options, rivals, found):
    """What is printed of a round."""
    result = {f"{name}_{key}": value for name, values in found.items() for key, value in values.items()}
    for measure in options.measures:
        for ours in options.lanes:
            for rival in rivals:
                divisor = found[rival.name][measure]
                if divisor > 0:
                    result[f"{ours}_over_{rival.name}_{measure}"] = found[ours][measure] / divisor
    return result


def main():
    options = parse(sys.argv[1:])
    allocators = allocators_of(options.allocators)
    rivals = list(rivals_of(options.rivals, allocators))
    contenders = [Contender(name) for name in options.lanes] + rivals
    begin = int(os.environ.get("LANES_BENCH_ROUND", "1"))
    try:
        rounds = [figures(options, rivals, one_round(options, contenders, allocators, begin + i))
                  for i in range(options.rounds)]
    except (Failed, OSError, KeyError) as problem:
        print(f"lane.py: {problem}", file=sys.stderr)
        return 1
    for key in rounds[0]:
        print(f"{key} {statistics.median(one[key] for one in rounds if key in one):.6g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
