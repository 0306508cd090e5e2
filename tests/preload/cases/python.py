"""CPython: its own test modules, with its own small-object allocator and without."""

import xml.etree.ElementTree

from harness import Run

PYTHON = "/usr/bin/python3"


def _regression_tests(run: Run, *arguments, env=None):
    """Keeps name and outcome of every single test; the times in the report differ from run to run."""
    report = run.directory / "report.xml"
    run.out(PYTHON, "-m", "test", "--randseed", "7", "--junit-xml", report, *arguments, env=env)
    outcomes = []
    for test in xml.etree.ElementTree.parse(report).iter("testcase"):
        kinds = sorted({child.tag for child in test} & {"failure", "error", "skipped"})
        outcomes.append(f"{test.get('name')} {test.get('status')} {test.get('result')} {' '.join(kinds)}")
    run.check(len(outcomes) > 20, f"only {len(outcomes)} tests ran")
    run.keep("outcomes", "\n".join(sorted(outcomes)))


def tests_of_the_library(run: Run):
    _regression_tests(run, "test_json", "test_re", "test_ast", "test_gc", "test_os", "test_zlib", "test_ctypes")


def threading_tests(run: Run):
    _regression_tests(run, "test_threading", "test_thread", "test_threading_local")


def multiprocessing_tests(run: Run):
    """Children forked from a process with threads, pools whose workers come and go, queues fed by a thread."""
    patterns = ["*WithProcessesTestPool.*", "*WithProcessesTestProcess.*", "*WithProcessesTestQueue.*",
                "*WithThreadsTestPool.*", "*WithManagerTestPool.test_map*", "*TestForkAwareThreadLock*"]
    _regression_tests(run, "test_multiprocessing_fork", *(word for p in patterns for word in ("-m", p)))


def objects_from_malloc(run: Run):
    """With PYTHONMALLOC=malloc every object is a malloc of its own: two orders of magnitude more calls."""
    env = {"PYTHONMALLOC": "malloc"}
    _regression_tests(run, "test_json", "test_re", "test_ast", "test_dict", "test_list", "test_gc", env=env)
    run.same("objects", PYTHON, "-c", OBJECTS, env=env)


OBJECTS = """
import collections, json, random, re
random.seed(7)
words = [''.join(random.choices('abcdefgh', k=random.randint(1, 30))) for _ in range(60000)]
kept = collections.defaultdict(list)
for turn in range(4):
    for word in words:
        kept[word[:3]].append({'word': word, 'turn': turn, 'parts': tuple(word.split('a'))})
    for key in random.sample(sorted(kept), len(kept) // 2):
        del kept[key]
    text = json.dumps(kept, sort_keys=True)
    assert json.loads(text) == json.loads(json.dumps(kept))
    print(turn, len(kept), len(text), len(re.findall('b+c', text)))
"""
