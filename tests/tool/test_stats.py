"""lanes stats: from a running process and from a statistics file."""
import json
import os
import re
import shutil
import struct
import subprocess
import unittest

from support import COMMAND, LIBRARY, SOURCE_ROOT, ToolTest

MAGIC = int.from_bytes(b"\0LANESS1", "little")
VERSION = 2


def numbers_in_the_source():
    with open(os.path.join(SOURCE_ROOT, "src/stats/numbers.cpp"), encoding="utf-8") as file:
        return re.findall(r'^    \{"(\w+)", ', file.read(), re.MULTILINE)


class Process(ToolTest):
    def test_table_has_every_counter_with_its_meaning(self):
        process = self.start(self.allocating(), "wait", LD_PRELOAD=LIBRARY)
        run = self.lanes("stats", str(process.pid))
        self.assert_runs(run)
        self.assertIn(f"allocating (process {process.pid})", run.stdout)
        for name in numbers_in_the_source():
            self.assertRegex(run.stdout, rf"(?m)^  {name} +\S.*  \S")

    def test_json(self):
        process = self.start(self.allocating(), "wait", LD_PRELOAD=LIBRARY)
        row = json.loads(self.lanes("stats", "--json", str(process.pid)).stdout)
        self.assertEqual(row["pid"], process.pid)
        self.assertEqual(row["program"], "allocating")
        self.assertGreater(row["slots_allocated"]["at_least"], 10000)
        self.assertGreater(row["peak_bytes"], 1 << 20)
        for name in numbers_in_the_source():
            self.assertIn(name, row)
            if isinstance(row[name], dict):
                self.assertLess(row[name]["at_least"], row[name]["at_most"])
            else:
                self.assertIsInstance(row[name], int)

    def test_process_with_a_shared_page(self):
        process = self.start(COMMAND, "run", "--", self.allocating(), "wait")
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="utf-8") as children:
            child = children.read().split()[0]
        row = json.loads(self.lanes("stats", "--json", child).stdout)
        self.assertGreater(row["slots_allocated"]["at_least"], 10000)

    @unittest.skipUnless(os.geteuid() == 0, "only root may open the mapping of a deleted file")
    def test_library_that_was_deleted(self):
        copy = self.path("liblanes_malloc.so")
        shutil.copy(LIBRARY, copy)
        process = self.start(self.allocating(), "wait", LD_PRELOAD=copy)
        os.unlink(copy)
        self.assert_runs(self.lanes("stats", str(process.pid)))

    def test_not_on_lanes(self):
        process = self.start(self.allocating(), "wait")
        self.assert_fails(self.lanes("stats", str(process.pid)), 2, "does not run on lanes", f"lanes doctor {process.pid}")

    def test_no_such_process(self):
        self.assert_fails(self.lanes("stats", "2147483647"), 2, "2147483647")

    def test_zero_is_no_process(self):
        self.assert_fails(self.lanes("stats", "0"), 2)


class File(ToolTest):
    def make(self, name, slots):
        path = self.path(name)
        with open(path, "wb") as file:
            file.write(struct.pack("<QII", MAGIC, VERSION, slots))
            file.truncate((slots + 2) * 1024)
        return path

    def fill(self, path, processes):
        # Without `lanes run`, which would make a file of its own.
        for _ in range(processes):
            subprocess.run([self.allocating()], env=self.environment(LD_PRELOAD=LIBRARY, LANES_STATS=path), check=True)

    def test_of_one_process(self):
        path = self.make("one", 4)
        self.fill(path, 1)
        run = self.lanes("stats", path)
        self.assert_runs(run)
        self.assertIn("1 processes in 4 slots", run.stdout)
        self.assertIn("allocating (process", run.stdout)

    def test_of_more_processes_than_slots(self):
        path = self.make("five", 4)
        self.fill(path, 5)
        run = self.lanes("stats", path)
        self.assertIn("1 more had ended when their slots were wanted", run.stdout)
        content = json.loads(self.lanes("stats", "--json", path).stdout)
        self.assertEqual((content["slots"], content["claimed"], len(content["processes"])), (4, 5, 4))
        self.assertEqual((content["folded"], content["unplaced"]), (1, 0))
        self.assertEqual(content["ended"]["objects_allocated"], content["processes"][0]["objects_allocated"])

    def test_empty(self):
        self.assert_runs(self.lanes("stats", self.make("empty", 4)))

    def test_bad_files(self):
        self.assert_fails(self.lanes("stats", "/no/such/file"), 2, "/no/such/file")
        self.assert_fails(self.lanes("stats", self.write("text", "hello")), 2, "no statistics file")
        self.assert_fails(self.lanes("stats", self.folder), 2)
        other = self.make("version", 4)
        with open(other, "r+b") as file:
            file.seek(8)
            file.write(struct.pack("<I", 99))
        self.assert_fails(self.lanes("stats", other), 2, "version 99")
        lying = self.make("lying", 4)
        with open(lying, "r+b") as file:
            file.seek(12)
            file.write(struct.pack("<II", 0xFFFFFFFF, 0xFFFFFFFF))
        self.assert_runs(self.lanes("stats", lying))


if __name__ == "__main__":
    unittest.main()
