"""git: a history of some hundred commits, made, packed, checked, cloned and read."""

import generate
from harness import Run

IDENTITY = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "c",
            "GIT_COMMITTER_EMAIL": "c@example.org", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
COMMITS_ONE_BY_ONE = 60
COMMITS_IMPORTED = 400


def _fast_import_stream():
    """Two branches with files that grow and change, merged now and then."""
    words, parts = generate.words(4000), []
    for n in range(COMMITS_IMPORTED):
        branch = "refs/heads/imported" if n % 3 else "refs/heads/side"
        body = " ".join(words[n:n + 1500 + n]) + "\n"
        message = f"commit {n}\n"
        parts.append(f"commit {branch}\nmark :{n + 1}\ncommitter c <c@example.org> {1_700_000_000 + n} +0000\n"
                     f"data {len(message)}\n{message}")
        if n > 3 and n % 20 == 0:
            parts.append(f"merge :{n - 1 if n % 3 == 0 else n - n % 3 - 2}\n")
        parts.append(f"M 100644 inline dir{n % 7}/file{n % 40}\ndata {len(body)}\n{body}\n")
    return "".join(parts)


def history(run: Run):
    def git(*arguments, at=1_700_000_000, **kinds):
        env = IDENTITY | {"GIT_AUTHOR_DATE": f"{at} +0000", "GIT_COMMITTER_DATE": f"{at} +0000"}
        return run.out("git", "-C", "repository", *arguments, env=env, **kinds)

    run.out("git", "init", "-q", "-b", "main", "repository", env=IDENTITY)
    for key, value in (("pack.threads", "2"), ("gc.auto", "0"), ("maintenance.auto", "false")):
        git("config", key, value)
    words = generate.words(3000, seed=8)
    for n in range(COMMITS_ONE_BY_ONE):
        run.write(f"repository/a{n % 6}/b{n % 11}", "\n".join(words[n:n + 800]) + "\n")
        git("add", "-A")
        git("commit", "-q", "-m", f"step {n}", at=1_700_000_000 + n)
    git("fast-import", "--quiet", stdin=_fast_import_stream())
    git("merge", "-q", "--allow-unrelated-histories", "-m", "all of it", "imported", at=1_700_100_000)
    git("tag", "-a", "-m", "the tag", "v1", at=1_700_100_001)

    def keep_all(stage):
        run.keep(f"{stage}: revisions", git("rev-list", "--all", "--objects", "--no-object-names"))
        run.keep(f"{stage}: check", git("fsck", "--full", "--strict"))

    keep_all("loose")
    git("gc", "--aggressive", "--prune=now", "-q")
    keep_all("packed")
    git("repack", "-adfq", "--window=40", "--depth=40", "--write-bitmap-index")
    keep_all("packed again")
    run.check("count: 0\n" in git("count-objects", "-v"), "gc left loose objects")
    run.keep("log", git("log", "--all", "--stat", "--date-order"))
    run.keep("patches", git("log", "-p", "-M", "-C", "--max-count=150", "imported").encode())
    run.keep("blame", git("blame", "-l", "-w", "a1/b1"))
    run.keep("search", git("grep", "-n", "-E", "(ab|cd)+e", "v1", "--", "dir1").encode())
    run.keep("archive", git("archive", "v1", "--format=tar").encode())
    run.out("git", "clone", "-q", "--no-local", "repository", "copy", env=IDENTITY)
    run.keep("copy", run.out("git", "-C", "copy", "rev-list", "--all", env=IDENTITY))
    run.keep("copy: check", run.out("git", "-C", "copy", "fsck", "--full", env=IDENTITY))
