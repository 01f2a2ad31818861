#!/usr/bin/env python3
"""What PyTorch computes for the relaxations: weights of candidates, and the gradient of the alphas.

Writes a safetensors file, all float64: `alpha` (14, 8), `noise` (standard Gumbel), `cotangent`,
`temperature` (), and for each relaxation `<name>/weights` and `<name>/dalpha`, the gradient of
sum(cotangent * weights). Of weights of edges `beta` (14), and under `edge-softmax/` and `edge-product/` the softmax q over
the edges into each node and softmax(alpha) * q, with `dbeta` by the first column of the cotangent and by all of it, and
`dalpha`. torch's own gumbel_softmax is not used, since its noise cannot be given.
"""
import argparse

import torch

from darts_model import gumbel_hard
from darts_torch import write_safetensors


def gumbel_soft(alpha, noise, temperature):
    """SNAS, arXiv:1812.09926, eq. 4."""
    return torch.softmax((torch.log_softmax(alpha, dim=-1) + noise) / temperature, dim=-1)


def edge_softmax(beta):
    """PC-DARTS, arXiv:1907.05737, sec. 3.3: nodes of 2, 3, 4 and 5 edges."""
    return torch.cat([torch.softmax(node, dim=-1) for node in torch.split(beta, [2, 3, 4, 5])])


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
    tensors["beta"] = torch.randn(14)
    alpha, beta = (tensors[name].clone().requires_grad_() for name in ("alpha", "beta"))
    q = edge_softmax(beta)
    product = torch.softmax(alpha, dim=-1) * q[:, None]
    tensors["edge-softmax/weights"], tensors["edge-product/weights"] = q, product
    tensors["edge-softmax/dbeta"], = torch.autograd.grad((q * tensors["cotangent"][:, 0]).sum(), beta, retain_graph=True)
    loss = (product * tensors["cotangent"]).sum()
    tensors["edge-product/dalpha"], tensors["edge-product/dbeta"] = torch.autograd.grad(loss, [alpha, beta])
    write_safetensors(args.export, tensors, {"seed": str(args.seed)})


if __name__ == "__main__":
    main()
