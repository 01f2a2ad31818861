"""How the peer is run: its modes and devices, a warm-up that covers compilation, and the figures of a row."""
import resource
import statistics
import time
import warnings
from contextlib import nullcontext

import torch

# float32 throughout. eager: NCHW; all others: NHWC. compile: each part by itself. tf32: products and convolutions on
# tensor cores, their inputs rounded to 10 bits of mantissa. graph: the whole call is one CUDA graph, replayed.
CPU_MODES = ("eager", "channels_last", "compile")
CUDA_MODES = CPU_MODES + ("tf32", "graph", "graph+tf32", "compile+tf32", "compile+graph", "compile+graph+tf32")
DEVICES = {"cpu": CPU_MODES, "cuda": CUDA_MODES}
MAX_WARM_UP = 30  # calls, of a function that keeps being compiled
warnings.filterwarnings("ignore")  # stdout and the last line of stderr belong to results


def has(mode, part):
    return part in mode.split("+")


def memory_format(mode):
    return torch.contiguous_format if mode == "eager" else torch.channels_last


def use_device(device, mode):
    """Refuses what this torch or machine has not; sets what belongs to the process."""
    if mode not in DEVICES[device]:
        raise SystemExit(f"--mode {mode} is not for {device}; expected one of {', '.join(DEVICES[device])}")
    if device == "cuda":
        if not torch.cuda.is_available():
            raise SystemExit(f"--device cuda: torch {torch.__version__} finds no CUDA device")
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = has(mode, "tf32")
        torch.backends.cudnn.benchmark = True  # the fastest algorithm for each shape; the warm-up finds it


def compile_parts(modules):
    """Compiles each module by itself: code is shared between those of the same kind and shape.

    A supernet compiled in one piece takes hours. Shapes are fixed, so nothing is gained by leaving
    them open; every cell type, stage and way of calling is a variant, hence the high limit.
    """
    if not hasattr(torch.nn.Module, "compile"):
        raise SystemExit(f"--mode compile needs torch 2.2 or newer; this is {torch.__version__}")
    limit = "recompile_limit" if hasattr(torch._dynamo.config, "recompile_limit") else "cache_size_limit"
    setattr(torch._dynamo.config, limit, 256)
    for module in modules:
        module.compile(dynamic=False)


def compiled_graphs():
    if not hasattr(torch, "_dynamo"):
        return 0
    from torch._dynamo.utils import counters
    return counters["stats"]["unique_graphs"]


def warm(call, warm_up):
    """Calls until `warm_up` calls are done and the last of them compiled nothing."""
    for i in range(MAX_WARM_UP):
        before = compiled_graphs()
        call()
        if i + 1 >= warm_up and compiled_graphs() == before:
            break


def measure(call, warm_up, repetitions, device="cpu", mode="eager"):
    """Milliseconds of each call after the warm-up; on a device from an idle one to an idle one, by the host's clock.

    Under `graph` the call must do the same to the same tensors each time; what it returns or binds anew is the graph's.
    """
    synchronise = torch.cuda.synchronize if device == "cuda" else lambda: None
    graph = torch.cuda.CUDAGraph() if has(mode, "graph") else None
    synchronise()  # the stream below waits for no other
    with torch.cuda.stream(torch.cuda.Stream()) if graph else nullcontext():  # a capture demands a warm-up off the default
        warm(call, warm_up)
        synchronise()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()  # the search for the fastest algorithms takes more than what comes
    if graph:
        with torch.cuda.graph(graph):
            call()
        call = graph.replay
    times = []
    for _ in range(repetitions):
        synchronise()
        begin = time.perf_counter()
        call()
        synchronise()
        times.append(1e3 * (time.perf_counter() - begin))
    return times


def summary(times):
    return {"median": round(statistics.median(times), 4), "min": round(min(times), 4), "max": round(max(times), 4)}


def peak_memory(device):
    """Of the process; on a device also the peak of tensors there since the warm-up, and what was taken for them."""
    figures = {"peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)}
    if device == "cuda":
        figures["peak_device_mib"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
        figures["reserved_device_mib"] = round(torch.cuda.max_memory_reserved() / 2**20, 1)
    return figures
