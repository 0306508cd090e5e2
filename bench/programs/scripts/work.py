"""JSON, regular expressions, dictionaries, trees and text: work.py ROUNDS. Prints a checksum."""
import collections
import json
import re
import sys


class Node:
    __slots__ = ("key", "left", "right", "values")

    def __init__(self, key):
        self.key, self.left, self.right, self.values = key, None, None, []


def insert(root, key, value):
    while root.key != key:
        side = "left" if key < root.key else "right"
        below = getattr(root, side)
        if below is None:
            below = Node(key)
            setattr(root, side, below)
        root = below
    root.values.append(value)


def records(start):
    return [{"id": i, "name": f"n{i * 7919 % 10007}", "tags": [f"a{i % 17}", "b" * (i % 23)], "x": i / 7}
            for i in range(start, start + 9000)]


def main():
    total = 0
    kept = collections.deque(maxlen=3)      # what a round made lives on for two more
    for number in range(int(sys.argv[1])):
        text = json.dumps(records(number * 9000))
        back = json.loads(text)
        words = collections.Counter(re.findall(r"[a-z]\d+", text))
        groups = collections.defaultdict(list)
        for record in back:
            groups[record["name"][:3]].append((record["id"], record["tags"]))
        root = Node(5003)
        for i in range(6000):
            insert(root, i * 7919 % 10007, str(i))
        lines = [f"{r['name']};{r['x']:.3f};{','.join(r['tags'])}" for r in back]
        fields = [line.upper().split(";") for line in sorted(lines, reverse=True)]
        kept.append((words, groups, root, fields[::5]))
        total += len(text) + len(words) + sum(map(len, groups.values())) + len(fields[number][0])
    print(total)


main()
