"""What docs/lanes.md shows is the code that runs, what it names is there, and it leaves nothing out; numbers are defined."""
import glob
import os
import re
import textwrap
import unittest

from support import SOURCE_ROOT, read, shown

GUIDE = "docs/lanes.md"
DESIGN = "docs/design.md"
DOCUMENTS = (GUIDE, DESIGN, "bench/README.md", "bench/programs/README.md", "docs/decisions.md", "docs/traces.md", "tests/README.md",
             "tests/conformance/README.md", "tools/instruments/README.md")
ROWS = [f"A{number}" for number in range(1, 16)]


def excerpts(lines, count):
    """Each `count` lines that follow one another, without their common indentation."""
    for first in range(len(lines) - count + 1):
        yield textwrap.dedent("\n".join(lines[first:first + count])).strip("\n")


def code_that_exists():
    """The lines of each example, and those of the headers' comments without the slashes."""
    for path in glob.glob(os.path.join(SOURCE_ROOT, "docs/examples/*.[ch]pp")):
        yield read(path).splitlines()
    for path in glob.glob(os.path.join(SOURCE_ROOT, "include/lanes/*.hpp")):
        yield [line.strip().removeprefix("//") for line in read(path).splitlines() if line.strip().startswith("//")]


def is_excerpt(block):
    wanted = textwrap.dedent(block).strip("\n")
    return any(wanted in excerpts(lines, wanted.count("\n") + 1) for lines in code_that_exists())


def rows():
    """The table of features: the cells of each row by its number."""
    for line in read(os.path.join(SOURCE_ROOT, GUIDE)).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if re.fullmatch(r"A\d+", cells[0]):
            yield cells


def defined_numbers(document, letter):
    """The numbers that a document's table defines: those of its first column."""
    return set(re.findall(rf"^\| ({letter}\d+) \|", read(os.path.join(SOURCE_ROOT, document)), re.MULTILINE))


def used_numbers(text, letter):
    """F12, also as a part of a test's name; not 0xF1 and not UTF16LE."""
    return set(re.findall(rf"(?<![A-Za-z0-9]){letter}[1-9]\d?(?![A-Za-z0-9])", text))


def own_texts():
    """Every source and document of the project, but for the results, which quote other programs."""
    for folder in ("README.md", "bench", "docs", "include", "interpose", "src", "tests", "tools"):
        for path in glob.glob(os.path.join(SOURCE_ROOT, folder, "**"), recursive=True) or [os.path.join(SOURCE_ROOT, folder)]:
            ours = path.endswith((".c", ".cpp", ".h", ".hpp", ".py", ".md", ".build"))
            if ours and not os.path.basename(path).startswith("results"):
                yield path


def links(text, folder="docs"):
    """The files that a text in that folder links to, as paths here."""
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            yield os.path.normpath(os.path.join(folder, target))


def design_problems(text):
    """What a text says of files and functions that is not so: `file` must exist, in `file`: `function()` the file has the function."""
    for path in re.findall(r"`((?:src|include|interpose|tests|bench|tools)/[\w/.]+)`", text):
        if "NAME" not in path and not os.path.exists(os.path.join(SOURCE_ROOT, path)):
            yield f"no file {path}"
    for path, names in re.findall(r"`((?:src|interpose)/[\w/.]+)`:\s((?:`\w+\(\)`(?:, )?)+)", text):
        for name in re.findall(r"`(\w+)\(\)`", names):
            if not re.search(rf"^[^/\n]*\b{name}\(", read(os.path.join(SOURCE_ROOT, path)), re.MULTILINE):
                yield f"no {name}() in {path}"
    sources = "".join(read(path) for folder in ("src", "interpose") for path in
                      glob.glob(os.path.join(SOURCE_ROOT, folder, "**/*.[ch]pp"), recursive=True))
    for name in re.findall(r"`(\w+)\(\)`", text):
        if not re.search(rf"\b{name}\(", sources):
            yield f"no function {name}()"


def anchors(text):
    """The names by which a document's headings are linked to."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


class Guide(unittest.TestCase):
    def test_code_is_an_excerpt_of_what_runs(self):
        for document in (GUIDE, "README.md"):
            blocks = shown(document, "cpp")
            self.assertTrue(blocks, document)
            for block in blocks:
                with self.subTest(document + ": " + block.strip().splitlines()[0]):
                    self.assertTrue(is_excerpt(block), f"in no example and no header's comment:\n{block}")

    def test_code_that_is_nowhere_is_found_out(self):
        self.assertFalse(is_excerpt("lanes::heap_lane lane(1 << 20);\nlane.allocate_nothing();\n"))

    def test_every_feature_has_a_row(self):
        self.assertEqual([cells[0] for cells in rows()], ROWS)

    def test_every_number_is_defined(self):
        defined = {"F": defined_numbers("tests/conformance/README.md", "F"), "A": defined_numbers(GUIDE, "A")}
        self.assertEqual(len(defined["F"]), 28)
        for path in own_texts():
            for letter, numbers in defined.items():
                unknown = used_numbers(read(path), letter) - numbers
                self.assertFalse(unknown, f"{os.path.relpath(path, SOURCE_ROOT)} uses numbers that no table defines")

    def test_a_number_that_is_not_defined_is_found(self):
        unknown = "F" + "29"  # not written out: this file is searched too
        self.assertEqual(used_numbers(f"PROMISE(F2_{unknown}_late) at 0xF1 (F4), UTF16LE", "F"), {"F2", unknown, "F4"})

    def test_every_row_has_header_source_tests_and_example(self):
        folders = ["include/lanes/", ("src/lane/", "src/storage/", "include/lanes/"), ("tests/lane/", "tests/storage/"), "docs/examples/"]
        for number, _, *cells in rows():
            self.assertEqual(len(cells), len(folders), number)
            for cell, folder in zip(cells, folders):
                with self.subTest(number, folder=folder):
                    files = list(links(cell))
                    self.assertTrue(files, "an empty cell")
                    for file in files:
                        self.assertTrue(file.startswith(folder), f"{file} is not of {folder}")

    def test_every_link_leads_somewhere(self):
        for document in DOCUMENTS:
            text = read(os.path.join(SOURCE_ROOT, document))
            for file in links(text, os.path.dirname(document)):
                with self.subTest(file, document=document):
                    self.assertTrue(os.path.exists(os.path.join(SOURCE_ROOT, file)), "no such file")
            for anchor in re.findall(r"\]\(#([^)]*)\)", text):
                with self.subTest(anchor, document=document):
                    self.assertIn(anchor, anchors(text))

    def test_files_and_functions_that_the_design_names_are_there(self):
        text = read(os.path.join(SOURCE_ROOT, DESIGN))
        self.assertGreater(text.count("()`"), 30)
        self.assertEqual(list(design_problems(text)), [])

    def test_a_design_that_names_what_is_gone_is_found_out(self):
        self.assertEqual(list(design_problems("`src/heap/gone.cpp`, `src/os/os.cpp`: `map_at()`, `take()`; `gone_function()`")),
                         ["no file src/heap/gone.cpp", "no take() in src/os/os.cpp", "no function gone_function()"])

    def test_readme_leads_to_the_design(self):
        self.assertIn(DESIGN, list(links(read(os.path.join(SOURCE_ROOT, "README.md")), "")))

    def test_a_wrong_anchor_is_found(self):
        self.assertEqual(anchors("# One\n\n### 1 TiB of `PROT_NONE`, in steps\n"), {"one", "1-tib-of-prot_none-in-steps"})

    def test_every_decision_is_in_the_contents(self):
        text = read(os.path.join(SOURCE_ROOT, "docs/decisions.md"))
        listed = set(re.findall(r"\]\(#([^)]*)\)", text))
        self.assertEqual(anchors(text) - listed, {"decisions"})

    def test_every_example_and_header_is_named(self):
        named = set(links(read(os.path.join(SOURCE_ROOT, GUIDE))))
        for pattern in ("docs/examples/*.cpp", "include/lanes/*.hpp"):
            for path in glob.glob(os.path.join(SOURCE_ROOT, pattern)):
                with self.subTest(path):
                    self.assertIn(os.path.relpath(path, SOURCE_ROOT), named)

    def test_every_error_is_explained(self):
        enumeration = re.search(r"enum class errc : int \{\n(.*?)\n\};", read(os.path.join(SOURCE_ROOT, "include/lanes/error.hpp")),
                                re.DOTALL).group(1)
        errors = re.findall(r"^ +(\w+)", enumeration, re.MULTILINE)
        self.assertIn("lane_full", errors)
        table = re.search(r"^\| error \|.*?\n\n", read(os.path.join(SOURCE_ROOT, GUIDE)), re.MULTILINE | re.DOTALL).group(0)
        self.assertEqual(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE), errors)


if __name__ == "__main__":
    unittest.main()
