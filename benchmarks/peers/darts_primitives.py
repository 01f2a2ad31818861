#!/usr/bin/env python3
"""Times each candidate of a DARTS edge in PyTorch, forward and backward, at the stages of the CIFAR network.

Prints one JSON object: milliseconds by candidate and stage (`16@32x32`: channels, image size), gradients of the input
and of all weights included. Batch statistics, stride 1, as within a search step.

    darts_primitives.py --threads 2 --mode channels_last
"""
import argparse
import json

import peer_modes
import torch

from darts_model import CANDIDATES

STAGES = ((16, 32), (32, 16), (64, 8))  # channels, side of the image


def passes(name, channels, side, args):
    """A function that runs one forward and backward pass."""
    layout = peer_modes.memory_format(args.mode)
    op = CANDIDATES[name](channels, 1).to(args.device, memory_format=layout)
    if peer_modes.has(args.mode, "compile"):
        peer_modes.compile_parts([op])
    x, g = (torch.randn(args.batch, channels, side, side).to(args.device, memory_format=layout) for _ in range(2))
    x.requires_grad_()
    inputs = [x, *op.parameters()]
    return lambda: torch.autograd.grad(op(x), inputs, g)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--candidates", default=",".join(c for c in CANDIDATES if c != "none"), help="separated by commas")
    add("--batch", type=int, default=64)
    add("--threads", type=int, help="default: what torch chooses")
    add("--device", choices=peer_modes.DEVICES, default="cpu")
    add("--mode", choices=peer_modes.CUDA_MODES, default="eager")
    add("--warmup", type=int, default=2)
    add("--reps", type=int, default=7)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    peer_modes.use_device(args.device, args.mode)
    torch.manual_seed(0)
    rows = {f"{name} {channels}@{side}x{side}":
            peer_modes.summary(peer_modes.measure(passes(name, channels, side, args), args.warmup, args.reps, args.device,
                                                  args.mode))
            for name in args.candidates.split(",") for channels, side in STAGES}
    print(json.dumps({"bench": "primitives", "device": args.device, "batch": args.batch, "mode": args.mode,
                      "threads": torch.get_num_threads(), "torch": torch.__version__, "ms": rows,
                      **peer_modes.peak_memory(args.device)}))


if __name__ == "__main__":
    main()
