"""Makes a LANES_STATS file and reads its slots; the one layout is that of src/stats/stats_page.hpp, which is parsed."""

import pathlib
import re
import struct

HEADER = pathlib.Path(__file__).resolve().parents[2] / "src/stats/stats_page.hpp"
FIXED = struct.Struct("<QIIQQQQII40s")     # magic, version, pid, four times, state, images, program
FILE_HEADER = struct.Struct("<QIII")       # magic, version, slots, claimed


def _layout():
    text = HEADER.read_text()

    def constant(name):
        return int(re.search(rf"\b{name} = ([0-9a-fA-Fx']+);", text).group(1).replace("'", ""), 0)

    body = text[text.index("struct process_stats"):]
    body = body[:body.index("\n};")]
    counters = re.findall(r"^\s*counter (\w+);", body, re.M)
    assert counters and "char program[40]" in body, f"{HEADER} has another layout than stats_file.py knows"
    return (constant("stats_magic"), constant("stats_version"), constant("stats_slot_bytes"),
            constant("first_process_slot"), counters)


MAGIC, VERSION, SLOT_BYTES, FIRST, COUNTERS = _layout()
# Every process that allocates counts in one of these.
ALLOCATIONS = ("slow_mallocs", "slots_allocated", "blocks_allocated", "blobs_allocated")
assert set(ALLOCATIONS) <= set(COUNTERS)


def create(path, slots=8192):
    """A sparse file with room for `slots` processes. Processes of other users must be able to write it."""
    with open(path, "wb") as file:
        file.write(FILE_HEADER.pack(MAGIC, VERSION, slots, 0))
        file.truncate(SLOT_BYTES * (slots + FIRST))
    path.chmod(0o666)


def read(path):
    """One dictionary per claimed slot: pid, program and every counter."""
    data = path.read_bytes()
    _, _, slots, _ = FILE_HEADER.unpack_from(data)
    found = []
    for index in range(FIRST, slots + FIRST):
        base = index * SLOT_BYTES
        magic, version, pid, *_, program = FIXED.unpack_from(data, base)
        if magic != MAGIC or version != VERSION:
            continue
        values = struct.unpack_from(f"<{len(COUNTERS)}Q", data, base + FIXED.size)
        slot = dict(zip(COUNTERS, values))
        slot.update(pid=pid, program=program.split(b"\0")[0].decode(errors="replace"))
        found.append(slot)
    return found
