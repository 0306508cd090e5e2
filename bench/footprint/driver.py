#!/usr/bin/env python3
"""Starts a tracer of tools/instruments under the allocator that is being measured, for rows of the footprint suite.

    driver.py step STEP                instructions of warm calls
    driver.py probe PROBE COMMAND...   what COMMAND holds at exit, and how many system calls the allocator adds to it

A tracer starts its target itself and must not run on the allocator, so these are driver rows: LANES_BENCH_PRELOAD names
the library, empty for the system's malloc. Prints `key value` lines.
"""
import os
import subprocess
import sys


class Failed(Exception):
    pass


def lines_of(command):
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD" and not k.startswith("LANES_BENCH_")}
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise Failed(f"{os.path.basename(command[0])} ended with {done.returncode}")
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def step(library, stepper):
    values = lines_of([stepper] + (["--preload", library] if library else []))
    if library and not os.path.samefile(values.pop("malloc_in"), library):
        raise Failed("preload without effect")
    return values


def probe(library, tracer, *command):
    def under(preload):
        options = ["--syscalls"] + (["--preload", preload, "--mapped", preload] if preload else [])
        values = lines_of([tracer, *options, "--", *command])
        if (values.get("status"), values.get("code")) != ("exit", "0"):
            raise Failed(f"{command[0]}: {values.get('status')} {values.get('code')}")
        if preload and values.get("mapped") != "1":
            raise Failed("preload without effect")
        return values

    values = under(library)
    added = int(values["system_calls"]) - int(under("")["system_calls"]) if library else 0
    return {**values, "system_calls_added": str(added)}


def is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def main():
    kinds = {"step": step, "probe": probe}
    if len(sys.argv) < 3 or sys.argv[1] not in kinds:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        values = kinds[sys.argv[1]](os.environ.get("LANES_BENCH_PRELOAD", ""), *sys.argv[2:])
    except (Failed, OSError) as problem:
        print(f"driver.py: {problem}", file=sys.stderr)
        return 1
    for key, value in values.items():
        if is_number(value):
            print(key, value)
    return 0


if __name__ == "__main__":
    sys.exit(main())
