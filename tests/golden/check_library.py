"""Checks what a shared library shows to the dynamic loader: exported symbols, NEEDED, TLS, flags, segments.

usage: check_library.py interposer LIBRARY SYMBOLS_TXT
       check_library.py api LIBRARY
       check_library.py header INTERPOSER LIBLANES LANES_H
"""
import re
import struct
import sys

PT_LOAD, PT_DYNAMIC, PT_TLS, PT_GNU_STACK = 1, 2, 7, 0x6474E551
DT_NEEDED, DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_TEXTREL, DT_FLAGS = 1, 5, 6, 10, 22, 30
DT_FLAGS_1, DT_GNU_HASH = 0x6FFFFFFB, 0x6FFFFEF5
DF_TEXTREL, DF_1_NOW, DF_1_NODELETE = 4, 1, 8
PF_X, PF_W = 1, 2
NEEDED_BY_THE_CXX_API = ("libstdc++.so.6", "libm.so.6", "libgcc_s.so.1", "libc.so.6", "ld-linux-x86-64.so.2")
OWN_NAME = re.compile(r"lanes_|_ZT[ISV]?N5lanes|_ZNK?5lanes|_ZThn\d+_NK?5lanes")
MOST_TLS_BYTES = 64  # static TLS is scarce for libraries that are opened late; others' overflow it with 2600 bytes


class Library:
    """The dynamic view of a 64-bit little-endian ELF file."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        if self.data[:6] != b"\x7fELF\x02\x01":
            raise SystemExit(f"{path} is no 64-bit little-endian ELF file")
        offset, = struct.unpack_from("<Q", self.data, 32)
        size, count = struct.unpack_from("<HH", self.data, 54)
        # type, flags, offset, vaddr, paddr, filesz, memsz, align
        self.segments = [struct.unpack_from("<IIQQQQQQ", self.data, offset + i * size) for i in range(count)]
        dynamic = next(s for s in self.segments if s[0] == PT_DYNAMIC)
        self.dynamic = []
        for at in range(dynamic[2], dynamic[2] + dynamic[5], 16):
            tag, value = struct.unpack_from("<QQ", self.data, at)
            if tag == 0:
                break
            self.dynamic.append((tag, value))

    def tag(self, wanted, default=0):
        return next((value for tag, value in self.dynamic if tag == wanted), default)

    def offset(self, address):
        for kind, _, offset, vaddr, _, filesz, _, _ in self.segments:
            if kind == PT_LOAD and vaddr <= address < vaddr + filesz:
                return offset + address - vaddr
        raise SystemExit(f"address {address:#x} is in no segment")

    def string(self, at):
        start = self.offset(self.tag(DT_STRTAB)) + at
        return self.data[start:self.data.index(b"\0", start)].decode()

    def needed(self):
        return [self.string(value) for tag, value in self.dynamic if tag == DT_NEEDED]

    def exports(self):
        # The hash table holds the defined symbols and ends with the last of them.
        table = self.offset(self.tag(DT_GNU_HASH))
        buckets, first, bloom, _ = struct.unpack_from("<IIII", self.data, table)
        chains = table + 16 + bloom * 8 + buckets * 4
        last = max(struct.unpack_from(f"<{buckets}I", self.data, table + 16 + bloom * 8))
        while last >= first and not struct.unpack_from("<I", self.data, chains + (last - first) * 4)[0] & 1:
            last += 1
        symbols = self.offset(self.tag(DT_SYMTAB))
        names = set()
        for index in range(first, last + 1):
            name, _, other, section = struct.unpack_from("<IBBH", self.data, symbols + index * 24)
            # 0xfff1 is an absolute symbol: the name of a version, not of anything that can be called.
            if section not in (0, 0xFFF1) and other & 3 in (0, 3):
                names.add(self.string(name))
        return names


def problems_with_loading(library, may_need=("libc.so.6",)):
    """What every library of ours must be like."""
    problems = []
    if not set(library.needed()) <= set(may_need):
        problems.append(f"NEEDED is {library.needed()}; it must be {', '.join(may_need)} and nothing else")
    tls = sum(segment[6] for segment in library.segments if segment[0] == PT_TLS)
    if tls > MOST_TLS_BYTES:
        problems.append(f"static TLS is {tls} bytes; at most {MOST_TLS_BYTES} are allowed")
    if not library.tag(DT_FLAGS_1) & DF_1_NODELETE:
        problems.append("DF_1_NODELETE is not set: dlclose would unmap code that free() still needs")
    if not library.tag(DT_FLAGS_1) & DF_1_NOW:
        problems.append("DF_1_NOW is not set: the first call of a function would enter the loader from inside malloc")
    if library.tag(DT_TEXTREL, None) is not None or library.tag(DT_FLAGS) & DF_TEXTREL:
        problems.append("there are text relocations")
    for kind, flags, *_ in library.segments:
        if kind in (PT_LOAD, PT_GNU_STACK) and flags & PF_W and flags & PF_X:
            problems.append("a segment is writable and executable" if kind == PT_LOAD else "the stack would be executable")
    return problems


def difference(exported, expected):
    return ([f"exported, but not in the list: {name}" for name in sorted(exported - expected)] +
            [f"in the list, but not exported: {name}" for name in sorted(expected - exported)])


def declared_functions(header):
    with open(header, encoding="utf-8") as file:
        return set(re.findall(r"^LANES_API[^;]*?\b(lanes_\w+)\(", file.read(), re.MULTILINE))


def main():
    kind = sys.argv[1]
    if kind == "interposer":
        library = Library(sys.argv[2])
        with open(sys.argv[3], encoding="utf-8") as lines:
            expected = {line.strip() for line in lines if line.strip() and not line.startswith("#")}
        problems = problems_with_loading(library) + difference(library.exports(), expected)
    elif kind == "api":
        library = Library(sys.argv[2])
        problems = problems_with_loading(library, NEEDED_BY_THE_CXX_API)
        problems += [f"exports {name}, which is neither lanes_... nor in the namespace lanes"
                     for name in sorted(library.exports()) if not OWN_NAME.match(name)]
    else:
        problems = []
        declared = declared_functions(sys.argv[4])
        if not declared:
            problems.append(f"no declaration found in {sys.argv[4]}; does it still use LANES_API?")
        for path in sys.argv[2:4]:
            problems += [f"{path} does not export {name}, which lanes.h declares"
                         for name in sorted(declared - Library(path).exports())]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
