#!/usr/bin/env python3
"""What PyTorch computes for the relaxations: weights of candidates, and the gradient of the alphas.

Writes a safetensors file, all float64: `alpha` (14, 8), `noise` (standard Gumbel), `cotangent`,
`temperature` (), and for each relaxation `<name>/weights` and `<name>/dalpha`, the gradient of
sum(cotangent * weights). torch's own gumbel_softmax is not used, since its noise cannot be given.
"""
import argparse

import torch

from darts_model import gumbel_hard
from darts_torch import write_safetensors


def gumbel_soft(alpha, noise, temperature):
    """SNAS, arXiv:1812.09926, eq. 4."""
    return torch.softmax((torch.log_softmax(alpha, dim=-1) + noise) / temperature, dim=-1)


RELAXATIONS = {
    "softmax": lambda alpha, noise, temperature: torch.softmax(alpha, dim=-1),
    "sigmoid": lambda alpha, noise, temperature: torch.sigmoid(alpha),
    "gumbel-soft": gumbel_soft,
    "gumbel-hard": lambda *inputs: gumbel_hard(*inputs)[0],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--export", metavar="FILE.safetensors", required=True)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_default_dtype(torch.float64)
    tensors = {"alpha": torch.randn(14, 8), "noise": -torch.empty(14, 8).exponential_().log(),
               "cotangent": torch.randn(14, 8), "temperature": torch.tensor(0.7)}
    for name, relaxation in RELAXATIONS.items():
        alpha = tensors["alpha"].clone().requires_grad_()
        weights = relaxation(alpha, tensors["noise"], tensors["temperature"])
        tensors[f"{name}/weights"] = weights
        tensors[f"{name}/dalpha"], = torch.autograd.grad((weights * tensors["cotangent"]).sum(), alpha)
    write_safetensors(args.export, tensors, {"seed": str(args.seed)})


if __name__ == "__main__":
    main()
