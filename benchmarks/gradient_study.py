#!/usr/bin/env python3
"""How wrong architecture gradients are along searches, and how curved the losses: the figures of docs/gradient-error.md.

    benchmarks/gradient_study.py --out build/study -- --dataset cifar10 --data data --layers 5 --channels 8 --batch 16 \\
        --train-size 1600 --epochs 24
    benchmarks/gradient_study.py --out build/study --table                     # of what is there so far
    benchmarks/gradient_study.py --out build/study --picture study.svg         # likewise; needs matplotlib

Behind `--` stand options of `oche search`. For each method and seed a search is run. At its first, middle and last
checkpoint all estimators that a network of this size affords are held against the exact gradient of one step and against
differentiating through many steps, each on the next train batch; the radius of DARTS' finite difference is swept in both
precisions and without the kinks of relu; the largest eigenvalues of both Hessians are measured at more epochs. What has
been done is not done again, so the same command goes on where it was cut short. Exit code 1: a search or a measurement
failed.
"""
import argparse
import collections
import concurrent.futures
import csv
import functools
import json
import pathlib
import statistics
import subprocess
import sys

RADII = "1e-6,1e-5,1e-4,1e-3,3e-3,1e-2,3e-2,1e-1,3e-1,1,3"
CHEAP = "first-order,finite-difference,exact-unrolled,neumann,identity,amended"
LONG = CHEAP + ",truncated,cg,minres,nystrom,zero-order"
FAULTS = 7  # exit code of a document with rows that are none


def oche(a, *arguments, codes=(0,)):
    done = subprocess.run([str(c) for c in (a.binary, *arguments, "--threads", a.threads)], capture_output=True, text=True)
    if done.returncode not in codes:
        raise RuntimeError((done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1])
    return done.stdout


def measure(a, path, *arguments):
    """Keeps the document of a command in a file, with the command."""
    command = [str(c) for c in arguments]
    if path.exists() and json.loads(path.read_text()).get("command") == command:
        return
    document = json.loads(oche(a, *command, "--json", codes=(0, FAULTS)))
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps({"command": command, **document}))
    aside.replace(path)


def study(a, method, seed):
    run = a.out / f"{method}-{seed}"
    if not (run / "genotype.json").exists():
        start = ["--resume", run] if any((run / "ckpt").glob("*.safetensors")) else \
            ["--method", method, *a.options, "--seed", seed, "--out", run, "--force"]
        oche(a, "search", *start, "--keep-every", 1, "--quiet")
    for name, arguments in documents(a):
        epochs = spread(run, a.spectra if name == "hessian" else 3)
        measure(a, a.out / f"{method}-{seed}-{name}.json", arguments[0], run, "--epochs", epochs, *arguments[1:])


def spread(run, count):
    """So many epochs from the first to the last, as evenly as the checkpoints that a run has kept allow."""
    kept = sorted(int(file.stem.split("-")[1]) for file in (run / "ckpt").glob("epoch-*.safetensors"))
    even = [kept[0] + i * (kept[-1] - kept[0]) / (count - 1) for i in range(count)]
    return ",".join(str(epoch) for epoch in sorted({min(kept, key=lambda epoch: abs(epoch - e)) for e in even}))


def documents(a):
    """(name, command) of what is measured at the checkpoints of a run."""
    one_step = ["gradient-error", "--reference", "exact-unrolled", "--estimators"]
    long = ["gradient-error", "--reference", "unrolled", "--set", f"unrolled.steps={a.steps}", "--train-batches", a.steps,
            "--estimators"]
    numbers = {"truncated.steps": a.steps, "neumann.terms": a.products, "cg.iterations": a.products,
               "minres.iterations": a.products, "nystrom.iterations": a.products,
               "zero-order.steps": a.steps, "zero-order.samples": 4}
    pairs = ["--batches", a.pairs]
    radii = [*one_step, "finite-difference", "--sweep", f"radius={RADII}", *pairs]
    every = [("one-step", [*one_step, CHEAP, *pairs]),
             ("same-xi", [*one_step, "first-order,finite-difference", "--xi", 0.025, *pairs]),
             ("points", [*one_step, "finite-difference", "--sweep", "points=1,2,4", *pairs]),
             ("chosen", [*one_step, "finite-difference", "--set", "finite-difference.doublings=8", *pairs]),
             ("unrolled", [*long, LONG, *(o for key, value in numbers.items() for o in ("--set", f"{key}={value}"))]),
             ("horizon", [*long, "unrolled", "--sweep", "T=1,2,5,10"]),
             ("radius-f32", [*radii, "--dtype", "f32"]),
             ("radius-f64", [*radii, "--dtype", "f64"]),
             ("radius-smooth", [*radii, "--dtype", "f64", "--smooth", "10"]),
             ("hessian", ["hessian", *pairs])]
    return [(name, command) for name, command in every if not a.only or name in a.only]


def read(a, method, seed, name):
    """The points of a document: of the Hessians at all of its epochs, else at the start, the middle and the end, and
    None where a run kept too few epochs for one."""
    path = a.out / f"{method}-{seed}-{name}.json"
    points = json.loads(path.read_text())["points"] if path.exists() else []
    return points if name == "hessian" else [*points[:-1], *[None] * (3 - len(points)), *points[-1:]]


def gaps(a, method, seed):
    """{epoch: discretisation gap} of a search."""
    path = a.out / f"{method}-{seed}" / "metrics.csv"
    if not path.exists():
        return {}
    with open(path, newline="") as file:
        return {int(r["epoch"]): float(r["discretisation_gap"]) for r in csv.DictReader(file)}


def runs(a):
    return [(method, seed) for method in a.methods for seed in a.seeds]


def at_least_two(text):
    value = int(text)
    if value < 2:
        raise argparse.ArgumentTypeError("expected a number from 2")
    return value


def mean(values, text, of=statistics.mean):
    found = [v for v in values if v is not None]
    return text.format(of(found)) if found else "-"


def geometric_mean(values):
    return statistics.geometric_mean(values) if min(values) > 0 else 0


def table(a):
    """Means over all methods and seeds, of errors and lengths geometric ones, at the start, the middle and the end of the
    searches."""
    for name, _ in documents(a):
        rows = collections.defaultdict(lambda: ([], [], []))
        for run in runs(a):
            for place, point in enumerate(read(a, *run, name)):
                for row in point.get("rows", []) if point else []:
                    if not row["reference"]:
                        rows[row["label"]][place].append(row)
        if rows:
            print(f"\n{name}: cosine, (relative error), x length, bias of skip, edges of the genotype\n")
            print("| | start | middle | end |\n|---|---|---|---|")
        for label, places in rows.items():
            cells = [" ".join((mean([r["cosine"]["mean"] for r in found], "{:.3f}"), mean([r["error"]["mean"] for r in found], "({:.2g})", geometric_mean),
                               mean([r["norm_ratio"]["mean"] for r in found], "x{:.2g}", geometric_mean),
                               mean([g["bias"] for r in found for g in r["groups"] if g["group"] == "skip_connect"], "{:+.2f}"),
                               mean([r["genotype"] for r in found], "{:.2f}"),
                               "!" * any(r["fault"] for r in found))).strip() for found in places]
            print(f"| `{label}` | " + " | ".join(cells) + " |")
    for run in runs(a):
        gap = gaps(a, *run)
        for point in read(a, *run, "hessian"):
            values = {s["of"]: f"{s['values'][0]:.4g}" for s in point["spectra"]}
            print(f"\n{run[0]}, seed {run[1]}, epoch {point['epoch']}: largest eigenvalues {values}, "
                  f"discretisation gap {mean([gap.get(point['epoch'])], '{:.3f}')}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="build/release/oche")
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="DIR")
    parser.add_argument("--methods", nargs="+", default=["darts-1st", "darts"], metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--pairs", type=int, default=4, help="of batches, at each checkpoint")
    parser.add_argument("--steps", type=int, default=20, help="that the long reference differentiates through")
    parser.add_argument("--products", type=int, default=10, help="of Hessian and vector, that a solver may take")
    parser.add_argument("--spectra", type=at_least_two, default=11, help="epochs of a search at which the Hessians are measured")
    parser.add_argument("--only", nargs="+", metavar="DOCUMENT", help="of what is measured at a checkpoint")
    parser.add_argument("--threads", type=int, default=1, help="of each of two commands side by side")
    parser.add_argument("--picture", type=pathlib.Path, metavar="FILE", help="draw what is there; run nothing")
    parser.add_argument("--table", action="store_true", help="run nothing")
    own, options = (sys.argv[1:sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1:]) if "--" in sys.argv \
        else (sys.argv[1:], [])
    a = parser.parse_args(own)
    a.options = options
    a.out.mkdir(parents=True, exist_ok=True)
    if a.picture:
        import gradient_picture
        return gradient_picture.draw(a.picture, runs(a), functools.partial(read, a), functools.partial(gaps, a))
    failed = False
    if not a.table:
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            jobs = {run: pool.submit(study, a, *run) for run in runs(a)}
            for (method, seed), job in jobs.items():
                if error := job.exception():
                    failed = True
                    print(f"{method}, seed {seed}: {error}", file=sys.stderr, flush=True)
    table(a)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
