#!/usr/bin/env python3
r"""PyTorch peer of the DARTS search step: times it, or writes the values that it should produce.

Needs torch and numpy. Timing prints one JSON object:

    darts_torch.py --layers 5 --channels 8 --batch 32 --order 1 --threads 2 --mode channels_last

A state file (safetensors) holds a random problem under `w/ momentum/ alpha/ x_* y_*` and what
PyTorch makes of it, in both precisions, under `f32/` and `f64/`. The fixture of the tests is

    darts_torch.py --layers 3 --channels 2 --batch 2 --alpha-scale 0.5 --seed 33 --threads 1 \
        --export tests/data/darts_state.safetensors

Its seed is chosen so that float32 rounding flips no ReLU or max-pool: one that flips moves a whole
weight gradient, and says nothing about the code under test.
"""
import argparse
import json

import numpy as np
import peer_modes
import torch
from torch.nn import functional as F

from darts_model import CANDIDATES, MixedOp, Supernet, hard_mixture
from darts_search import ETA, Batch, Search

DTYPES = {"f32": torch.float32, "f64": torch.float64}
CELL_TYPES = ("normal", "reduce")
SEARCH_STEPS = 3  # whole steps that a state file follows


# State: a dict from the keys of the file to tensors. Float32, so that both precisions start equal.
def random_batch(size):
    return Batch(torch.randn(size, 3, 32, 32), torch.randint(10, (size,)))


def random_state(args):
    torch.manual_seed(args.seed)
    model = Supernet(args.layers, args.channels, args.steps)
    state = {}
    for name, w in model.named_parameters():
        state[f"w/{name}"] = w.detach()
        state[f"momentum/{name}"] = 0.05 * torch.randn_like(w)
    for kind in CELL_TYPES:
        state[f"alpha/{kind}"] = args.alpha_scale * torch.randn(model.alpha_shape)
    for split in ("train", "val"):
        state[f"x_{split}"], state[f"y_{split}"] = random_batch(args.batch)
    return state


def entries(state, prefix):
    return {k[len(prefix):]: v for k, v in state.items() if k.startswith(prefix)}


def open_state(args, state, dtype, order=1, momentum=False):
    """A fresh search at `state` and its two batches (train, val)."""
    model = Supernet(args.layers, args.channels, args.steps)
    model.load_state_dict({**model.state_dict(), **entries(state, "w/")})  # statistics stay fresh
    alphas = [state[f"alpha/{kind}"].to(dtype, copy=True).requires_grad_() for kind in CELL_TYPES]
    search = Search(model.to(dtype), alphas, order)
    if momentum:
        search.set_momentum({n: b.to(dtype) for n, b in entries(state, "momentum/").items()})
    return search, *(Batch(state[f"x_{split}"].to(dtype), state[f"y_{split}"])
                     for split in ("train", "val"))


def expected_values(args, state, dtype):
    """What PyTorch computes at `state`, keyed as in the file below its precision."""
    rows = {}

    def record(prefix, values):
        rows.update({f"{prefix}/{k}": v.detach().clone() for k, v in values.items()})

    def by_cell_type(prefix, tensors):
        return {f"{prefix}/{kind}": t for kind, t in zip(CELL_TYPES, tensors)}

    for which, split in enumerate(("train", "val")):
        search, *batches = open_state(args, state, dtype)
        cells = {}
        for i, cell in enumerate(search.model.cells):
            cell.register_forward_hook(
                lambda _module, _inputs, out, i=i: cells.update({f"cell_out/{i}": out}))
        x, y = batches[which]
        logits = search.model(x, search.alphas)
        loss = F.cross_entropy(logits, y)
        loss.backward()
        record(split, {"logits": logits, "loss": loss, **cells})
        record(f"{split}/dw", {n: w.grad for n, w in search.weights.items()})
        record(split, by_cell_type("dalpha", [torch.zeros_like(a) if a.grad is None else a.grad
                                              for a in search.alphas]))
        if split == "train":
            record("train/buffer_after", dict(search.model.named_buffers()))

    for prefix, momentum in (("second_order", False), ("second_order_momentum", True)):
        search, train, val = open_state(args, state, dtype, order=2, momentum=momentum)
        record(prefix, by_cell_type("dalpha", search.alpha_gradient(train, val)))
        record(prefix, by_cell_type("dalpha_exact", search.exact(train, val)))

    for order in (1, 2):
        search, train, val = open_state(args, state, dtype, order)
        for i in range(SEARCH_STEPS):
            loss = search.step(train, val)
            prefix = f"steps_order{order}/{i}"
            record(prefix, {"loss": loss, **by_cell_type("alpha", search.alphas)})
        record(f"steps_order{order}/final_w", search.weights)
    return rows


def write_safetensors(path, tensors, metadata):
    """Header length (u64), JSON header, little-endian data; widest types first, so aligned."""
    kinds = {"float64": "F64", "int64": "I64", "float32": "F32"}
    arrays = {k: np.asarray(t.detach(), order="C") for k, t in tensors.items()}
    header, end = {"__metadata__": metadata}, 0
    order = sorted(arrays, key=lambda k: (-arrays[k].itemsize, k))
    for key in order:
        a, begin = arrays[key], end
        end = begin + a.nbytes
        header[key] = {"dtype": kinds[a.dtype.name], "shape": a.shape, "data_offsets": (begin, end)}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for key in order:
            file.write(arrays[key].tobytes())


def export(args):
    state = random_state(args)
    tensors = dict(state)
    for tag, dtype in DTYPES.items():
        tensors.update({f"{tag}/{k}": v for k, v in expected_values(args, state, dtype).items()})
    settings = {k: getattr(args, k)
                for k in ("layers", "channels", "steps", "batch", "seed", "alpha_scale")}
    metadata = {**settings, "eta": ETA, "relaxation": "softmax", "primitives": list(CANDIDATES),
                "torch": torch.__version__}
    write_safetensors(args.export, tensors, {k: v if isinstance(v, str) else json.dumps(v)
                                             for k, v in metadata.items()})


def measure(args):
    """Milliseconds of the whole search step after warm-up, and the peak of memory."""
    peer_modes.use_device(args.device, args.mode)
    torch.manual_seed(args.seed)
    dtype = DTYPES[args.dtype]
    layout = peer_modes.memory_format(args.mode)
    model = Supernet(args.layers, args.channels, args.steps).to(args.device, dtype)
    if args.hard:
        model.mixture = hard_mixture
    model.to(memory_format=layout)
    alphas = [(args.alpha_scale * torch.randn(model.alpha_shape, dtype=dtype)).to(args.device)
              .requires_grad_() for _ in CELL_TYPES]
    if peer_modes.has(args.mode, "compile"):
        peer_modes.compile_parts(m for m in model.modules() if isinstance(m, MixedOp))
    search = Search(model, alphas, args.order, args.lean,
                    capturable=peer_modes.has(args.mode, "graph"))
    batches = [Batch(b.x.to(args.device, dtype, memory_format=layout), b.y.to(args.device))
               for b in (random_batch(args.batch), random_batch(args.batch))]

    times = peer_modes.measure(lambda: search.step(*batches), args.warmup, args.reps, args.device,
                               args.mode)
    settings = {k: getattr(args, k) for k in ("device", "layers", "channels", "steps", "batch",
                                              "order", "dtype", "mode", "lean", "reps")}
    print(json.dumps({
        "bench": "search_step", **settings, "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "ms": peer_modes.summary(times), **peer_modes.peak_memory(args.device)}))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--layers", type=int, default=8, help="cells")
    add("--channels", type=int, default=16, help="of the first cells' nodes")
    add("--steps", type=int, default=4, help="nodes in a cell")
    add("--batch", type=int, default=64)
    add("--order", type=int, choices=(1, 2), default=1)
    add("--seed", type=int, default=0)
    add("--alpha-scale", type=float, default=1e-3, help="standard deviation of the alphas")
    add("--threads", type=int, help="default: what torch chooses")
    add("--dtype", choices=DTYPES, default="f32")
    add("--device", choices=peer_modes.DEVICES, default="cpu", help="of the timing")
    add("--mode", choices=peer_modes.CUDA_MODES, default="eager",
        help="memory format NCHW, NHWC, or NHWC with every mixed op compiled (torch 2.2 or newer); "
             "with --device cuda also TF32, the step as a CUDA graph, and several of these")
    add("--hard", action="store_true", help="each edge runs one drawn candidate (GDAS)")
    add("--lean", action="store_true", help="order 1: no weight gradients in the alpha pass")
    add("--warmup", type=int, default=2, help="steps before timing; more while it compiles")
    add("--reps", type=int, default=7)
    add("--export", metavar="FILE.safetensors", help="write a state file instead of timing")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    export(args) if args.export else measure(args)


if __name__ == "__main__":
    main()
