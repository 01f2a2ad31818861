"""How the peer is run: its modes, a warm-up that covers compilation, and the figures of a row."""
import os
import resource
import statistics
import time
import warnings

# Before torch loads; nothing here runs on a GPU, and stdout belongs to the results.
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import torch  # noqa: E402

MODES = ("eager", "channels_last", "compile")
MAX_WARM_UP = 30  # calls, of a function that keeps being compiled
warnings.filterwarnings("ignore")


def memory_format(mode):
    return torch.contiguous_format if mode == "eager" else torch.channels_last


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


def measure(call, warm_up, repetitions):
    """Milliseconds of each call, once `warm_up` calls are done and the last of them compiled nothing."""
    for i in range(MAX_WARM_UP):
        before = compiled_graphs()
        call()
        if i + 1 >= warm_up and compiled_graphs() == before:
            break
    times = []
    for _ in range(repetitions):
        begin = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - begin))
    return times


def summary(times):
    return {"median": round(statistics.median(times), 4), "min": round(min(times), 4), "max": round(max(times), 4)}


def peak_resident_mib():
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
