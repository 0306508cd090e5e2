"""Programs are built against the installed library by the commands that docs/lanes.md shows: shared and static, in C++ and C."""
import os
import re
import shutil
import subprocess
import unittest

from support import COMPILER, SOURCE_ROOT, ToolTest, read, shown

BUILD_ROOT = os.environ.pop("LANES_BUILD_ROOT")
MESON = os.environ.pop("LANES_MESON")
VERSION = re.search(r"^ *version: '(.*)',$", read(os.path.join(SOURCE_ROOT, "meson.build")), re.MULTILINE)[1]
LIBRARIES = os.environ.pop("LANES_LIBRARY_FOLDER")   # where the pkg-config folder is, below the destination

C_PROGRAM = """
#include <lanes/lanes.h>
int main(void) {
    char *block = lanes_malloc(100);
    int fits = block != 0 && lanes_usable_size(block) >= 100;
    lanes_free(block);
    return !fits;
}
"""

VERSION_PROGRAM = """
#include <lanes/lanes.h>
#include <stdio.h>
int main(void) { return puts(lanes_version()) < 0; }
"""

PRELOADED_PROGRAM = """
#include <stddef.h>
#include <stdio.h>
__attribute__((weak)) const char *lanes_version(void);
__attribute__((weak)) int mallctl(const char *, void *, size_t *, void *, size_t);
int main(void) {
    const char *asked = 0;
    size_t bytes = sizeof asked;
    if (!lanes_version || !mallctl || mallctl("version", &asked, &bytes, 0, 0) != 0) return 1;
    return printf("%s\\n%s\\n", lanes_version(), asked) < 0;
}
"""


class Installed(ToolTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.destination = os.path.join(cls.folder, "destination")
        subprocess.run([MESON, "install", "-C", BUILD_ROOT, "--no-rebuild", "--quiet", "--tags", "runtime,devel",
                        "--destdir", cls.destination], check=True, capture_output=True)
        # Only what is installed, and the example, may be found by the compiler.
        for name in ("first_lane.cpp", "expect.hpp"):
            shutil.copy(os.path.join(SOURCE_ROOT, "docs/examples", name), cls.folder)

    def variables(self):
        libraries = self.destination + LIBRARIES
        return self.environment(PKG_CONFIG_PATH=os.path.join(libraries, "pkgconfig"), PKG_CONFIG_SYSROOT_DIR=self.destination,
                                PKG_CONFIG_ALLOW_SYSTEM_CFLAGS="1", PKG_CONFIG_ALLOW_SYSTEM_LIBS="1",
                                LD_LIBRARY_PATH=libraries)

    def execute(self, command):
        run = subprocess.run(["sh", "-c", command], cwd=self.folder, env=self.variables(), capture_output=True, text=True, check=False)
        self.assertEqual(run.returncode, 0, f"{command}\n{run.stdout}{run.stderr}")
        return run.stdout

    def test_commands_of_the_guide(self):
        commands = [line for line in "".join(shown("docs/lanes.md", "sh")).splitlines() if line.startswith("g++")]
        self.assertTrue(any("-static" in line for line in commands) and any("-static" not in line for line in commands))
        for command in commands:
            with self.subTest(command):
                self.execute(command)
                needed = self.execute("readelf -d first_lane")
                self.assertEqual("liblanes.so" in needed, "-static" not in command, needed)
                self.assertIn("cycle 1", self.execute("./first_lane"))

    def test_every_header_is_there_and_compiles(self):
        def headers(folder):
            return {os.path.relpath(os.path.join(where, name), folder) for where, _, names in os.walk(folder)
                    for name in names if name.endswith((".h", ".hpp"))}
        ours = headers(os.path.join(SOURCE_ROOT, "include"))
        flags = self.execute("pkg-config --cflags-only-I lanes").split()
        self.assertEqual(headers(flags[0].removeprefix("-I")), ours)
        with open(self.path("all.cpp"), "w", encoding="utf-8") as program:
            program.writelines(f"#include <{name}>\n" for name in sorted(ours))
        self.execute("g++ -std=c++20 -Wall -Wextra -Werror -fsyntax-only all.cpp $(pkg-config --cflags lanes)")

    def test_program_on_the_api_runs_on_lanes_as_its_malloc_too(self):
        self.execute("g++ -std=c++20 first_lane.cpp $(pkg-config --cflags --libs lanes) -o under")
        run = self.lanes("run", "--summary", "--", self.path("under"), env=self.variables())
        self.assert_runs(run)
        self.assertIn("lanes: active", run.stderr)

    def test_program_in_c(self):
        self.write("program.c", C_PROGRAM)
        for kind in ("", "-static"):
            with self.subTest(kind):
                libraries = "pkg-config " + kind.replace("-", "--", 1) + " --cflags --libs lanes"
                self.execute(f"{' '.join(COMPILER)} -Wall -Wextra -Werror {kind} program.c $({libraries}) -o program && ./program")

    def test_every_output_has_the_version_of_the_build_file(self):
        self.assertEqual(self.lanes("--version").stdout, f"lanes {VERSION}\n")
        self.assertEqual(self.execute("pkg-config --modversion lanes"), VERSION + "\n")
        library = self.destination + LIBRARIES + "/liblanes.so." + VERSION
        self.assertIn(f"[liblanes.so.{VERSION.split('.', maxsplit=1)[0]}]", self.execute(f"readelf -d {library}"))
        self.write("version.c", VERSION_PROGRAM)
        for kind in ("", "-static"):
            libraries = "pkg-config " + kind.replace("-", "--", 1) + " --cflags --libs lanes"
            self.execute(f"{' '.join(COMPILER)} {kind} version.c $({libraries}) -o version")
            self.assertEqual(self.execute("./version"), VERSION + "\n")
        self.write("preloaded.c", PRELOADED_PROGRAM)
        self.execute(f"{' '.join(COMPILER)} preloaded.c -o preloaded")
        self.assertEqual(self.lanes("run", "--", self.path("preloaded")).stdout, f"{VERSION}\nlanes {VERSION}\n")

    def test_no_file_repeats_the_version(self):
        copy = re.compile(rf"(?<![\d.]){re.escape(VERSION)}(?![\d.])")
        places = [os.path.join(where, name) for folder in ("include", "interpose", "src", "tools")
                  for where, _, names in os.walk(os.path.join(SOURCE_ROOT, folder)) for name in names]
        self.assertGreater(len(places), 100)
        self.assertEqual([path for path in places if not path.endswith(".pyc") and copy.search(read(path))], [])

    def test_an_older_language_standard_is_named(self):
        run = subprocess.run(["sh", "-c", "g++ -std=c++17 -fsyntax-only first_lane.cpp $(pkg-config --cflags lanes)"],
                             cwd=self.folder, env=self.variables(), capture_output=True, text=True, check=False)
        self.assertNotEqual(run.returncode, 0)
        self.assertIn("lanes needs C++20", run.stderr)


if __name__ == "__main__":
    unittest.main()
