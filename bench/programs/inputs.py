#!/usr/bin/python3
"""Writes the input of one program into the current directory: inputs.py NAME SIZE [QUICK_SIZE].

The file is called work.*, and with QUICK_SIZE there is a smaller quick.* beside it, for the short form of a
measurement. The same arguments give the same files."""
import random
import subprocess
import sys

sys.dont_write_bytecode = True      # the folder of this file may be an installed, read-only one

import der  # noqa: E402


def write(file, parts):
    with open(file, "w", encoding="ascii") as opened:
        opened.writelines(parts)


def words(numbers, count):
    """Words of 2 to 9 letters, the first ones much more often than the last, as in a language."""
    syllables = ("ka", "lo", "min", "tra", "es", "un", "ver", "do", "sil", "pha", "or", "beck")
    known = ["".join(numbers.choices(syllables, k=numbers.randint(1, 3))) for _ in range(4000)]
    return [known[int(4000 * numbers.random() ** 3)] for _ in range(count)]


def c_source(file, functions):
    """Structures, and functions of loops, branches and switches for the optimizer."""
    numbers = random.Random(1)
    parts = ["#include <stdio.h>\n#include <string.h>\n"]
    for i in range(functions):
        fields = "".join(f"    {numbers.choice(('int', 'long', 'char *', 'double'))} f{j};\n" for j in range(8))
        parts.append(f"struct s{i} {{\n{fields}}};\n")
        variables = "".join(f"    int x{j} = n + {j};\n" for j in range(12))
        body = "".join(f"        if (n > {numbers.randrange(100)})\n            x{j} += i * {numbers.randrange(9)};\n"
                       f"        else\n            x{j} ^= a[{numbers.randrange(8)}];\n" for j in range(12))
        cases = "".join(f"    case {j}: return x{numbers.randrange(12)} - n;\n" for j in range(numbers.randrange(3, 9)))
        total = " + ".join(f"x{j}" for j in range(12))
        parts.append(f"static int f{i}(int n, int *a) {{\n{variables}    for (int i = 0; i < n; i++) {{\n{body}    }}\n"
                     f"    switch (x0 & 15) {{\n{cases}    }}\n    return {total};\n}}\n")
    calls = "".join(f"    t += f{i}(t % 7, a);\n" for i in range(functions))
    parts.append("int main(void) {\n    int a[8] = {1, 2, 3, 4, 5, 6, 7, 8};\n    int t = 0;\n"
                 f"{calls}    printf(\"%d\\n\", t);\n}}\n")
    write(file, parts)


CPP_HEADERS = ("algorithm", "functional", "map", "memory", "numeric", "optional", "set", "string", "tuple",
               "unordered_map", "variant", "vector")

CPP_UNIT = """
struct leaf{i} {{ int v; std::string s; }};
template <class T> struct table{i} {{
    std::map<std::string, std::vector<T>> rows;
    std::unordered_map<int, std::unique_ptr<T>> by_id;
    template <class F> auto fold(F f) const {{
        T sum{{}};
        for (auto& [key, row] : rows) for (auto& element : row) sum = f(sum, element);
        return sum;
    }}
}};
template <std::size_t... I> int spread{i}(std::index_sequence<I...>) {{
    auto t = std::make_tuple((I * {factor})...);
    return static_cast<int>((std::get<I>(t) + ...));
}}
int unit{i}(int n) {{
    table{i}<long> numbers;
    table{i}<std::string> texts;
    std::vector<std::variant<int, std::string, leaf{i}>> mixed;
    for (int i = 0; i < n; i++) {{
        numbers.rows[std::to_string(i % {modulus})].push_back(i);
        texts.by_id[i] = std::make_unique<std::string>(std::to_string(i));
        texts.rows[*texts.by_id[i]].push_back("x");
        mixed.emplace_back(leaf{i}{{i, std::to_string(i)}});
    }}
    std::sort(mixed.begin(), mixed.end(), [](auto& a, auto& b) {{ return a.index() * {factor} < b.index(); }});
    std::function<int(int)> call = [&](int k) {{ return k + static_cast<int>(mixed.size()); }};
    int total = spread{i}(std::make_index_sequence<{spread}>());
    for (auto& m : mixed)
        total += std::visit([](auto& x) {{
            if constexpr (std::is_same_v<std::decay_t<decltype(x)>, leaf{i}>) return x.v;
            else return static_cast<int>(sizeof x);
        }}, m);
    std::string text = texts.fold(std::plus<std::string>());
    return call(total) + static_cast<int>(numbers.fold(std::plus<long>()) + text.size());
}}
"""


def cpp_source(file, units):
    """Templates of the standard library, instantiated for types of their own in every unit."""
    numbers = random.Random(2)
    parts = [f"#include <{header}>\n" for header in CPP_HEADERS]
    for i in range(units):
        parts.append(CPP_UNIT.format(i=i, factor=numbers.randrange(2, 9), modulus=numbers.randrange(3, 30),
                                     spread=numbers.randrange(20, 40)))
    write(file, parts)


def xml(file, items):
    """Elements with attributes and text."""
    numbers = random.Random(3)
    lines = (f'<item id="{i}"><v a="{numbers.randrange(9)}">{numbers.random()}</v><n>name {i % 977}</n></item>\n'
             for i in range(items))
    write(file, ["<items>\n", *lines, "</items>\n"])


def json_rows(file, rows):
    """One array of small objects."""
    numbers = random.Random(4)
    objects = (f'{{"id":{i},"t":[{numbers.randrange(99)},{numbers.randrange(99)}],"s":"text {i % 313}",'
               f'"o":{{"k":{i % 7},"z":null}}}}' for i in range(rows))
    write(file, ["[", ",\n".join(objects), "]\n"])


def sql(file, rows):
    """A table, an index, groups, text functions, a join and deletions."""
    write(file, f"""
create table t(id integer primary key, k text, v real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < {rows})
  insert into t select i, 'key ' || (i * 7919 % 100003), i * 0.5 from n;
create index tk on t(k);
select count(*), sum(v) from t where k like 'key 1%';
select substr(k, 1, 6) g, count(*), length(group_concat(id)) > 0 from t group by g order by g limit 20;
select count(distinct upper(k) || id % 100) from t;
select max(length(p)) from (select printf('%s-%d-%s', upper(k), id, hex(k)) p from t);
select count(*) from t a join t b on b.id = a.id / 2 where replace(a.k, '1', 'one') < b.k;
select json_array_length(json_group_array(json_object('id', id, 'k', k))) from t where id % 4 = 0;
delete from t where id % 3 = 0;
select count(*), max(k) from t;
""")


def smt(file, problems):
    """Independent problems of linear arithmetic with functions; each begins from nothing."""
    numbers = random.Random(5)
    parts = []
    for problem in range(problems):
        count = 24 + problem % 7
        parts.append("(set-logic QF_UFLIA)\n(declare-fun f (Int) Int)\n(declare-fun g (Int Int) Int)\n")
        parts += [f"(declare-const x{i} Int)\n(assert (and (>= x{i} 0) (< x{i} 40)))\n" for i in range(count)]
        for _ in range(count * 20):
            a, b, c = (numbers.randrange(count) for _ in range(3))
            parts.append(f"(assert (or (< (+ (f x{a}) x{b}) (g x{c} {numbers.randrange(9)}))"
                         f" (> (f (+ x{b} {numbers.randrange(5)})) (+ x{a} x{c})) (= (g x{a} x{b}) (f x{c}))))\n")
        parts.append("(assert (distinct " + " ".join(f"x{i}" for i in range(count)) + "))\n")
        parts += [f"(assert (distinct (f x{i}) (f x{i + 1})))\n" for i in range(count - 1)]
        parts.append("(check-sat)\n(reset)\n")
    write(file, parts)


def text(file, lines):
    """Lines of twelve words."""
    numbers = random.Random(6)
    sequence = words(numbers, lines * 12)
    write(file, (" ".join(sequence[i:i + 12]) + "\n" for i in range(0, len(sequence), 12)))


def edit(numbers, content):
    """Replaces some words at one place by others, a file's length stays about the same."""
    at = numbers.randrange(len(content))
    content[at:at + numbers.randrange(4)] = (f"edit{numbers.randrange(5000)}" for _ in range(numbers.randrange(4)))


def git(file, commits):
    """A history of edits and renames over 150 text files, two of which change often."""
    numbers = random.Random(7)
    often = ["often0.txt", "often1.txt"]
    files = {name: words(numbers, 1500) for name in [*often, *(f"dir{i % 12}/file{i}.txt" for i in range(148))]}
    stream = ["reset refs/heads/main\n"]
    for commit in range(commits):
        message = f"change {commit}\n"
        stream.append(f"commit refs/heads/main\ncommitter A <a@example.org> {1600000000 + commit * 60} +0000\n"
                      f"data {len(message)}\n{message}")
        touched = list(files)
        if commit > 0:
            touched = [often[commit % 2], *numbers.sample(sorted(set(files) - set(often)), 3)]
        if commit % 40 == 39:
            moved = touched.pop()
            files[f"{moved}.moved"] = files.pop(moved)
            stream.append(f"R {moved} {moved}.moved\n")
        for name in touched:
            content = files[name]
            for _ in range(20 if commit > 0 else 0):
                edit(numbers, content)
            body = "\n".join(content) + "\n"
            stream.append(f"M 100644 inline {name}\ndata {len(body)}\n{body}\n")
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", file], check=True)
    subprocess.run(["git", "-C", file, "-c", "core.compression=1", "fast-import", "--quiet", "--depth=2"],
                   check=True, input="".join(stream).encode())


def crl(file, entries):
    """A certificate revocation list in DER. Its signature is no signature; nothing here checks it."""
    numbers = random.Random(8)
    with open(file, "wb") as opened:
        opened.write(der.revocation_list(numbers, entries))


INPUTS = {"c": (c_source, "c"), "cpp": (cpp_source, "cpp"), "xml": (xml, "xml"), "json": (json_rows, "json"),
          "sql": (sql, "sql"), "smt": (smt, "smt2"), "text": (text, "txt"), "git": (git, "git"), "crl": (crl, "crl")}


def main():
    name, *sizes = sys.argv[1:] or [""]
    if name not in INPUTS or not 1 <= len(sizes) <= 2 or not all(size.isdigit() for size in sizes):
        sys.exit(f"inputs.py: wanted are NAME SIZE [QUICK_SIZE], where NAME is one of {', '.join(INPUTS)}")
    make, ending = INPUTS[name]
    for stem, size in zip(("work", "quick"), sizes):
        make(f"{stem}.{ending}", int(size))


if __name__ == "__main__":
    main()
