#!/usr/bin/env python3
"""Searches with every method for the same time on the wall, two seeds side by side, and prints one row a method.

    benchmarks/compare_methods.py --out build/methods --minutes 10 -- --dataset cifar10 --data data \\
        --layers 5 --channels 8 --batch 64 --train-size 4000
    benchmarks/compare_methods.py --out build/methods --table                   # of what has run so far

Behind `--` stand options of `oche search` for all methods; what a method fixes itself (its rates, relaxation, decision,
...) stays. Each method is first run for an epoch, which says how many fit the time; epochs that the alphas rest and the
layers of stages shrink with them, as does what a stop counts in epochs. Each run has one thread. A run that is cut short
is gone on with by the same command, and what has ended is not run again; runs that exceed the time by a quarter are ended.
"""
import argparse
import csv
import json
import pathlib
import signal
import statistics
import subprocess
import sys
import time
import tomllib

LIMIT = 1.25  # times the minutes


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


def calibrate(a, method):
    """Seconds of an epoch: one run, kept."""
    run = a.out / f"{method}-calibration"
    p = preset(a, method)
    stages = max(1, len([n for n in p["stages"]["layers"].split(",") if n]))
    if not (run / "genotype.json").exists():
        command = [a.binary, "search", *scaled(a, method, stages), *a.options, "--threads", 1, "--out", run, "--force",
                   "--quiet"]
        subprocess.run([str(c) for c in command], stdout=subprocess.DEVNULL, check=True)
    return statistics.mean(float(row["seconds"]) for row in rows_of(run))


def pair(a, method):
    """Runs all seeds of a method to their ends, or as long as the time lasts."""
    epochs = max(1, int(60 * a.minutes / calibrate(a, method)))
    running = {}
    for seed in a.seeds:
        run, used = a.out / f"{method}-{seed}", a.out / f"{method}-{seed}.seconds"
        spent = float(used.read_text()) if used.exists() else 0
        if (run / "genotype.json").exists() or spent > 60 * a.minutes * LIMIT:
            continue
        start = ["--resume", run] if (run / "ckpt").exists() else \
            [*scaled(a, method, epochs), *a.options, "--seed", seed, "--out", run]
        command = [a.binary, "search", *start, "--threads", 1, "--quiet"]
        running[subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL)] = (used, spent, time.monotonic())
    try:
        while running:
            time.sleep(1)
            for process, (used, spent, since) in list(running.items()):
                total = spent + time.monotonic() - since
                used.write_text(str(total))
                if total > 60 * a.minutes * LIMIT:
                    process.send_signal(signal.SIGTERM)
                    process.wait()
                if process.poll() is not None:
                    del running[process]
    except KeyboardInterrupt:
        for process in running:
            process.send_signal(signal.SIGTERM)
            process.wait()
        raise


def figures(run):
    """The last epoch of a run, steps a second and the peak of tensors; None where there is none."""
    if not (run / "metrics.csv").exists() or not rows_of(run):
        return None
    rows = rows_of(run)
    last = {key: float(value) for key, value in rows[-1].items()}
    config = tomllib.loads((run / "config.toml").read_text())
    speed = statistics.median(float(row["images_per_second"]) for row in rows) / config["schedule"]["batch"]
    return {**last, "epochs": len(rows), "steps_per_second": speed,
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
        seeds = [f for seed in a.seeds if (f := figures(a.out / f"{method}-{seed}"))]
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
    for method in [] if a.table else a.methods:
        print(method, file=sys.stderr, flush=True)
        try:
            pair(a, method)
        except (subprocess.CalledProcessError, OSError) as error:
            print(f"{method}: {error}", file=sys.stderr)
    table(a)


if __name__ == "__main__":
    main()
