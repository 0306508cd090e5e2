"""Small programs that start often, and sort, which is neither small nor serial."""

import random

import generate
from harness import Run


def sort(run: Run):
    source = random.Random(7)
    run.write("lines", "\n".join(f"{source.randrange(10**7)} {word}" for word in generate.words(700000)) + "\n")
    for name, options in {"text": [], "numbers": ["-n", "-k1,1", "-s"], "second field": ["-k2,2", "-k1,1nr"],
                          "unique": ["-u", "-k2,2"], "reversed": ["-r", "-f"]}.items():
        run.out("sort", "--parallel=4", "-S", "12M", *options, "lines", "-o", "sorted")
        run.keep(name, run.directory / "sorted")
        run.out("sort", "--check", *options, "sorted")
    pipeline = ("join -1 2 -2 2 <(head -5000 lines | sort -k2,2) <(tail -5000 lines | sort -k2,2)"
                " | sort | uniq -c | shuf --random-source=lines | cut -d' ' -f1-20 | tac")
    run.keep("joined", run.out("bash", "-c", pipeline).encode())


def files(run: Run):
    generate.tree(run.directory / "tree")
    run.keep("includes", run.out("ls", "-lAR", "--time-style=full-iso", "/usr/include").encode())
    run.same("tree", "ls", "-lAt", "--time-style=full-iso", "tree/d1/e1")
    run.keep("colours", run.out("ls", "-R", "--color=always", "-F", "tree").encode())
    found = run.out("find", "tree", "-type", "f", "-size", "+2k", "-printf", "%p %s %t\n")
    run.keep("found", "\n".join(sorted(found.split("\n"))))
    run.same("executed", "find", "tree/d3", "-name", "file*1", "-exec", "wc", "-w", "{}", ";")
    run.out("cp", "-a", "tree", "copy")
    run.same("copied", "diff", "-r", "tree", "copy")
    run.write("copy/d1/e1/file1", "another text\n" * 100)
    run.write("copy/new", "x\n")
    changed = run.call("diff", "-ruN", "--minimal", "tree", "copy")
    run.check(changed.returncode == 1, "diff saw no difference")
    lines = (line for line in changed.stdout.split(b"\n") if not line.startswith((b"---", b"+++", b"diff")))    # times
    run.keep("changed", b"\n".join(lines))
    run.same("sums", "bash", "-c",
             "find copy -type f -print0 | sort -z | xargs -0 -P2 -n50 sha256sum | sort | sha256sum")
    run.same("grep", "bash", "-c", "grep -rhoE '(abc|def)+[gh]{2}' tree | sort | uniq -c | sort -rn | head -50")
    run.same("sed", "bash", "-c",
             "find tree -type f | sort | xargs sed -E 's/(a+)(b+)/\\2\\1/g; y/abc/cab/' | sha256sum")
    for n in range(60):                              # start and end are work too
        run.same(f"start {n}", "ls", "-d", f"tree/d{n % 17}")


def archives(run: Run):
    generate.tree(run.directory / "tree")
    fixed = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=posix",
             "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime"]
    run.out("tar", *fixed, "-cf", "tree.tar", "tree")
    run.keep("tar", run.directory / "tree.tar")
    for program, options, suffix in (("gzip", ["-8", "-n"], "gz"), ("xz", ["-3", "-T2", "--block-size=2MiB"], "xz")):
        run.out(program, *options, "-k", "tree.tar")
        run.keep(program, run.directory / f"tree.tar.{suffix}")
        run.out(program, "-t", f"tree.tar.{suffix}")
        run.out("mkdir", f"out-{suffix}")
        run.out("tar", "-xf", f"tree.tar.{suffix}", "-C", f"out-{suffix}")
        run.same(f"{program} unpacked", "diff", "-r", "tree", f"out-{suffix}/tree")
    run.keep("listing", run.out("tar", "-tvf", "tree.tar.xz", "--full-time", "--utc"))
