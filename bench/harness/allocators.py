"""Which allocators are compared: lanes, the system's, Debian's packages, and any shared object given by --peer."""
import os
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True)
class Allocator:
    name: str
    path: str = ""  # "" = preload nothing

    @property
    def is_mimalloc(self):
        return self.name.startswith("mimalloc")


class NotFound(Exception):
    pass


# Debian's packages, by soname: the linker's cache knows where the architecture keeps them.
PACKAGED = {"mimalloc-deb": ("libmimalloc.so.2", "libmimalloc2.0"), "jemalloc": ("libjemalloc.so.2", "libjemalloc2")}


def linker_cache():
    for tool in ("ldconfig", "/sbin/ldconfig", "/usr/sbin/ldconfig"):
        try:
            listing = subprocess.run([tool, "-p"], capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            continue
        found = {}
        for line in listing.splitlines():
            if "=>" in line:
                name, _, path = line.strip().partition(" => ")
                found.setdefault(name.split(" ")[0], path)
        return found
    return {}


def checked(name, path):
    path = os.path.realpath(path)
    if not os.path.isfile(path):
        raise NotFound(f"{name}: no file {path}")
    with open(path, "rb") as file:
        if file.read(4) != b"\x7fELF":
            raise NotFound(f"{name}: {path} is no shared object")
    return Allocator(name, path)


def choose(lanes, peers):
    """`lanes`: a path or "none". `peers`: NAME=PATH texts. Gives (allocators, notes about those left out)."""
    chosen, notes = [], []
    if lanes != "none":
        chosen.append(checked("lanes", lanes))
    chosen.append(Allocator("system"))
    cache = linker_cache()
    for name, (soname, package) in PACKAGED.items():
        if soname in cache:
            chosen.append(checked(name, cache[soname]))
        else:
            notes.append(f"{name} is left out: {soname} not found (Debian package {package})")
    for text in peers:
        name, equals, path = text.partition("=")
        if not equals or not name or name in {a.name for a in chosen}:
            raise NotFound(f"--peer wants NAME=PATH.so with a new NAME, not {text}")
        chosen.append(checked(name, path))
    return chosen, notes


def reference(allocators):
    """The mimalloc that ratios are given against: the last one named, which is a --peer if there is one."""
    mimallocs = [a for a in allocators if a.is_mimalloc]
    return mimallocs[-1] if mimallocs else next(a for a in allocators if a.name == "system")
