"""The DARTS search network for CIFAR in PyTorch, with the parameter names of the original code.

Source: Liu, Simonyan, Yang, "DARTS: Differentiable Architecture Search", ICLR 2019, section 2 and
appendix A.1. Activations are (N, C, H, W). The alphas are arguments of `forward`, one matrix
(edges, candidates) for each cell type, so `state_dict` holds weights and statistics only.
"""
from collections import OrderedDict
from itertools import repeat

import torch
from torch import nn
from torch.nn import functional as F


def norm(channels):
    """Search cells normalise without scale and shift: a scale would undo the mixture weights."""
    return nn.BatchNorm2d(channels, affine=False)


def conv_block(c_in, c_out, kernel=1, stride=1, dilation=1):
    """[relu, depthwise when kernel > 1, pointwise, norm]; keeps the size up to the stride."""
    depthwise = nn.Conv2d(c_in, c_in, kernel, stride, dilation * (kernel // 2), dilation,
                          groups=c_in, bias=False)
    pointwise = nn.Conv2d(c_in, c_out, 1, bias=False)
    return [nn.ReLU(), *([depthwise] if kernel > 1 else []), pointwise, norm(c_out)]


def named_op(layers):
    """A chain whose parameters are called `op.<index>`, as the original checkpoints have them."""
    return nn.Sequential(OrderedDict(op=nn.Sequential(*layers)))


class Zero(nn.Module):
    """The `none` candidate: zeros of the right size, paid for with a product as in the original."""

    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, x):
        return 0.0 * x[..., ::self.stride, ::self.stride]


class FactorizedReduce(nn.Module):
    """Halves the size: two pointwise convolutions, one on even pixels and one on odd ones."""

    def __init__(self, c_in, c_out):
        super().__init__()
        self.conv_1 = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.conv_2 = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.bn = norm(c_out)

    def forward(self, x):
        x = x.relu()
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(x[..., 1:, 1:])], dim=1))


# name -> builder(channels, stride); the order is the column order of the alphas
CANDIDATES = {
    "none": lambda c, stride: Zero(stride),
    "max_pool_3x3": lambda c, stride: nn.Sequential(nn.MaxPool2d(3, stride, 1), norm(c)),
    "avg_pool_3x3": lambda c, stride: nn.Sequential(
        nn.AvgPool2d(3, stride, 1, count_include_pad=False), norm(c)),
    "skip_connect": lambda c, stride: nn.Identity() if stride == 1 else FactorizedReduce(c, c),
    "sep_conv_3x3": lambda c, stride: named_op(conv_block(c, c, 3, stride) + conv_block(c, c, 3)),
    "sep_conv_5x5": lambda c, stride: named_op(conv_block(c, c, 5, stride) + conv_block(c, c, 5)),
    "dil_conv_3x3": lambda c, stride: named_op(conv_block(c, c, 3, stride, dilation=2)),
    "dil_conv_5x5": lambda c, stride: named_op(conv_block(c, c, 5, stride, dilation=2)),
}


class MixedOp(nn.Module):
    """One edge: sum_k p_k o_k(x), or of that what candidate `drawn` gives alone."""

    def __init__(self, channels, stride):
        super().__init__()
        self._ops = nn.ModuleList(build(channels, stride) for build in CANDIDATES.values())

    def forward(self, x, probabilities, drawn=None):
        if drawn is not None:
            return probabilities[drawn] * self._ops[drawn](x)
        return sum(p * op(x) for p, op in zip(probabilities, self._ops))


class Cell(nn.Module):
    """`steps` nodes, each the sum of its edges; the output joins them along the channels."""

    def __init__(self, steps, c_prev_prev, c_prev, channels, reduction, after_reduction):
        super().__init__()
        self.steps, self.reduction = steps, reduction
        self.preprocess0 = (FactorizedReduce(c_prev_prev, channels) if after_reduction
                            else named_op(conv_block(c_prev_prev, channels)))
        self.preprocess1 = named_op(conv_block(c_prev, channels))
        self._ops = nn.ModuleList(MixedOp(channels, 2 if reduction and source < 2 else 1)
                                  for node in range(steps) for source in range(2 + node))

    def forward(self, prev_prev, prev, probabilities, drawn=None):
        states = [self.preprocess0(prev_prev), self.preprocess1(prev)]
        edges = zip(self._ops, probabilities, drawn or repeat(None))  # consumed node by node
        for _ in range(self.steps):
            states.append(sum(op(x, p, k) for x, (op, p, k) in zip(states, edges)))
        return torch.cat(states[2:], dim=1)


def soft_mixture(alpha):
    return F.softmax(alpha, dim=-1), None


def gumbel_hard(alpha, noise, temperature):
    """One-hot weights with the gradient of soft ones (GDAS, arXiv:1910.04465, eq. 3 to 7)."""
    soft = F.softmax((F.log_softmax(alpha, dim=-1) + noise) / temperature, dim=-1)
    drawn = soft.argmax(dim=-1, keepdim=True)
    return torch.zeros_like(soft).scatter_(-1, drawn, 1.0) - soft.detach() + soft, drawn


def hard_mixture(alpha, temperature=10.0):
    """Weights, and the candidate of each edge that runs."""
    noise = -torch.empty_like(alpha).exponential_().log()
    weights, drawn = gumbel_hard(alpha, noise, temperature)
    return weights, drawn.flatten().tolist()


class Supernet(nn.Module):
    """Stem, cells (reductions at one and two thirds of the depth), average pool, classifier.

    `mixture` makes of the alphas of a cell type what its cells take.
    """

    mixture = staticmethod(soft_mixture)

    def __init__(self, layers=8, channels=16, steps=4, classes=10):
        super().__init__()
        self.alpha_shape = (steps * (steps + 3) // 2, len(CANDIDATES))
        width = 3 * channels
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False),
                                  nn.BatchNorm2d(width))
        self.cells = nn.ModuleList()
        c_prev_prev, c_prev, after_reduction = width, width, False
        for i in range(layers):
            reduction = i in (layers // 3, 2 * layers // 3)
            channels *= 2 if reduction else 1
            self.cells.append(
                Cell(steps, c_prev_prev, c_prev, channels, reduction, after_reduction))
            c_prev_prev, c_prev, after_reduction = c_prev, steps * channels, reduction
        self.classifier = nn.Linear(c_prev, classes)

    def forward(self, x, alphas):
        normal, reduce = (self.mixture(alpha) for alpha in alphas)
        prev_prev = prev = self.stem(x)
        for cell in self.cells:
            prev_prev, prev = prev, cell(prev_prev, prev, *(reduce if cell.reduction else normal))
        return self.classifier(prev.mean(dim=(2, 3)))
