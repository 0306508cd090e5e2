"""lanes doctor: each reason that keeps lanes out of a program or process is found and named."""
import glob
import os
import random
import shutil
import signal
import struct
import subprocess
import unittest

from support import COMMAND, LIBRARY, ToolTest, read

MALLOC = "char room[64]; {} void *malloc(unsigned long n) {{ return n < 64 ? room : 0; }} int main(void) {{ return malloc(1) == 0; }}"
JEMALLOC = next(iter(glob.glob("/usr/lib/*/libjemalloc.so.2")), "")


class Programs(ToolTest):
    def doctor(self, subject, code, *texts, **variables):
        run = self.lanes("doctor", subject, **variables)
        self.assertEqual(run.returncode, code, run.stdout + run.stderr)
        for text in texts:
            self.assertIn(text, run.stdout if code < 2 else run.stderr)
        return run

    def test_ordinary_program(self):
        self.doctor("cat", 0, "would be active", "lanes run --summary -- cat")
        self.doctor("/usr/bin/env", 0, "would be active")

    def test_static_program(self):
        self.doctor(self.compile("static", "int main(void) { return 0; }", "-static"), 1, "statically linked")

    def test_static_position_independent_program(self):
        self.doctor(self.compile("static-pie", "int main(void) { return 0; }", "-static-pie"), 1, "statically linked")

    def test_program_that_exports_its_own_malloc(self):
        path = self.compile("own", MALLOC.format(""), "-rdynamic", "-fno-builtin")
        self.doctor(path, 1, "defines malloc itself")

    def test_program_with_a_hidden_malloc(self):
        path = self.compile("hidden", MALLOC.format('__attribute__((visibility("hidden")))'), "-fno-builtin")
        self.doctor(path, 1, "own malloc")

    def test_sanitizers(self):
        self.doctor(self.compile("asan", "int main(void) { return 0; }", "-fsanitize=address"), 1, "AddressSanitizer")
        self.doctor(self.compile("tsan", "int main(void) { return 0; }", "-fsanitize=thread"), 1, "ThreadSanitizer")

    @unittest.skipUnless(os.geteuid() == 0, "only root can make a program setuid for another user")
    def test_setuid_program(self):
        path = self.compile("setuid", "int main(void) { return 0; }")
        os.chown(path, 65534, 65534)
        os.chmod(path, 0o4755)
        self.doctor(path, 1, "setuid", "ignores LD_PRELOAD")
        os.chmod(path, 0o2755)
        self.doctor(path, 1, "setgid")
        os.chmod(path, 0o755)
        self.doctor(path, 0)

    def test_script_is_judged_by_its_interpreter(self):
        static = self.compile("static", "int main(void) { return 0; }", "-static")
        self.doctor(self.write("good-script", "#!/bin/sh\n"), 0, "/bin/sh")
        self.doctor(self.write("bad-script", f"#!{static} -x\n"), 1, static, "statically linked")
        self.doctor(self.write("env-script", "#!/usr/bin/env -S python3 -u\n"), 0, "python3")
        self.doctor(self.write("script-of-script", f"#!{self.path('good-script')}\n"), 0, "/bin/sh")

    def test_bad_input(self):
        self.doctor("no-such-program", 2, "no-such-program")
        self.doctor(self.folder, 2, "directory")
        self.doctor(self.write("text", "hello\n"), 2, "interpreter line")
        self.doctor(self.write("orphan", "#!/no/such/interpreter\n"), 2, "/no/such/interpreter")
        self.doctor(self.write("loop", f"#!{self.path('loop')}\n"), 2, "levels deep")

    def test_other_architectures(self):
        with open("/bin/true", "rb") as file:
            original = bytearray(file.read())
        for name, at, value, text in (("arm", 18, 183 if original[18] != 183 else 62, "library for"),
                                      ("bits32", 4, 1, "32-bit"), ("big-endian", 5, 2, "big-endian")):
            changed = bytearray(original)
            changed[at] = value
            path = self.write(name, "")
            with open(path, "wb") as file:
                file.write(changed)
            self.doctor(path, 1, text)

    def test_environment(self):
        self.doctor("cat", 1, "LANES_DISABLE", LANES_DISABLE="yes")
        self.doctor("cat", 0, "libm.so.6", LD_PRELOAD="libm.so.6")

    def test_damaged_files_are_survived(self):
        with open(self.compile("victim", "int main(void) { return 0; }"), "rb") as file:
            original = file.read()
        seed = int(os.environ.get("TEST_SEED", "20"))
        print("seed", seed)
        rng = random.Random(seed)
        headers = struct.unpack_from("<Q", original, 32)[0], struct.unpack_from("<Q", original, 40)[0]
        for number in range(150):
            damaged = bytearray(original)
            for _ in range(rng.randint(1, 12)):
                # Half of the damage goes where offsets and counts are: the header, the segments, the sections.
                start = rng.choice([0, headers[0], headers[1]])
                at = min(start + rng.randint(4, 600), len(damaged) - 9) if rng.random() < .5 else rng.randrange(len(damaged) - 8)
                width = rng.choice([1, 2, 4, 8])
                value = rng.choice([0, 1, (1 << 8 * width) - 1, 1 << (8 * width - 1), rng.getrandbits(8 * width)])
                damaged[at:at + width] = value.to_bytes(width, "little")
            if rng.random() < .3:
                del damaged[rng.randrange(len(damaged)):]
            path = self.write("damaged", "")
            with open(path, "wb") as file:
                file.write(damaged)
            run = self.lanes("doctor", path)
            self.assertIn(run.returncode, (0, 1, 2), f"damage {number} of seed {seed}: {run.stderr}")
            self.assertNotIn("runtime error", run.stderr)    # of a sanitizer, where the command is built with one


class Processes(ToolTest):
    def doctor(self, process, code, *texts):
        run = self.lanes("doctor", str(process.pid))
        self.assertEqual(run.returncode, code, run.stdout + run.stderr)
        for text in texts:
            self.assertIn(text, run.stdout)

    def test_on_lanes(self):
        self.doctor(self.start(self.allocating(), "wait", LD_PRELOAD=LIBRARY), 0, "lanes is active", LIBRARY, "heap", "lanes stats")

    def test_launcher_is_asked_about_what_it_started(self):
        for options in ([], ["--require"]):
            process = self.start(COMMAND, "run", *options, "--", COMMAND, "run", "--", self.allocating(), "wait")
            for command in (["doctor"], ["stats"], ["stats", "--json"]):
                run = self.lanes(*command, str(process.pid))
                self.assert_runs(run)
                self.assertIn("allocating", run.stdout)
                self.assertIn(f"process {process.pid} is `lanes run` itself", run.stderr)

    def test_launcher_of_several_processes_names_them(self):
        # As in a container, where it is given the orphans: here it has a child already when it begins.
        process = self.start("sh", "-c", 'sleep 1000 & exec "$0" run -- "$1" wait', COMMAND, self.allocating())
        children = read(f"/proc/{process.pid}/task/{process.pid}/children").split()
        for child in children:
            self.addCleanup(os.kill, int(child), signal.SIGKILL)
        self.assertEqual(len(children), 2)
        for command in ("doctor", "stats"):
            run = self.lanes(command, str(process.pid))
            self.assert_fails(run, 2, "is `lanes run` itself", "(sleep)", "(allocating)", *children)

    def test_not_on_lanes(self):
        self.doctor(self.start(self.allocating(), "wait"), 1, "NOT active", "lanes run --")

    def test_switched_off(self):
        self.doctor(self.start(self.allocating(), "wait", LD_PRELOAD=LIBRARY, LANES_DISABLE="1"), 1, "LANES_DISABLE")

    def test_library_that_was_not_found(self):
        process = self.start(self.allocating(), "wait", LD_PRELOAD="/no/such/liblanes_malloc.so")
        self.doctor(process, 1, "/no/such/liblanes_malloc.so", "did not take it")

    @unittest.skipUnless(JEMALLOC, "needs libjemalloc2")
    def test_another_allocator(self):
        self.doctor(self.start(self.allocating(), "wait", LD_PRELOAD=f"{JEMALLOC}:{LIBRARY}"), 1, "jemalloc", "before lanes")
        self.doctor(self.start(self.allocating(), "wait", LD_PRELOAD=f"{LIBRARY}:{JEMALLOC}"), 0, "jemalloc")

    def test_no_such_process(self):
        run = self.lanes("doctor", "2147483647")
        self.assert_fails(run, 2, "2147483647")

    @unittest.skipUnless(os.geteuid() == 0, "only root can become another user")
    def test_process_of_another_user(self):
        process = self.start(self.allocating(), "wait")
        os.chmod(self.folder, 0o755)
        command = shutil.copy(COMMAND, self.path("lanes"))
        run = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", command, "doctor",
                              str(process.pid)], capture_output=True, text=True, check=False, env=self.environment())
        self.assert_fails(run, 2, "permission", "root")


if __name__ == "__main__":
    unittest.main()
