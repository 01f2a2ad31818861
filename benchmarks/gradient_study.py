#!/usr/bin/env python3
"""How wrong architecture gradients are along searches, and how curved the losses: the figures of docs/gradient-error.md.

    benchmarks/gradient_study.py --out build/study -- --dataset cifar10 --data data --layers 5 --channels 8 --batch 16 \\
        --train-size 1600 --epochs 20
    benchmarks/gradient_study.py --out build/study --table                     # of what is there so far

Behind `--` stand options of `oche search`. For each method and seed a search is run, which keeps its first, middle and last
checkpoint. At each of them all estimators are held against the exact gradient of one step and against differentiating
through many steps, the radius of DARTS' finite difference is swept in both precisions, and the largest eigenvalues of both
Hessians are measured. What has been done is not done again, so the same command goes on where it was cut short.
"""
import argparse
import concurrent.futures
import csv
import json
import pathlib
import statistics
import subprocess
import sys

RADII = "1e-6,1e-5,1e-4,1e-3,3e-3,1e-2,3e-2,1e-1,3e-1,1"
CHEAP = "first-order,finite-difference,exact-unrolled,neumann,identity,amended"
FAULTS = 7  # exit code of a document with rows that are none


def oche(a, *arguments, codes=(0,)):
    done = subprocess.run([str(c) for c in (a.binary, *arguments, "--threads", a.threads)], capture_output=True, text=True)
    if done.returncode not in codes:
        raise RuntimeError((done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1])
    return done.stdout


def measured(a, path, *arguments):
    """The document of a command, kept in a file."""
    if not path.exists():
        text = oche(a, *arguments, "--json", codes=(0, FAULTS))
        path.write_text(text)
    return json.loads(path.read_text())


def study(a, method, seed):
    run = a.out / f"{method}-{seed}"
    if not (run / "genotype.json").exists():
        start = ["--resume", run] if (run / "ckpt").exists() else \
            ["--method", method, *a.options, "--seed", seed, "--out", run, "--force"]
        oche(a, "search", *start, "--quiet")
    for name, arguments in documents(a):
        measured(a, a.out / f"{method}-{seed}-{name}.json", arguments[0], run, *arguments[1:])


def documents(a):
    """(name, command) of what is measured at the checkpoints of a run."""
    pairs = ["--batches", a.pairs]
    sweep = ["--estimators", "finite-difference", "--reference", "exact-unrolled", "--sweep", f"radius={RADII}"]
    return [("one-step", ["gradient-error", "--estimators", CHEAP, "--reference", "exact-unrolled", *pairs]),
            ("unrolled", ["gradient-error", "--estimators", CHEAP + ",truncated", "--reference", "unrolled",
                          "--set", f"unrolled.steps={a.steps}", "--set", f"truncated.steps={a.steps}", *pairs]),
            ("radius-f32", ["gradient-error", *sweep, "--dtype", "f32"]),
            ("radius-f64", ["gradient-error", *sweep, "--dtype", "f64"]),
            ("points", ["gradient-error", "--estimators", "finite-difference", "--reference", "exact-unrolled",
                        "--sweep", "points=1,2,4", *pairs]),
            ("hessian", ["hessian", "--batches", a.pairs])]


def read(a, method, seed, name):
    path = a.out / f"{method}-{seed}-{name}.json"
    return json.loads(path.read_text())["points"] if path.exists() else []


def show(x, text="{:.3f}"):
    return "-" if x is None else text.format(x)


def table(a):
    for method in a.methods:
        for seed in a.seeds:
            for name in ("one-step", "unrolled", "points"):
                for point in read(a, method, seed, name):
                    print(f"\n{method}, seed {seed}, {name}, epoch {point['epoch']}, {point['pairs']} pairs")
                    print("| estimator | cosine | +- | relative error | arg-max | genotype | bias of skip |\n|---|---|---|---|---|---|---|")
                    for row in point["rows"]:
                        skip = [g["bias"] for g in row["groups"] if g["group"] == "skip_connect"]
                        print(f"| `{row['label']}`{' !' if row['fault'] else ''} | {show(row['cosine']['mean'])} | "
                              f"{show(row['cosine']['deviation'])} | {show(row['error']['mean'])} | {show(row['argmax'])} | "
                              f"{show(row['genotype'])} | {show(skip[0] if skip else None, '{:+.3f}')} |")
            for dtype in ("f32", "f64"):
                for point in read(a, method, seed, f"radius-{dtype}"):
                    errors = [f"{r['sweep']['value']:g}: {show(r['error']['mean'], '{:.2e}')}" for r in point["rows"]
                              if "sweep" in r]
                    print(f"\n{method}, seed {seed}, {dtype}, epoch {point['epoch']}, error by radius: " + ", ".join(errors))
            gaps = {}
            if (a.out / f"{method}-{seed}" / "metrics.csv").exists():
                with open(a.out / f"{method}-{seed}" / "metrics.csv", newline="") as file:
                    gaps = {int(r["epoch"]): float(r["discretisation_gap"]) for r in csv.DictReader(file)}
            for point in read(a, method, seed, "hessian"):
                values = {s["of"]: f"{s['values'][0]:.4g} (each batch: {statistics.mean(s['each_batch'] or s['values']):.4g})"
                          for s in point["spectra"]}
                print(f"\n{method}, seed {seed}, epoch {point['epoch']}, largest eigenvalues: {values}, "
                      f"discretisation gap {show(gaps.get(point['epoch']))}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="build/release/oche")
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="DIR")
    parser.add_argument("--methods", nargs="+", default=["darts-1st", "darts"], metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--pairs", type=int, default=4, help="of batches, at each checkpoint")
    parser.add_argument("--steps", type=int, default=20, help="that the long reference differentiates through")
    parser.add_argument("--threads", type=int, default=1, help="of each of two commands side by side")
    parser.add_argument("--table", action="store_true", help="run nothing")
    own, options = (sys.argv[1:sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1:]) if "--" in sys.argv \
        else (sys.argv[1:], [])
    a = parser.parse_args(own)
    a.options = options
    a.out.mkdir(parents=True, exist_ok=True)
    if not a.table:
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            jobs = {(m, s): pool.submit(study, a, m, s) for m in a.methods for s in a.seeds}
            for (method, seed), job in jobs.items():
                if error := job.exception():
                    print(f"{method}, seed {seed}: {error}", file=sys.stderr, flush=True)
    table(a)


if __name__ == "__main__":
    main()
