#!/usr/bin/env python3
"""Times the parts of a DARTS network in PyTorch, forward and backward or forward alone, at the stages of the CIFAR network: each candidate
of an edge, a whole edge (mixed_op), a whole normal cell (cell).

Prints one JSON object: milliseconds by part and stage (`16@32x32`: channels, image size), gradients of the inputs
and of all weights and alphas included. Batch statistics, stride 1, as within a search step.

    darts_parts.py --threads 2 --mode channels_last
"""
import argparse
import json

import peer_modes
import torch

from darts_model import CANDIDATES, Cell, MixedOp

STAGES = ((16, 32), (32, 16), (64, 8))  # channels, side of the image


STEPS = 4  # nodes of a cell


def part(name, channels, side, batch):
    """A module, the images it reads, and the alphas whose softmax it takes besides, if any."""
    def image(width):
        return torch.randn(batch, width, side, side)
    if name == "mixed_op":
        return MixedOp(channels, 1), [image(channels)], torch.randn(len(CANDIDATES))
    if name == "cell":  # after two cells of its kind
        width = STEPS * channels
        alpha = torch.randn(STEPS * (STEPS + 3) // 2, len(CANDIDATES))
        return Cell(STEPS, width, width, channels, False, False), [image(width), image(width)], alpha
    return CANDIDATES[name](channels, 1), [image(channels)], None


def passes(name, channels, side, args):
    """A function that runs one forward and backward pass, or with --forward the former."""
    layout = peer_modes.memory_format(args.mode)
    op, images, alpha = part(name, channels, side, args.batch)
    op = op.to(args.device, memory_format=layout)
    if peer_modes.has(args.mode, "compile"):
        peer_modes.compile_parts([m for m in op.modules() if isinstance(m, MixedOp)] or [op])
    images = [x.to(args.device, memory_format=layout).requires_grad_() for x in images]
    alphas = [] if alpha is None else [alpha.to(args.device).requires_grad_()]

    def forward():
        return op(*images, *(torch.softmax(a, dim=-1) for a in alphas))
    if args.forward:
        return torch.no_grad()(forward)
    g = torch.randn_like(forward())
    inputs = [*images, *alphas, *op.parameters()]
    return lambda: torch.autograd.grad(forward(), inputs, g)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--parts", default=",".join([*(c for c in CANDIDATES if c != "none"), "mixed_op", "cell"]),
        help="separated by commas")
    add("--batch", type=int, default=64)
    add("--forward", action="store_true", help="forward passes alone, without a graph")
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
            for name in args.parts.split(",") for channels, side in STAGES}
    print(json.dumps({"bench": "parts", "device": args.device, "batch": args.batch, "mode": args.mode,
                      "threads": torch.get_num_threads(), "torch": torch.__version__, "ms": rows,
                      **peer_modes.peak_memory(args.device)}))


if __name__ == "__main__":
    main()
