#!/usr/bin/env python3
"""Adds up the results of meson test runs and ends with the line "N passed, N failed".

usage: count_tests.py BROKEN_STEPS TESTLOG_JSON...
"""
import json
import os
import sys

GOOD = {"OK", "EXPECTEDFAIL"}
SKIPPED = {"SKIP"}


def main() -> int:
    passed, failed = 0, int(sys.argv[1])
    for path in sys.argv[2:]:
        folder, log = path.split(os.sep)[0], os.path.splitext(os.path.basename(path))[0]
        names = {"failed": [], "skipped": []}
        good = 0
        try:
            with open(path, encoding="utf-8") as lines:
                results = [json.loads(line) for line in lines if line.strip()]
        except OSError:
            continue  # tools/check has counted the missing log as a broken step
        for result in results:
            if result["result"] in GOOD:
                good += 1
            elif result["result"] in SKIPPED:
                names["skipped"].append(result["name"])
            else:
                names["failed"].append(f"{result['name']} ({result['result'].lower()})")
        passed += good
        failed += len(names["failed"])
        print(f"{folder}{'' if log == 'testlog' else ', ' + log}: {good} passed, {len(names['failed'])} failed, {len(names['skipped'])} skipped")
        for kind, which in names.items():
            for name in which:
                print(f"  {kind}: {name}")
        if names["failed"]:
            print(f"  full output: {os.path.splitext(path)[0]}.txt")
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
