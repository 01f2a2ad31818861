#!/usr/bin/env python3
"""Times whole search steps of ours and of PyTorch in turn, and prints one JSON object with the ratios.

    cmake --preset release -DBUILD_BENCHMARKS=ON && cmake --build --preset release
    benchmarks/compare_search_step.py --layers 5 --channels 8 --batch 32 --rounds 7

Each round starts one process of each, so that a change in the machine's load falls on both; a process warms up and times
a few steps. Medians over the rounds' medians. Needs torch and numpy for the peer.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
GRADIENTS = {1: "first-order", 2: "finite-difference"}


def last_json(command):
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(out.strip().splitlines()[-1])


def ours(a):
    row = last_json([a.binary, *map(str, (a.layers, a.channels, a.batch)), GRADIENTS[a.order], str(a.steps), str(a.threads)])
    return row["ms"]["median"], row["peak_resident_mib"]


def peer(a, mode):
    row = last_json([sys.executable, str(HERE / "peers" / "darts_torch.py"), "--layers", str(a.layers), "--channels",
                     str(a.channels), "--batch", str(a.batch), "--order", str(a.order), "--threads", str(a.threads),
                     "--mode", mode, "--warmup", "2", "--reps", str(a.steps)])
    return row["ms"]["median"], row["peak_rss_mib"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--binary", default=str(HERE.parent / "build" / "release" / "benchmarks" / "search_step"))
    p.add_argument("--layers", type=int, default=5)
    p.add_argument("--channels", type=int, default=8)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--order", type=int, choices=(1, 2), default=1)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--steps", type=int, default=3, help="timed steps of a round")
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--modes", default="channels_last", help="of the peer, separated by commas")
    a = p.parse_args()

    runs = {"oche": lambda: ours(a), **{mode: (lambda m=mode: peer(a, m)) for mode in a.modes.split(",")}}
    results = {name: [] for name in runs}
    for _ in range(a.rounds):
        for name, run in runs.items():
            results[name].append(run())
    rows = {name: {"ms": {"median": round(statistics.median(t for t, _ in r), 1), "min": round(min(t for t, _ in r), 1),
                          "max": round(max(t for t, _ in r), 1)},
                   "peak_resident_mib": round(statistics.median(m for _, m in r), 1)} for name, r in results.items()}
    for row in rows.values():
        row["time_over_oche"] = round(row["ms"]["median"] / rows["oche"]["ms"]["median"], 2)
        row["memory_over_oche"] = round(row["peak_resident_mib"] / rows["oche"]["peak_resident_mib"], 2)
    print(json.dumps({"bench": "search_step", "layers": a.layers, "channels": a.channels, "batch": a.batch, "order": a.order,
                      "threads": a.threads, "rounds": a.rounds, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
