#!/usr/bin/env python3
"""Runs ours and PyTorch in turn and prints ratios of time and peak memory.

    benchmarks/compare_pytorch.py step --layers 5 --channels 8 --batch 32     # whole search steps
    benchmarks/compare_pytorch.py parts                                       # forward and backward of candidates, edge, cell
    benchmarks/compare_pytorch.py step --python venv/bin/python --python /usr/bin/python3 --order 1 2 --threads 1 2
    benchmarks/compare_pytorch.py step --device cuda --modes channels_last graph+tf32

A peer is an interpreter with torch and numpy (--python, several times) in a mode: eager, channels_last (memory format),
compile (and channels_last); on a CUDA device also tf32, graph and several of them. Memory is the peak resident size, on
a device the peak of tensors there. Each round starts one process of every program, each second round backwards, so that a
change in the machine's load falls on all; a process warms up, for as long as it compiles, and times a few repetitions.
Figures are medians over the rounds. The peer to compare with is the fastest of all. A program that fails is reported
and left out; of ours that ends in exit code 1. A table goes to stdout, all figures to --json.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
MODES = {"cpu": ("eager", "channels_last", "compile")}  # as in peers/peer_modes.py, which needs torch
MODES["cuda"] = MODES["cpu"] + ("tf32", "graph", "graph+tf32", "compile+tf32", "compile+graph", "compile+graph+tf32")
STAGES = ((16, 32), (32, 16), (64, 8))
PRECISIONS = ("fp32", "tf32", "bf16")  # as the bench counts them
PARTS = ("max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5",
         "mixed_op", "cell")


class Failed(Exception):
    pass


def output(command, **environment):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, env={**os.environ, **environment})
    if done.returncode != 0:
        raise Failed((done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1])
    return done.stdout


def ours(a, order, threads):
    """({row: milliseconds}, peak MiB) of one process."""
    precision = PRECISIONS.index(a.precision)
    if a.what == "step":
        names = {"search step": f"search_step/layers:{a.layers}/channels:{a.channels}/batch:{a.batch}/order:{order}/"
                                f"relaxation:{3 if a.hard else 0}/fuse:1/precision:{precision}"}
    else:
        passes = f"backward:{0 if a.forward else 1}"
        kind = {"cell": f"reduction:0/{passes}/fuse:1/precision:{precision}", "mixed_op": f"stride:1/{passes}/fuse:1"}
        names = {f"{p} {c}@{side}x{side}": f"{p}/n:{a.batch}/h:{side}/w:{side}/c:{c}/{kind.get(p, f'stride:1/{passes}')}"
                 for p in a.parts for c, side in STAGES}
    command = [a.binary, *names.values(), "--threads", threads, "--repetitions", a.repetitions, "--min-time", "1e-9",
               "--json", "--quiet"]  # one call a repetition
    if a.device != "cpu":
        command += ["--device", a.device]
    document = json.loads(output(command, **({"LD_LIBRARY_PATH": a.library_path} if a.library_path else {})))
    found = {row["row"]: 1e3 * row["seconds"]["median"] for row in document["rows"]}
    if a.device == "cpu":
        peak = document["peak_resident_bytes"]
    else:
        peak = max(row["peak_tensor_bytes"] for row in document["rows"])
    return {row: found[name] for row, name in names.items()}, peak / 2**20


def peer(a, python, mode, order, threads):
    """The same of PyTorch, and its version."""
    if a.what == "step":
        what = ["darts_torch.py", "--layers", a.layers, "--channels", a.channels, "--order", order,
                *(["--hard"] if a.hard else [])]
    else:
        what = ["darts_parts.py", "--parts", ",".join(a.parts), *(["--forward"] if a.forward else [])]
    text = output([python, HERE / "peers" / what[0], *what[1:], "--batch", a.batch, "--threads", threads,
                   "--device", a.device, "--mode", mode, "--warmup", a.warm_up, "--reps", a.repetitions])
    row = json.loads(text.strip().splitlines()[-1])
    times = {"search step": row["ms"]} if a.what == "step" else row["ms"]
    peak = row["peak_rss_mib" if a.device == "cpu" else "peak_device_mib"]
    return {name: ms["median"] for name, ms in times.items()}, peak, row["torch"]


def rounds(a, order, threads):
    """{program: [({row: ms}, MiB) for each round]}, {program: why it failed}."""
    names, results, failures = {}, {}, {}

    def run_peer(python, mode):
        *figures, version = peer(a, python, mode, order, threads)
        names[python, mode] = f"torch {version} {mode}"
        return figures

    def label(program):
        return program if program == "oche" else names.get(program, " ".join(program))

    programs = {} if a.peers_only else {"oche": lambda: ours(a, order, threads)}
    for python in a.python:
        for mode in a.modes:
            programs[python, mode] = lambda p=python, m=mode: run_peer(p, m)
    for i in range(a.rounds):
        for program in list(programs)[::1 if i % 2 == 0 else -1]:
            if program in failures:
                continue
            try:
                results.setdefault(program, []).append(programs[program]())
            except (Failed, OSError) as e:
                failures[program] = str(e)
                results.pop(program, None)
            print(f"round {i + 1}/{a.rounds}, order {order}, {threads} threads:", label(program), file=sys.stderr)
    return {label(p): r for p, r in results.items()}, {label(p): why for p, why in failures.items()}


def compare(a, order, threads):
    """Rows of a case as they go into the JSON document."""
    results, failures = rounds(a, order, threads)
    memory = "peak_resident_mib" if a.device == "cpu" else "peak_device_mib"
    rows = []
    for row in next(iter(results.values()), [({}, 0)])[0][0]:
        figures = {}
        for program, runs in results.items():
            ms, mib = [times[row] for times, _ in runs], [m for _, m in runs]
            figures[program] = {"ms": {"median": statistics.median(ms), "min": min(ms), "max": max(ms)},
                                memory: statistics.median(mib)}
        peers = {p: f for p, f in figures.items() if p != "oche"}
        entry = {"row": row, "threads": threads, "programs": figures}
        if a.what == "step":
            entry["order"] = order
        if peers:
            best = min(peers, key=lambda p: peers[p]["ms"]["median"])
            entry["best_peer"] = best
        if peers and "oche" in figures:
            entry["time_over_oche"] = peers[best]["ms"]["median"] / figures["oche"]["ms"]["median"]
            if a.what == "step":  # of parts a process runs them all
                entry["memory_over_oche"] = peers[best][memory] / figures["oche"][memory]
        rows.append(entry)
    return rows, failures


def table(rows):
    lines = [f"{'':<24} {'threads':>7} {'program':<32} {'ms: median':>10} {'min':>9} {'max':>9} {'MiB':>8}"]
    for r in rows:
        name = f"{r['row']}, order {r['order']}" if "order" in r else r["row"]
        for program, f in r["programs"].items():
            mark = " *" if program == r.get("best_peer") else ""
            ms = f["ms"]
            lines.append(f"{name:<24} {r['threads']:>7} {program + mark:<32} {ms['median']:>10.2f} {ms['min']:>9.2f} "
                         f"{ms['max']:>9.2f} {f.get('peak_resident_mib', f.get('peak_device_mib')):>8.0f}")
        if "time_over_oche" in r:
            memory = f", memory {r['memory_over_oche']:.2f}" if "memory_over_oche" in r else ""
            lines.append(f"{'':<32} best peer (*) over oche: time {r['time_over_oche']:.2f}{memory}")
    return "\n".join(lines)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=("step", "parts"))
    p.add_argument("--binary", default=str(HERE.parent / "build" / "release" / "oche-bench"))
    p.add_argument("--python", action="append", metavar="PATH", help=f"an interpreter with torch [{sys.executable}]")
    p.add_argument("--device", choices=MODES, default="cpu")
    p.add_argument("--modes", nargs="+", choices=MODES["cuda"], help="[all of the device]")
    p.add_argument("--peers-only", action="store_true", help="without ours")
    p.add_argument("--library-path", metavar="DIRS", help="LD_LIBRARY_PATH of ours")
    p.add_argument("--order", nargs="+", type=int, choices=(1, 2), default=[1], help="of the architecture gradient")
    p.add_argument("--hard", action="store_true", help="steps that run one drawn candidate on each edge")
    p.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of our fused cells")
    p.add_argument("--threads", nargs="+", type=int, default=[2])
    p.add_argument("--layers", type=int, default=8)
    p.add_argument("--channels", type=int, default=16)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    p.add_argument("--forward", action="store_true", help="of parts, forward passes alone")
    p.add_argument("--warm-up", type=int, default=2, help="calls of a peer before the timed ones")
    p.add_argument("--repetitions", type=int, default=3, help="timed in a process")
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--json", metavar="FILE", type=pathlib.Path)
    a = p.parse_args()
    a.python = a.python or [sys.executable]
    a.modes = a.modes or MODES[a.device]
    if not set(a.modes) <= set(MODES[a.device]):
        p.error(f"--modes: on {a.device} they are {', '.join(MODES[a.device])}")

    document = {"what": a.what, "device": a.device, "batch": a.batch, "rounds": a.rounds, "repetitions": a.repetitions, "rows": [], "failed": []}
    if a.what == "step":
        document.update(layers=a.layers, channels=a.channels)
    for order in a.order if a.what == "step" else [1]:
        for threads in a.threads:
            rows, failures = compare(a, order, threads)
            document["rows"] += rows
            document["failed"] += [{"program": program, "order": order, "threads": threads, "why": why}
                                   for program, why in failures.items()]
    print(table(document["rows"]))
    for f in document["failed"]:
        print(f"failed: {f['program']}: {f['why']}")
    if a.json:
        a.json.write_text(json.dumps(document, indent=1) + "\n")
    if any(f["program"] == "oche" for f in document["failed"]):
        sys.exit(1)


if __name__ == "__main__":
    main()
