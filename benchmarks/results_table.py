#!/usr/bin/env python3
"""Markdown tables of what scripts/gpu-check.sh found, from its JSON documents.

    benchmarks/results_table.py benchmarks/results/*.json
    benchmarks/results_table.py --check benchmarks/results/*.json    # prints nothing, or what is wrong: exit code 1

A document is of one stage on one device at one revision; docs/performance.md says what the figures are.
"""
import argparse
import json
import pathlib
import re
import sys

KINDS = {stage: "oche-bench" if stage == "bench" else "oche-gpu-check"  # oche bench --compare reads the former
         for stage in ("tests", "sanitize", "bench", "search", "peers")}
STATUSES = ("passed", "failed", "timeout", "unfinished")
TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
FOLDERS = re.compile(r"(?<![\w.:)\]/])/(?:[\w.+-]+/)+")  # of an absolute path
CASE_COUNTS = ("cases", "passed", "failed", "skipped", "assertions")


# A document is right.
def strings_of(value):
    if isinstance(value, dict):
        for key, member in value.items():
            yield key
            yield from strings_of(member)
    elif isinstance(value, list):
        for member in value:
            yield from strings_of(member)
    elif isinstance(value, str):
        yield value


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_commit(revision):
    return bool(re.fullmatch(r"[0-9a-f]{7,40}(-dirty)?", str(revision)))


def problems(document):
    """What keeps `document` from being a result, as a list of texts."""
    if not isinstance(document, dict):
        return ["not an object"]
    found = []

    def demand(holds, what):
        if not holds:
            found.append(what)

    stage, gpu, parts = document.get("stage"), document.get("gpu"), document.get("parts")
    demand(document.get("schema") == 1, "schema is not 1")
    demand(stage in KINDS, f"stage {stage!r} is unknown")
    demand(document.get("kind") == KINDS.get(stage), f"kind {document.get('kind')!r} is another")
    demand(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", str(document.get("date"))),
           "date is not UTC as in 2026-01-31T12:00:00Z")
    demand(is_commit(document.get("revision")), "revision is no commit")
    demand(isinstance(document.get("finished"), bool), "finished is neither true nor false")
    demand(isinstance(document.get("settings"), str), "settings is no text")
    demand(isinstance(gpu, dict) and all(isinstance(gpu.get(k), str) and gpu[k] for k in ("name", "driver")),
           "gpu has no name and driver")
    demand(isinstance(parts, list) and parts, "no parts")
    for part in parts if isinstance(parts, list) else []:
        if not isinstance(part, dict) or not isinstance(part.get("part"), str):
            found.append("a part without a name")
            continue
        name = part["part"]
        demand(part.get("status") in STATUSES, f"{name}: status {part.get('status')!r} is unknown")
        demand(is_number(part.get("exit_code")) and is_number(part.get("seconds")), f"{name}: no exit_code or seconds")
        if part.get("status") == "passed":
            needed = {"tests": CASE_COUNTS, "sanitize": ("tool", "group", "findings"), "search": ("epochs",),
                      "peers": ("comparison",)}.get(stage, ())
            for key in needed:
                demand(key in part, f"{name}: no {key}")
    names = [p.get("part") for p in parts if isinstance(p, dict)] if isinstance(parts, list) else []
    demand(len(names) == len(set(map(str, names))), "two parts of one name")
    if stage == "bench":
        demand(isinstance(document.get("rows"), list), "no rows")
    for text in strings_of(document):
        demand(not FOLDERS.search(text), f"a path: {text!r}")
    return found


# Markdown.
def table(columns, rows):
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def three_digits(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def duration(seconds):
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1:
            break
    return f"{three_digits(seconds * factor)} {unit}"


def verdict(part):
    return part["status"] + (f": {part['why']}" if part.get("why") else "")


def tests_tables(document):
    yield table(("test", *CASE_COUNTS, "time", "result"),
                [(f"`{p['part']}`", *(p.get(k, "") for k in CASE_COUNTS), duration(p["seconds"]), verdict(p))
                 for p in document["parts"]])


def sanitize_tables(document):
    """A row for each group of tests: errors by each tool."""
    groups = {}
    for p in document["parts"]:
        cell = p["findings"] if p["status"] == "passed" or p.get("findings") else verdict(p)
        groups.setdefault(p.get("group", p["part"]), {})[p.get("tool")] = cell
    yield table(("findings in", *TOOLS), [(f"`{g}`", *(by.get(t, "") for t in TOOLS)) for g, by in groups.items()])


def bench_tables(document):
    rows = []
    for row in document["rows"]:
        if "seconds" not in row:
            rows.append((f"`{row['row']}`", "check failed", "", "", "", "", ""))
            continue
        rows.append((f"`{row['row']}`", duration(row["seconds"]["median"]),
                     three_digits(row["bytes_per_second"] / 1e9), three_digits(row["flops_per_second"] / 1e9),
                     *(f"{three_digits(row[key])} %{'*' if row.get('bound') == roof else ''}"
                       for key, roof in (("percent_of_bandwidth", "bandwidth"), ("percent_of_peak", "peak"))),
                     f"{three_digits(row['percent_of_copy'])} %" if "percent_of_copy" in row else ""))
    yield table(("row", "median", "GB/s", "GFLOP/s", "of bandwidth", "of peak", "of a copy"), rows)
    roofs = document.get("roofs")
    if roofs:
        yield (f"Roofs: {three_digits(roofs['bytes_per_second'] / 1e9)} GB/s copied, "
               f"{three_digits(roofs['flops_per_second'] / 1e9)} GFLOP/s.")
    yield from failures(document)


def search_tables(document):
    for p in document["parts"]:
        yield table(("epoch", "train loss", "search loss", "train accuracy", "search accuracy", "derived accuracy",
                     "seconds", "images/s"),
                    [(e["epoch"], f"{e['train_loss']:.4f}", f"{e['search_loss']:.4f}",
                      *(f"{100 * e[k]:.1f} %" for k in ("train_accuracy", "search_accuracy", "discrete_accuracy")),
                      three_digits(e["seconds"]), three_digits(e["images_per_second"])) for e in p.get("epochs", [])])
        if "search_accuracy" in p:
            yield "Whole halves: " + ", ".join(
                f"{name} {100 * p[key]:.2f} %" for name, key in
                (("train", "train_accuracy"), ("search", "search_accuracy"), ("derived", "discrete_accuracy"))) + "."
        if "genotype_text" in p:
            yield f"    {p['genotype_text']}"
    yield from failures(document)


def peers_tables(document):
    comparisons = [p["comparison"] for p in document["parts"] if "comparison" in p]
    steps, candidates = {}, {}
    for c in comparisons:
        for row in c["rows"]:
            ours = row["programs"].get("oche")
            for program, figures in row["programs"].items():
                if program == "oche":
                    continue
                ratio = figures["ms"]["median"] / ours["ms"]["median"] if ours else None
                if c["what"] == "step":
                    what = f"{c['layers']} cells, {c['channels']} channels, batch {c['batch']}, order {row['order']}"
                    mib = figures["peak_device_mib"]
                    memory = mib / ours["peak_device_mib"] if ours and ours["peak_device_mib"] else None
                    steps.setdefault(what, []).append(
                        (figures["ms"]["median"], program, ours and ours["ms"]["median"], ratio, mib, memory))
                else:
                    candidates.setdefault(row["row"], []).append((figures["ms"]["median"], program, ratio))
    number = lambda value: "" if value is None else f"{value:.2f}"
    if steps:  # the fastest peer first: it is the one to compare with
        yield table(("search step", "peer", "its ms", "our ms", "its time over ours", "its peak of tensors, MiB", "over ours"),
                    [("" if i else what, program, f"{ms:.2f}", number(ours), number(ratio), f"{mib:.0f}", number(memory))
                     for what, programs in steps.items()
                     for i, (ms, program, ours, ratio, mib, memory) in enumerate(sorted(programs, key=lambda p: p[0]))])
    if candidates:
        stages = list(dict.fromkeys(row.split(" ", 1)[1] for row in candidates))
        best = {row: min(programs) for row, programs in candidates.items()}

        def cell(name, stage):
            if f"{name} {stage}" not in best:
                return ""
            ms, program, ratio = best[f"{name} {stage}"]
            return f"{1 / ratio:.2f} ({program})" if ratio else f"{ms:.3f} ms ({program})"
        with_ours = all(ratio for _, _, ratio in best.values())
        yield table(("our time over the fastest peer's" if with_ours else "the fastest peer's time", *stages),
                    [(f"`{name}`", *(cell(name, stage) for stage in stages))
                     for name in dict.fromkeys(row.split(" ", 1)[0] for row in candidates)])
    yield from failures(document)


def failures(document):
    lines = [f"- {p['part']}: {verdict(p)}" for p in document["parts"] if p["status"] != "passed"]
    if lines:
        yield "\n".join(lines)


TABLES = {"tests": tests_tables, "sanitize": sanitize_tables, "bench": bench_tables, "search": search_tables,
          "peers": peers_tables}


def render(document):
    gpu, parts = document["gpu"], document["parts"]
    passed = sum(p["status"] == "passed" for p in parts)
    heading = (f"**{document['stage']}** on {gpu['name']} (driver {gpu['driver']}), revision {document['revision']}, "
               f"{document['date'][:10]}: {passed} of {len(parts)} parts passed"
               + ("" if document["finished"] else ", unfinished")
               + (f"; {document['settings']}" if document["settings"] else ""))
    return "\n\n".join([heading, *TABLES[document["stage"]](document)])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--check", action="store_true")
    p.add_argument("files", nargs="+", type=pathlib.Path, metavar="FILE")
    a = p.parse_args()
    wrong, texts = [], []
    for file in a.files:
        try:
            document = json.loads(file.read_text())
        except (OSError, ValueError) as e:
            wrong.append(f"{file}: {e}")
            continue
        found = problems(document)
        wrong += [f"{file}: {what}" for what in found]
        if not found:
            texts.append(render(document))  # --check as well: what cannot be shown is no result
    if not a.check:
        print("\n\n".join(texts))
    for line in wrong:
        print(line, file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
