#!/usr/bin/env python3
"""How hard `patterns` is: test accuracy of a linear classifier on the pixels and of a small convolutional network.

Build dump_patterns, then:
    dump_patterns train.bin test.bin
    python3 benchmarks/patterns_baselines.py train.bin test.bin
Needs numpy and torch. Exits with 1 unless the linear classifier stays under 45 % and the network passes 90 %.
"""
import argparse
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def read(path):
    """Standardised images (N, 3, 32, 32) and labels (N) of a dump."""
    records = np.fromfile(path, np.uint8).reshape(-1, 3073)
    images = torch.from_numpy(records[:, 1:].reshape(-1, 32, 32, 3).copy()).permute(0, 3, 1, 2)
    return images.float().div_(255), torch.from_numpy(records[:, 0].astype(np.int64))


def accuracy(model, x, y):
    model.eval()
    with torch.no_grad():
        hits = sum((model(a).argmax(1) == b).sum().item() for a, b in zip(x.split(500), y.split(500)))
    return 100 * hits / len(y)


def linear(train, test, weight_decay):
    """Multinomial logistic regression on all 3,072 standardised pixels, by L-BFGS."""
    (x, y), (tx, ty) = train, test
    x, tx = x.flatten(1), tx.flatten(1)
    model = nn.Linear(x.shape[1], 10)
    nn.init.zeros_(model.weight)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = F.cross_entropy(model(x), y) + weight_decay * model.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return accuracy(model, x, y), accuracy(model, tx, ty)


def convolutional(train, test, epochs, batch=64):
    """Five 3x3 convolutions with batch normalisation, then the mean over all places, as in a search network."""
    (x, y), (tx, ty) = train, test

    def block(inputs, outputs, stride):
        return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())

    model = nn.Sequential(block(3, 16, 1), block(16, 32, 2), block(32, 32, 2), block(32, 32, 2), block(32, 64, 1),
                          nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    steps = len(y) // batch
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, epochs * steps)
    for _ in range(epochs):
        model.train()
        for indices in torch.randperm(len(y)).split(batch)[:steps]:
            optimizer.zero_grad()
            F.cross_entropy(model(x[indices]), y[indices]).backward()
            optimizer.step()
            schedule.step()
    return sum(p.numel() for p in model.parameters()), accuracy(model, x, y), accuracy(model, tx, ty)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--epochs", type=int, default=5, help="epochs of the network (default 5)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    train, test = read(args.train), read(args.test)
    mean, deviation = train[0].mean((0, 2, 3), keepdim=True), train[0].std((0, 2, 3), keepdim=True)
    for images, _ in (train, test):
        images.sub_(mean).div_(deviation)
    print(f"{len(train[1])} training, {len(test[1])} test images")

    best_linear = 0
    for weight_decay in (0, 1e-4, 1e-3, 1e-2, 1e-1):
        on_train, on_test = linear(train, test, weight_decay)
        best_linear = max(best_linear, on_test)
        print(f"linear, weight decay {weight_decay:g}: train {on_train:.1f} %, test {on_test:.1f} %", flush=True)
    count, on_train, on_test = convolutional(train, test, args.epochs)
    print(f"convolutional, {count} parameters, {args.epochs} epochs: train {on_train:.1f} %, test {on_test:.1f} %")
    return 0 if best_linear < 45 and on_test > 90 else 1


if __name__ == "__main__":
    sys.exit(main())
