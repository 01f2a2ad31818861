"""One DARTS search step in PyTorch: alphas on the validation batch, weights on the train batch.

Architecture passes use batch statistics and leave the running statistics alone; only the forward
pass of the weight step moves them. Unrolled and probed weights are substituted functionally, so
the network's own weights never change outside the weight step.
"""
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

try:
    from torch.func import functional_call
except ImportError:  # torch 1.13
    from torch.nn.utils.stateless import functional_call

ETA, MOMENTUM, DECAY, CLIP = 0.025, 0.9, 3e-4, 5.0
PROBE = 0.01  # length of the finite-difference probe: r in epsilon = r / |v|


class Batch(NamedTuple):
    x: torch.Tensor  # (N, 3, 32, 32)
    y: torch.Tensor  # (N,)


def gradients(loss, tensors, **options):
    """d loss / d tensors; zeros for what the loss does not depend on."""
    found = torch.autograd.grad(loss, tensors, allow_unused=True, **options)
    return [torch.zeros_like(t) if g is None else g for t, g in zip(tensors, found)]


class Search:
    """A supernet, its alphas (normal, reduce) and both optimisers.

    `lean` is true iff the first-order pass asks for the gradients of the alphas alone; the original
    code also computes those of the weights and throws them away. `capturable` is true iff a step
    may be captured as a CUDA graph: Adam then counts its steps on the device.
    """

    def __init__(self, model, alphas, order=1, lean=False, capturable=False):
        self.model, self.alphas, self.order, self.lean = model, alphas, order, lean
        self.weights = dict(model.named_parameters())
        self.norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
        self.weight_optimiser = torch.optim.SGD(self.weights.values(), ETA, MOMENTUM,
                                                weight_decay=DECAY)
        self.alpha_optimiser = torch.optim.Adam(alphas, 3e-4, (0.5, 0.999), weight_decay=1e-3,
                                                capturable=capturable)

    def loss(self, batch, weights=None):
        inputs = (batch.x, self.alphas)
        logits = self.model(*inputs) if weights is None else functional_call(
            self.model, weights, inputs)
        return F.cross_entropy(logits, batch.y)

    @contextmanager
    def frozen_statistics(self):
        for m in self.norms:
            m.track_running_stats = False
        try:
            yield
        finally:
            for m in self.norms:
                m.track_running_stats = True

    def set_momentum(self, buffers):
        for name, w in self.weights.items():
            self.weight_optimiser.state[w]["momentum_buffer"] = buffers[name].clone()

    def unrolled(self, train, create_graph=False):
        """w' = w - eta (mu b + dL_train/dw + decay w): the weights one unclipped step ahead."""
        slopes = gradients(self.loss(train), list(self.weights.values()), create_graph=create_graph)
        ahead = {}
        for (name, w), slope in zip(self.weights.items(), slopes):
            buffer = self.weight_optimiser.state.get(w, {}).get("momentum_buffer")
            velocity = slope + DECAY * w
            ahead[name] = w - ETA * (velocity if buffer is None else velocity + MOMENTUM * buffer)
        return ahead

    def alpha_gradient(self, train, valid):
        with self.frozen_statistics():
            return (self.first_order(valid) if self.order == 1
                    else self.finite_difference(train, valid))

    def first_order(self, valid):
        discarded = [] if self.lean else list(self.weights.values())
        return gradients(self.loss(valid), discarded + self.alphas)[len(discarded):]

    def finite_difference(self, train, valid):
        """DARTS eq. 7 and 8: two probes along v = dL_val/dw' stand for the second derivative."""
        ahead = {n: w.detach().requires_grad_() for n, w in self.unrolled(train).items()}
        found = gradients(self.loss(valid, ahead), [*ahead.values(), *self.alphas])
        v, direct = found[:len(ahead)], found[len(ahead):]
        epsilon = PROBE / torch.sqrt(sum(t.square().sum() for t in v))

        def probe(length):
            with torch.no_grad():
                moved = {n: w + length * t for (n, w), t in zip(self.weights.items(), v)}
            return gradients(self.loss(train, moved), self.alphas)

        return [d - ETA * (plus - minus) / (2 * epsilon)
                for d, plus, minus in zip(direct, probe(epsilon), probe(-epsilon))]

    def exact(self, train, valid):
        """d/d alpha of L_val(w'(alpha), alpha), differentiating through the unrolled step."""
        with self.frozen_statistics():
            return gradients(self.loss(valid, self.unrolled(train, create_graph=True)), self.alphas)

    def step(self, train, valid):
        """The whole search step; returns the train loss before the weights move."""
        for alpha, g in zip(self.alphas, self.alpha_gradient(train, valid)):
            alpha.grad = g
        self.alpha_optimiser.step()

        loss = self.loss(train)
        weights = list(self.weights.values())
        for w, g in zip(weights, gradients(loss, weights)):
            w.grad = g
        nn.utils.clip_grad_norm_(weights, CLIP)
        self.weight_optimiser.step()
        return loss.detach()
