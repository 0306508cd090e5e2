"""Turns measured results into the tables of the terminal and the JSON file."""
import math
from dataclasses import dataclass

from .allocators import reference

MET, MISSED, UNJUDGED = "met", "MISSED", ""


def geometric_mean(values):
    return math.exp(sum(math.log(v) for v in values) / len(values)) if values else None


def table(head, lines):
    widths = [max(len(row[i]) for row in [head] + lines) for i in range(len(head))]

    def line(cells):
        return "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths))).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([line(head), rule] + [line(cells) for cells in lines])


@dataclass
class Judged:
    title: str
    target: str
    cells: dict  # allocator name -> text
    verdict: str


class Report:
    def __init__(self, allocators):
        self.allocators = allocators
        self.names = [a.name for a in allocators]
        self.judged = []
        self.compared = {}   # group title -> [(name, small, Results)]
        self.failures = []   # (what, allocator, how)

    # Rows with limits of their own.
    def add_row(self, row, results):
        self.note_failures(row.name, results)
        for metric in row.metrics:
            values = {name: results.median(name, metric.key) for name in self.names}
            if metric.over_system:
                base = values["system"]
                values = {n: None if v is None or base is None else v - base for n, v in values.items()}
            cells = {name: metric.form.format(value) if value is not None else short(results.failure(name))
                     for name, value in values.items()}
            self.judged.append(Judged(metric.title, limit_text(metric.limit, metric.form), cells,
                                      verdict(values.get("lanes"), metric.limit) if "lanes" in self.names else ""))

    # Rows that are ratios to a rival.
    def add_comparison(self, group, name, small, results):
        self.compared.setdefault(group, []).append((name, small, results))
        self.note_failures(name, results)

    def note_failures(self, what, results):
        self.failures += [(what, name, results.failure(name)) for name in self.names if results.failure(name)]

    def ratios(self, group, metric, name, other, small_only=False):
        found = []
        for title, small, results in self.compared.get(group, []):
            ratio = results.ratio(name, other, metric)
            if ratio and (small or not small_only):
                found.append((title, ratio))
        return found

    def add_summary_rows(self, partial):
        """The last rows of the table: geometric means. A mean over a `partial` group is not judged."""
        self.partial = partial
        for rival in [a.name for a in self.allocators if a.is_mimalloc]:
            self.summary("workloads", "cpu_s", rival, f"workloads, CPU time / {rival}: geometric mean", 1.00)
            self.summary("workloads", "cpu_s", rival, f"workloads, CPU time / {rival}: worst", 1.15, worst=True)
        base = reference(self.allocators).name
        self.summary("workloads", "peak_rss_kib", base, f"workloads, peak RSS / {base}: geometric mean", None)
        self.summary("workloads", "peak_rss_kib", base, f"small-footprint workloads, peak RSS / {base}", 0.60,
                     small=True)
        self.summary("programs", "cpu_s", base, f"real programs, CPU time / {base}: geometric mean", None)
        self.summary("programs", "peak_rss_kib", base, f"real programs, peak RSS / {base}: geometric mean", 0.88)

    def summary(self, group, metric, rival, title, limit, worst=False, small=False):
        members = sum(1 for _, is_small, _ in self.compared.get(group, []) if is_small or not small)
        if members == 0:
            return
        if group in self.partial:
            title, limit = f"{title}, {members} row{'s' if members > 1 else ''} only", None
        values = {}
        for name in self.names:
            ratios = [r for _, r in self.ratios(group, metric, name, rival, small)]
            values[name] = (max(ratios) if worst else geometric_mean(ratios)) if ratios else None
        cells = {n: f"{v:.2f}" if v is not None else "-" for n, v in values.items()}
        decision = ""
        if "lanes" in self.names:
            decision = verdict(values["lanes"], limit)
            if decision == MET and len(self.ratios(group, metric, "lanes", rival, small)) < members:
                decision = MISSED  # a row that failed cannot be left out of a mean
        self.judged.append(Judged(title, limit_text(limit, "{:.2f}"), cells, decision))

    def comparison_tables(self):
        base = reference(self.allocators).name
        texts = []
        for group, rows in self.compared.items():
            for metric, title in (("cpu_s", "CPU time"), ("peak_rss_kib", "peak RSS"), ("minor_faults", "page faults")):
                head = [f"{group}: {title} / {base}", *self.names, base + ("=1, s" if metric == "cpu_s" else "=1, MiB"
                        if metric == "peak_rss_kib" else "=1"), "noise"]
                lines = []
                for name, _, results in rows:
                    cells = [name]
                    for allocator in self.names:
                        ratio = results.ratio(allocator, base, metric)
                        cells.append(f"{ratio:.2f}" if ratio is not None else short(results.failure(allocator)))
                    middle = results.median(base, metric)
                    scale = 1 / 1024 if metric == "peak_rss_kib" else 1
                    cells.append("-" if middle is None else f"{middle * scale:.0f}" if metric == "minor_faults"
                                 else f"{middle * scale:.2f}")
                    cells.append(noise(results, metric, self.names, base))
                    lines.append(cells)
                means = ["geometric mean"]
                for allocator in self.names:
                    mean = geometric_mean([r for _, r in self.ratios(group, metric, allocator, base)])
                    means.append(f"{mean:.2f}" if mean else "-")
                texts.append(table(head, lines + [means + ["", ""]]))
        return "\n\n".join(texts)

    def numbers_table(self):
        head = ["number", "target", *self.names, "lanes"]
        lines = [[j.title, j.target, *(j.cells[n] for n in self.names), j.verdict] for j in self.judged]
        if "lanes" not in self.names:
            head, lines = head[:-1], [line[:-1] for line in lines]
        else:
            head[-1] = "verdict"
        return table(head, lines)

    def missed(self):
        return [j.title.strip() for j in self.judged if j.verdict == MISSED]

    def text(self):
        parts = []
        if self.compared:
            parts.append(self.comparison_tables())
        if self.judged:
            parts.append(self.numbers_table())
        grouped = {}
        for what, name, how in self.failures:
            grouped.setdefault((what, how), []).append(name)
        if grouped:
            parts.append("\n".join(f"{what} under {', '.join(names)}: {how}" for (what, how), names in grouped.items()))
        if "lanes" in self.names and any(j.verdict for j in self.judged):
            missed = self.missed()
            met = sum(1 for j in self.judged if j.verdict == MET)
            parts.append(f"{met} targets met, {len(missed)} missed" + (": " + "; ".join(missed) if missed else ""))
        return "\n\n".join(parts)

    def as_json(self, row_results):
        def raw(results):
            return {n: {"failure": results.failure(n), "runs": [r.values for r in runs]}
                    for n, runs in results.runs.items()}

        return {"allocators": {a.name: a.path for a in self.allocators},
                "reference": reference(self.allocators).name,
                "numbers": [vars(j) for j in self.judged],
                "rows": {name: raw(results) for name, results in row_results.items()},
                "comparisons": {group: {name: raw(results) for name, _, results in rows}
                                for group, rows in self.compared.items()}}


def short(failure):
    """A cell's width of it; the whole text follows below the tables."""
    start = failure.split(":")[0] if failure else "-"
    return start if len(start) <= 10 else "failed"


def limit_text(limit, form):
    return "" if limit is None else "<= " + (f"{limit:g}" if float(limit).is_integer() and "2f" not in form else
                                             form.format(limit))


def verdict(value, limit):
    if limit is None:
        return UNJUDGED
    if value is None:
        return MISSED
    return MET if value <= limit else MISSED


def noise(results, metric, names, base):
    """How far the ratios of single rounds lie apart, in percent of their median: the widest of all allocators."""
    widest = 0.0
    for name in names:
        pairs = list(zip(results.series(name, metric), results.series(base, metric)))
        ratios = sorted(a / b for a, b in pairs if b > 0)
        if len(ratios) >= 4:  # without the two outermost
            ratios = ratios[1:-1]
        if len(ratios) >= 2:
            widest = max(widest, (ratios[-1] - ratios[0]) / ratios[len(ratios) // 2])
    return f"{widest * 100:.0f}%" if widest else "-"
