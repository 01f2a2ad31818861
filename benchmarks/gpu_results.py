#!/usr/bin/env python3
"""What scripts/gpu-check.sh keeps: a file for each part of a stage as it ends, and of the stage one document.

    gpu_results.py tests BUILD <ctest.json           a line for each test: name, environment, command (tab-separated)
    gpu_results.py begin FOLDER STAGE REVISION GPU [--settings=TEXT]
    gpu_results.py part FOLDER NAME CODE SECONDS [--timeout | --unfinished]
    gpu_results.py finish FOLDER OUT [--unfinished]

FOLDER is one stage's: `stage.json`, and of each part NAME.json, its output NAME.log and what else it wrote. GPU is a line of
nvidia-smi: name, driver, MiB, compute capability. `begin` refuses (2) a folder of another revision, GPU or settings.
`finish` writes OUT/DATE-GPU-REVISION-STAGE.json and prints its tables; 0: all passed, 7: not so, 75: unfinished.
Neither paths nor the host's name get into a result.
"""
import argparse
import csv
import datetime
import json
import pathlib
import re
import socket
import sys

import results_table

BENCH_CONDITIONS = ("device", "dtype", "repetitions", "min_seconds", "threads")


def scrubbed(value):
    """`value` with every path in its texts cut to the last name, and without the name of this machine."""
    if isinstance(value, dict):
        return {k: scrubbed(v) for k, v in value.items()}
    if isinstance(value, list):
        return [scrubbed(v) for v in value]
    if isinstance(value, str):
        host = socket.gethostname()
        text = results_table.FOLDERS.sub("", value)
        return re.sub(rf"\b{re.escape(host)}\b", "host", text) if len(host) > 3 and host != "localhost" else text
    return value


def write(path, value):
    """All or nothing, for the next call takes what is there for done."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(scrubbed(value), indent=1) + "\n")
    temporary.replace(path)


def read(path):
    return json.loads(path.read_text())


# The outcome of a part: {"status": ..., "why": ...} and its figures, from exit code, output and files.
def catch2(log):
    """Counts of cases. Catch2 2 knows no skipped cases: tests/support/catch.h prints a warning for each."""
    counts = dict.fromkeys(results_table.CASE_COUNTS, 0)
    whole = re.findall(r"All tests passed \((\d+) assertions? in (\d+) test cases?\)", log)
    if whole:
        counts["assertions"], counts["cases"] = (sum(map(int, column)) for column in zip(*whole))
    for what, key in (("test cases", "cases"), ("assertions", "assertions")):
        for total in re.findall(rf"^{what}: +(\d+)", log, re.M):
            counts[key] += int(total)
    for key in ("failed", "skipped"):
        counts[key] += sum(map(int, re.findall(rf"^test cases: .*\| +(\d+) {key}\b", log, re.M)))
    counts["skipped"] += len(re.findall(r"^ *skipped: ", log, re.M))
    counts["passed"] = max(0, counts["cases"] - counts["failed"] - counts["skipped"])
    return counts


def tests_outcome(folder, name, code, log):
    counts = catch2(log)
    if code != 0:
        return {"status": "failed", "why": f"exit code {code}", **counts}
    if counts["cases"] == 0 or counts["skipped"] * 2 > counts["cases"]:  # as where a test finds no device
        return {"status": "failed", "why": f"{counts['skipped']} of {counts['cases']} cases were skipped", **counts}
    return {"status": "passed", **counts}


def sanitize_outcome(folder, name, code, log):
    tool, group = name.split("-", 1)
    outcome = {"tool": tool, "group": group, **tests_outcome(folder, name, code, log)}
    summaries = re.findall(r"^=+ (?:ERROR|RACECHECK) SUMMARY: (\d+) ", log, re.M)
    outcome["findings"] = sum(map(int, summaries)) if summaries else None
    if not summaries:
        outcome.update(status="failed", why=f"exit code {code}, no summary")
    elif outcome["findings"]:
        lines = re.findall(r"^=+ (?!COMPUTE-SANITIZER|ERROR SUMMARY|RACECHECK SUMMARY| )(.+)", log, re.M)
        outcome.update(status="failed", why=f"{outcome['findings']} findings", first=list(dict.fromkeys(lines))[:5])
    return outcome


def bench_outcome(folder, name, code, log):
    file = folder / f"{name}.bench"
    if not file.is_file():
        return {"status": "failed", "why": last_line(log) or f"exit code {code}"}
    rows = read(file)["rows"]
    bad = sum(not row["check"]["passed"] for row in rows)
    if code or bad:
        return {"status": "failed", "why": f"{bad} of {len(rows)} checks failed, exit code {code}"}
    return {"status": "passed"}


def search_outcome(folder, name, code, log):
    outcome = {"status": "passed" if code == 0 else "failed", "epochs": []}
    if code:
        outcome["why"] = last_line(log) or f"exit code {code}"
    metrics = folder / "run" / "metrics.csv"
    if metrics.is_file():
        with open(metrics, newline="") as file:
            number = lambda text: int(text) if re.fullmatch(r"\d+", text) else float(text)
            outcome["epochs"] = [{k: number(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
    if code == 0:
        try:
            result = read(folder / f"{name}.out")
        except (OSError, ValueError):
            return {**outcome, "status": "failed", "why": "no result on its standard output"}
        for key in ("steps", "train_accuracy", "search_accuracy", "discrete_accuracy", "genotype_text"):
            if key in result:
                outcome[key] = result[key]
    environment = folder / "run" / "env.json"
    if environment.is_file():
        outcome["environment"] = read(environment)
    return outcome


def peers_outcome(folder, name, code, log):
    file = folder / f"{name}.comparison"
    if not file.is_file():
        return {"status": "failed", "why": last_line(log) or f"exit code {code}"}
    comparison = read(file)
    whys = [f"{f['program']}: {f['why']}" for f in comparison["failed"]]
    return {"status": "failed" if code or whys or not comparison["rows"] else "passed", "comparison": comparison,
            **({"why": "; ".join(whys)} if whys else {})}


def last_line(log):
    return (log.strip().splitlines() or [""])[-1][:300]


OUTCOMES = {"tests": tests_outcome, "sanitize": sanitize_outcome, "bench": bench_outcome, "search": search_outcome,
            "peers": peers_outcome}


# The commands.
def begin(a):
    name, driver, mib, capability = ([field.strip() for field in a.gpu.split(",")] + [""] * 4)[:4]
    stage = {"schema": 1, "kind": results_table.KINDS[a.stage], "stage": a.stage,
             "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"), "revision": a.revision,
             "gpu": {"name": name, "driver": driver, "memory_mib": int(mib) if mib.isdigit() else None,
                     "compute_capability": capability},
             "settings": scrubbed(a.settings.strip())}
    if not results_table.is_commit(a.revision):
        print(f"{a.stage}: the revision is {a.revision!r}; a result has to name a commit: build in a clone", file=sys.stderr)
        return 2
    file = a.folder / "stage.json"
    if not file.is_file():
        a.folder.mkdir(parents=True, exist_ok=True)
        return write(file, stage)
    before = read(file)
    for key in ("revision", "gpu", "settings"):
        if before[key] != stage[key]:
            print(f"{a.stage}: there are results of another {key}: {json.dumps(before[key])}, now {json.dumps(stage[key])}; "
                  "--again discards them, another --out keeps them", file=sys.stderr)
            return 2


def part(a):
    log_file = a.folder / f"{a.name}.log"
    log = log_file.read_text(errors="replace") if log_file.is_file() else ""
    outcome = OUTCOMES[read(a.folder / "stage.json")["stage"]](a.folder, a.name, a.code, log)
    if a.timeout or a.unfinished:
        outcome["status"] = "timeout" if a.timeout else "unfinished"
        outcome["why"] = f"stopped after {a.seconds:.0f} s" if a.timeout else "goes on at the next call"
    write(a.folder / f"{a.name}.json", {"part": a.name, "exit_code": a.code, "seconds": a.seconds, **outcome})
    print(results_table.verdict({"why": "", **outcome}))


def merged_bench(documents):
    """One document of oche bench: the rows of all, the conditions that they share, the better of each roof."""
    merged = {k: v for k, v in documents[0].items() if k not in ("rows", "roofs", "date", "peak_resident_bytes")}
    merged["roofs"] = {k: max(d["roofs"].get(k, 0) for d in documents) for k in documents[0].get("roofs", {})}
    merged["rows"] = [row for d in documents for row in d["rows"]]
    for key in BENCH_CONDITIONS:
        if any(d.get(key) != merged.get(key) for d in documents):
            raise SystemExit(f"bench: parts that differ in {key}")
    return merged


def finish(a):
    document = read(a.folder / "stage.json")
    parts = [read(f) for f in sorted(a.folder.glob("*.json"), key=lambda f: f.stat().st_mtime_ns) if f.name != "stage.json"]
    if document["stage"] == "bench":
        documents = [read(f) for f in (a.folder / f"{p['part']}.bench" for p in parts) if f.is_file()]
        document = {**(merged_bench(documents) if documents else {"rows": []}), **document}
    if not parts:
        print(f"{document['stage']}: no part has ended yet", file=sys.stderr)
        return 75 if a.unfinished else 1
    document["finished"] = not a.unfinished
    document["parts"] = parts
    document = scrubbed(document)
    if wrong := results_table.problems(document):
        print("\n".join(f"{document['stage']}: {w}" for w in wrong), file=sys.stderr)
        return 1
    gpu = re.sub(r"[^a-z0-9]+", "-", document["gpu"]["name"].lower()).strip("-")
    name = f"{document['date'][:10]}-{gpu}-{document['revision']}-{document['stage']}.json"
    write(a.out / name, document)
    print(results_table.render(document), f"\n{name}", sep="\n")
    if a.unfinished:
        return 75
    return 0 if all(p["status"] == "passed" for p in parts) else 7


def tests(a):
    build = str(a.build.resolve()) + "/"
    for test in json.load(sys.stdin)["tests"]:
        command = [word.removeprefix(build) for word in test.get("command", [])]
        environment = next((p["value"] for p in test.get("properties", []) if p["name"] == "ENVIRONMENT"), [])
        if not command or any(re.search(r"\s", word) for word in command + environment):
            return f"{test['name']}: not built, or a space in its command"
        print(test["name"], " ".join(environment) or "-", " ".join(command), sep="\t")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = p.add_subparsers(required=True)

    def command(run, *arguments, flags=()):
        c = commands.add_parser(run.__name__)
        c.set_defaults(run=run)
        for name, options in arguments:
            c.add_argument(name, **options)
        for flag in flags:
            c.add_argument(flag, action="store_true")

    folder = ("folder", {"type": pathlib.Path})
    command(tests, ("build", {"type": pathlib.Path}))
    command(begin, folder, ("stage", {"choices": OUTCOMES}), ("revision", {}), ("gpu", {}), ("--settings", {"default": ""}))
    command(part, folder, ("name", {}), ("code", {"type": int}), ("seconds", {"type": float}),
            flags=("--timeout", "--unfinished"))
    command(finish, folder, ("out", {"type": pathlib.Path}), flags=("--unfinished",))
    a = p.parse_args()
    sys.exit(a.run(a))


if __name__ == "__main__":
    main()
