"""Inputs for the cases, the same in every run: sources, tables, documents and texts from a fixed seed."""

import json
import os
import random


def words(count, seed=7):
    source = random.Random(seed)
    return ["".join(source.choices("abcdefgh", k=source.randint(1, 14))) for _ in range(count)]


def cpp_source(kinds=7):
    """C++ that costs a compiler some seconds: containers of many types, regular expressions, recursion in templates."""
    parts = ["""
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <regex>
#include <string>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>
template <int N> struct fibonacci { static constexpr long value = fibonacci<N - 1>::value + fibonacci<N - 2>::value; };
template <> struct fibonacci<0> { static constexpr long value = 0; };
template <> struct fibonacci<1> { static constexpr long value = 1; };
template <std::size_t... I> auto wide(std::index_sequence<I...>) {
    return std::make_tuple((I * fibonacci<I % 60>::value)...);
}
auto wide_tuple() { return wide(std::make_index_sequence<120>()); }
"""]
    for i in range(kinds):
        parts.append(f"""
namespace kind_{i} {{
struct row {{
    std::string name; long id; std::vector<int> values;
    bool operator<(const row& o) const {{ return id < o.id; }}
}};
using cell = std::variant<long, double, std::string, row>;
std::map<std::string, std::vector<row>> group(const std::vector<row>& rows) {{
    std::map<std::string, std::vector<row>> out;
    for (const row& r : rows) out[r.name.substr(0, {i % 5 + 1})].push_back(r);
    for (auto& [name, list] : out) std::sort(list.begin(), list.end());
    return out;
}}
double total(const std::unordered_map<int, cell>& cells) {{
    double sum = {i};
    for (const auto& [key, c] : cells)
        sum += std::visit([factor = key](const auto& v) -> double {{
            using type = std::decay_t<decltype(v)>;
            if constexpr (std::is_arithmetic_v<type>) return v * factor;
            else if constexpr (std::is_same_v<type, row>) return std::accumulate(v.values.begin(), v.values.end(), 0.0);
            else return v.size();
        }}, c);
    return sum;
}}
std::function<long(long)> chain(int n) {{
    std::function<long(long)> f = [](long x) {{ return x + {i}; }};
    for (int k = 0; k < n; ++k) f = [f, k](long x) {{ return f(x) * k; }};
    return f;
}}
std::unique_ptr<row> find(const std::shared_ptr<std::vector<row>>& rows, const std::string& pattern) {{
    std::regex expression(pattern + "{i}");
    for (const row& r : *rows) if (std::regex_match(r.name, expression)) return std::make_unique<row>(r);
    return nullptr;
}}
}}
""")
    return "".join(parts)


def c_source(index):
    """A small translation unit with one function `work_<index>`, for builds of many."""
    return f"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
struct node_{index} {{ struct node_{index}* next; char text[{16 + index}]; }};
unsigned long work_{index}(int n) {{
    struct node_{index}* head = NULL;
    unsigned long sum = {index};
    for (int i = 0; i < n; ++i) {{
        struct node_{index}* node = malloc(sizeof *node);
        snprintf(node->text, sizeof node->text, "%d-{index}", i);
        node->next = head;
        head = node;
    }}
    while (head) {{
        struct node_{index}* next = head->next;
        sum = sum * 31 + strlen(head->text) + head->text[0];
        free(head);
        head = next;
    }}
    return sum;
}}
"""


def flawed_c_source(functions=40):
    """C with a known flaw in every function, for a static analyser."""
    flaws = ["char b[10]; strcpy(b, \"far too long for it\"); return b[n];",
             "char* p = malloc(n); if (n > 3) return 1; free(p); return 0;",
             "int* p = 0; if (n > 10) p = &n; return *p;",
             "char* p = malloc(4); free(p); return p[0];",
             "int a[5]; for (int i = 0; i <= 5; ++i) a[i] = i; return a[n];",
             "int x; if (n > 2) x = 1; return x + n / (n - n);",
             "FILE* f = fopen(\"a\", \"r\"); if (!f) return 1; return fgetc(f);",
             "unsigned u = n; if (u < 0) return 1; return u == u;"]
    body = "".join(f"int flaw_{i}(int n) {{ {flaws[i % len(flaws)]} }}\n"
                   f"int caller_{i}(int n) {{ int s = 0; for (int k = 0; k < n; ++k) s += flaw_{i}(k); return s; }}\n"
                   for i in range(functions))
    return "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n" + body


def rows(count, seed=7):
    source, names = random.Random(seed), words(count, seed)
    return [{"id": i, "name": name, "x": source.randint(0, 10**6) / 8, "parent": source.randrange(i) if i else None,
             "tags": source.sample(names, source.randint(0, 5))} for i, name in enumerate(names)]


def json_document(count):
    return json.dumps(rows(count))


def xml_document(count):
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<rows xmlns:t="urn:tags">']
    for row in rows(count):
        tags = "".join(f"<t:tag>{tag}</t:tag>" for tag in row["tags"])
        parent = "" if row["parent"] is None else f' parent="r{row["parent"]}"'
        fields = f'<name>{row["name"]} &amp; \u03b1</name><x>{row["x"]}</x>{tags}'
        lines.append(f'<row id="r{row["id"]}"{parent}>{fields}</row>')
    return "\n".join([*lines, "</rows>\n"])


def tree(directory, files=800, seed=7):
    """A tree of small and some large files, with fixed times."""
    source, text = random.Random(seed), " ".join(words(20000, seed)).encode()
    for i in range(files):
        path = directory / f"d{i % 17}" / f"e{i % 5}" / f"file{i}"
        path.parent.mkdir(parents=True, exist_ok=True)
        start = source.randrange(len(text) // 2)
        path.write_bytes(text[start:start + source.choice((10, 500, 3000, 60000))])
        os.utime(path, (1_700_000_000 + i,) * 2)
    for path in (*directory.rglob("*"), directory):
        if path.is_dir():
            os.utime(path, (1_700_000_000,) * 2)
