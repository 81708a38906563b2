#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes optimizers.json beside it: twenty steps of the library's optimizers
by PyTorch's own, in float64. What PyTorch lacks (Lion, schedule-free AdamW, a
normalised step) is written from its paper's formulas. Run by hand."""
import json
import math
import os

import torch
from transformers import (get_inverse_sqrt_schedule, get_wsd_schedule)

# Name, file's shape, role, decays: as OptimizerTest.cpp declares them.
PARAMETERS = [("embed", (10, 8), "embedding", False),
              ("wide", (8, 12), "", True),
              ("tall", (12, 8), "", True),
              ("stack", (3, 8, 4), "", True),
              ("g", (12,), "norm", False)]
STEPS = 20


def weight(order, size):
    i = torch.arange(size, dtype=torch.float64)
    return 0.4 * torch.sin(1.3 * i + order)


def gradient(order, size, step):
    i = torch.arange(size, dtype=torch.float64)
    return 0.1 * torch.cos(0.9 * i + 0.013 * i * i + order + step)


def cosine(step, peak=0.02, warmup=5, total=30, floor=0.1):
    if step < warmup:
        return peak * step / warmup
    turn = math.pi * min(1, (step - warmup) / (total - warmup))
    return peak * (floor + (1 - floor) * (1 + math.cos(turn)) / 2)


def constant(step, peak=0.02, warmup=5):
    return peak * min(1, step / warmup)


class Lion:
    """arXiv 2302.06675, algorithm 2."""
    def __init__(self, groups, b1=0.9, b2=0.99):
        self.param_groups, self.b1, self.b2 = groups, b1, b2
        self.m = {}

    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                m = self.m.setdefault(p, torch.zeros_like(p))
                c = self.b1 * m + (1 - self.b1) * p.grad
                p.data = p.data - group["lr"] * (
                    torch.sign(c) + group["weight_decay"] * p.data)
                self.m[p] = self.b2 * m + (1 - self.b2) * p.grad


class ScheduleFree:
    """arXiv 2405.15682, algorithm 1 with AdamW, the mean weighed by the square
    of the rate: x and z are kept, y is where gradients are taken."""
    def __init__(self, groups, b1=0.9, b2=0.999, eps=1e-8):
        self.param_groups, self.b1, self.b2, self.eps = groups, b1, b2, eps
        self.k, self.lr_max, self.total, self.at = 0, 0, 0, {}

    def step(self):
        self.k += 1
        self.lr_max = max(self.lr_max, self.param_groups[0]["lr"])
        self.total += self.lr_max ** 2
        c = self.lr_max ** 2 / self.total
        for group in self.param_groups:
            for p in group["params"]:
                x, z, v = self.at.get(p, (p.data, p.data, torch.zeros_like(p)))
                y = p.data
                v = self.b2 * v + (1 - self.b2) * p.grad ** 2
                update = p.grad / ((v / (1 - self.b2 ** self.k)).sqrt()
                                   + self.eps)
                z = z - group["lr"] * (update + group["weight_decay"] * y)
                x = (1 - c) * x + c * z
                self.at[p] = (x, z, v)
                p.data = (1 - self.b1) * z + self.b1 * x

    def evaluated(self, p):
        return self.at[p][0]


class Cautious:
    """arXiv 2411.16085: AdamW where update and gradient agree in sign, scaled
    by how many do: tests/language/cautious_adamw.ltc."""
    def __init__(self, groups, b1=0.9, b2=0.95, eps=1e-8):
        self.param_groups, self.b1, self.b2, self.eps = groups, b1, b2, eps
        self.k, self.at = 0, {}

    def step(self):
        self.k += 1
        for group in self.param_groups:
            for p in group["params"]:
                m, v = self.at.get(p, (torch.zeros_like(p.data),) * 2)
                m = self.b1 * m + (1 - self.b1) * p.grad
                v = self.b2 * v + (1 - self.b2) * p.grad ** 2
                self.at[p] = (m, v)
                mask = (m * p.grad > 0).to(p.dtype)
                mask = mask / mask.mean().clamp(min=1e-3)
                denominator = (v / (1 - self.b2 ** self.k)).sqrt() + self.eps
                p.data = (p.data * (1 - group["lr"] * group["weight_decay"])
                          - group["lr"] / (1 - self.b1 ** self.k)
                          * mask * m / denominator)


class Normalised:
    """SGD on rows of length one: tests/language/normalised.ltc."""
    def __init__(self, groups):
        self.param_groups = groups

    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                w = p.data - group["lr"] * p.grad
                if p.dim() > 1:
                    w = w / w.norm(dim=-1, keepdim=True).clamp(min=1e-12)
                p.data = w


class Muon:
    """torch.optim.Muon on slices of hidden matrices, AdamW on the rest."""
    def __init__(self, groups, **options):
        torch.Tensor.bfloat16 = lambda self: self.clone()  # its one rounding
        hidden, rest, self.slices = [], [], []
        for group in groups:
            p, = group["params"]
            (hidden if group["hidden"] else rest).append(group)
        self.rest = torch.optim.AdamW(
            [dict(params=g["params"], weight_decay=g["weight_decay"])
             for g in rest], lr=1, betas=(0.9, 0.95))
        own = []
        for group in hidden:
            p, = group["params"]
            parts = [torch.nn.Parameter(s.clone())
                     for s in p.data.reshape(-1, *p.shape[-2:])]
            self.slices.append((p, parts))
            own.append(dict(params=parts, weight_decay=group["weight_decay"]))
        self.muon = torch.optim.Muon(own, lr=1, **options)
        self.param_groups = groups

    def step(self):
        rate = self.param_groups[0]["lr"]
        for group in self.rest.param_groups + self.muon.param_groups:
            group["lr"] = rate
        for p, parts in self.slices:
            for part, grad in zip(parts, p.grad.reshape(-1, *p.shape[-2:])):
                part.grad = grad.clone()
        self.rest.step()
        self.muon.step()
        for p, parts in self.slices:
            p.data = torch.stack([s.data for s in parts]).reshape(p.shape)


def run(make, rate, decay=0.1, scale=1):
    tensors = {}
    groups = []
    for order, (name, shape, role, decays) in enumerate(PARAMETERS):
        p = torch.nn.Parameter(weight(order, math.prod(shape)).reshape(shape))
        tensors[name] = p
        groups.append({"params": [p], "weight_decay": decay if decays else 0.0,
                       "hidden": len(shape) > 1 and role != "embedding"})
    optimizer = make(groups)
    for step in range(1, STEPS + 1):
        for order, p in enumerate(tensors.values()):
            p.grad = scale * gradient(order, p.numel(), step).reshape(p.shape)
        torch.nn.utils.clip_grad_norm_(tensors.values(), 0.5)
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        optimizer.step()
    result = {"weights": {n: numbers(p.data) for n, p in tensors.items()}}
    if hasattr(optimizer, "evaluated"):
        result["evaluated"] = {n: numbers(optimizer.evaluated(p))
                               for n, p in tensors.items()}
    return result


def numbers(tensor):
    """The norm, a sum weighed by the formula, the first three elements."""
    flat = tensor.double().flatten()
    return [flat.norm().item(), (flat * weight(0, flat.numel())).sum().item(),
            *flat[:3].tolist()]


def rates(make, **options):
    """What transformers' schedule gives at steps 1 to 40, peak 0.02."""
    p = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([p], lr=0.02)
    schedule = make(optimizer, num_warmup_steps=5, **options)
    found = []
    for _ in range(40):
        optimizer.step()
        schedule.step()
        found.append(schedule.get_last_lr()[0])
    return found


def wsd(kind, floor):
    """Ours warms up from zero whatever the floor."""
    found = {f: rates(get_wsd_schedule, num_training_steps=30,
                      num_decay_steps=12, decay_type=kind, min_lr_ratio=f)
             for f in (0.0, floor)}
    return found[0.0][:4] + found[floor][4:]


def plain(groups):
    return [{k: v for k, v in g.items() if k != "hidden"} for g in groups]


def main():
    cases = {
        "lion": (Lion, cosine, 1.0),
        "adafactor": (lambda g: torch.optim.Adafactor(
            plain(g), eps=(1.1920929e-7, 1e-3)), cosine, 0.1),
        "muon": (lambda g: Muon(g, adjust_lr_fn="match_rms_adamw"), cosine,
                 0.1),
        "muon_original": (lambda g: Muon(g, adjust_lr_fn="original",
                                         nesterov=False), cosine, 0.1),
        "schedule_free_adamw": (ScheduleFree, constant, 0.1),
        "normalised": (Normalised, cosine, 0.0),
        "cautious_adamw": (Cautious, cosine, 0.1),
        # Gradients of which epsilon takes part.
        "cautious_adamw_small": (Cautious, cosine, 0.1, 1e-7),
    }
    golden = {name: run(*case) for name, case in cases.items()}
    golden["schedules"] = {
        "inverse_sqrt": rates(get_inverse_sqrt_schedule),
        "wsd": wsd("linear", 0.0),
        "wsd_sqrt": wsd("1-sqrt", 0.1),
    }
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                        "optimizers.json")
    with open(path, "w") as out:
        json.dump(golden, out, indent=1)
        out.write("\n")


main()
