#!/usr/bin/env python3
"""Searches with every method for the same time, two seeds side by side, and prints one row a method.

    benchmarks/compare_methods.py --out build/methods --minutes 10 -- --dataset cifar10 --data data \\
        --layers 5 --channels 8 --batch 16 --train-size 1600
    benchmarks/compare_methods.py --out build/methods --table                   # of what has run so far

Behind `--` stand options of `oche search` for all methods; what a method fixes itself (its rates, relaxation, decision,
...) stays. Each method is first run for an epoch, two of them side by side as later the seeds: that says how many epochs fit
the time, and gives the steps a second. Epochs that the alphas rest and the layers of stages shrink with them, as does what a
stop counts in epochs. Each run has one thread. As a search is the same to the bit however long it takes, only the first part
needs an idle machine. A run that is cut short is gone on with by the same command, and what has ended is not run again.
"""
import argparse
import concurrent.futures
import csv
import json
import pathlib
import statistics
import subprocess
import sys
import tomllib


def preset(a, method):
    return tomllib.loads(subprocess.run([a.binary, "methods", method], capture_output=True, text=True, check=True).stdout)


def scaled(a, method, epochs):
    """Options that bring a preset of many epochs down to these: [option, ...]."""
    p = preset(a, method)
    stages = max(1, len([n for n in p["stages"]["layers"].split(",") if n]))
    epochs = max(stages, epochs // stages * stages)
    share = epochs / p["schedule"]["epochs"]
    options = ["--method", method, "--epochs", epochs]
    rest = min(round(p["schedule"]["alpha-from"] * share), epochs // stages - 1)
    options += ["--set", f"schedule.alpha-from={rest}"]
    if stages > 1:
        layers = [max(3, round(int(n) * a.layers / int(p["network"]["layers"]))) for n in p["stages"]["layers"].split(",")]
        options += ["--set", "stages.layers=" + ",".join(map(str, layers))]
    for key in ("patience", "every", "first"):
        options += ["--set", f"stop.{key}={max(1, round(p['stop'][key] * share))}"]
    return options


def rows_of(run):
    with open(run / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def search(a, options):
    subprocess.run([str(c) for c in (a.binary, "search", *options, "--threads", 1, "--quiet")], stdout=subprocess.DEVNULL,
                   check=True)


def calibrate(a, method):
    """One run of one epoch, or one for each stage."""
    run = a.out / f"{method}-calibration"
    stages = len([n for n in preset(a, method)["stages"]["layers"].split(",") if n])
    if not (run / "genotype.json").exists():
        search(a, [*scaled(a, method, max(1, stages)), *a.options, "--out", run, "--force"])


def run_one(a, method, seed):
    run = a.out / f"{method}-{seed}"
    if (run / "genotype.json").exists():
        return
    seconds = statistics.mean(float(row["seconds"]) for row in rows_of(a.out / f"{method}-calibration"))
    epochs = max(1, int(60 * a.minutes / seconds))
    search(a, ["--resume", run] if any((run / "ckpt").glob("*.safetensors")) else
           [*scaled(a, method, epochs), *a.options, "--seed", seed, "--out", run, "--force"])


def side_by_side(jobs):
    """Runs (function, arguments...) two at a time, and goes on when one fails."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for job, done in [(job, pool.submit(*job)) for job in jobs]:
            if error := done.exception():
                print(*job[2:], error, file=sys.stderr, flush=True)


def end_of(run):
    """The event that ends a run, or {}."""
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    return next((e for e in reversed(events) if e["type"] == "end" and e["finished"]), {})


def figures(a, method, seed):
    """The last epoch of a run, steps a second and the peak of tensors; None where there is none. What is said of the cells is
    of those that the run gave, which may be those of an earlier epoch; of its end accuracy and gap are of the whole half."""
    run, calibration = a.out / f"{method}-{seed}", a.out / f"{method}-calibration"
    if not (run / "metrics.csv").exists() or not rows_of(run):
        return None
    rows = rows_of(run)
    last = {key: float(value) for key, value in rows[-1].items()}
    end = end_of(run)
    cells = float(end.get("genotype_of_epoch", rows[-1]["epoch"]))
    given = next(row for row in rows if float(row["epoch"]) == cells)
    of_cells = {key: float(given[key]) for key in ("skip_normal", "skip_reduce")}
    if end:
        of_cells |= {"search_accuracy": end["search_accuracy"], "discrete_accuracy": end["discrete_accuracy"],
                     "discretisation_gap": end["search_accuracy"] - end["discrete_accuracy"]}
    batch = tomllib.loads((calibration / "config.toml").read_text())["schedule"]["batch"]
    speed = statistics.median(float(row["images_per_second"]) for row in rows_of(calibration)) / batch
    return {**last, **of_cells, "epochs": len(rows), "steps_per_second": speed,
            "peak_mib": max(float(row["peak_bytes"]) for row in rows) / 2**20,
            "finished": (run / "genotype.json").exists()}


COLUMNS = (("epochs", "epochs", "{:.0f}"), ("steps/s", "steps_per_second", "{:.2f}"), ("peak MiB", "peak_mib", "{:.0f}"),
           ("train loss", "train_loss", "{:.3f}"), ("search loss", "search_loss", "{:.3f}"),
           ("search acc.", "search_accuracy", "{:.3f}"), ("derived acc.", "discrete_accuracy", "{:.3f}"),
           ("gap", "discretisation_gap", "{:+.3f}"), ("skips normal", "skip_normal", "{:.0f}"),
           ("skips reduce", "skip_reduce", "{:.0f}"), ("entropy normal", "entropy_normal", "{:.3f}"),
           ("entropy reduce", "entropy_reduce", "{:.3f}"))


def table(a):
    print("| method | " + " | ".join(title for title, _, _ in COLUMNS) + " |")
    print("|---|" + "---|" * len(COLUMNS))
    for method in a.methods:
        seeds = [f for seed in a.seeds if (f := figures(a, method, seed))]
        if seeds:
            cells = [", ".join(text.format(f[key]) for f in seeds) for _, key, text in COLUMNS]
            cut = "" if all(f["finished"] for f in seeds) else " (cut short)"
            print(f"| `{method}`{cut} | " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="build/release/oche")
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="DIR")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--table", action="store_true", help="run nothing")
    own, options = (sys.argv[1:sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1:]) if "--" in sys.argv \
        else (sys.argv[1:], [])
    a = parser.parse_args(own)
    a.options = options
    a.layers = int(options[options.index("--layers") + 1]) if "--layers" in options else 8
    if not a.methods:
        listed = json.loads(subprocess.run([a.binary, "methods", "--json"], capture_output=True, check=True).stdout)
        a.methods = [m["name"] for m in listed["methods"]]
    a.out.mkdir(parents=True, exist_ok=True)
    if not a.table:
        side_by_side([(calibrate, a, method) for method in a.methods])
        side_by_side([(run_one, a, method, seed) for method in a.methods for seed in a.seeds])
    table(a)


if __name__ == "__main__":
    main()
