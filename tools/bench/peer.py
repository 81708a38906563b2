#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The PyTorch side of speed.py: trains the same model on the same batches and
writes a line a step to metrics.jsonl. Plain, lean models (nanoGPT's form):
one scaled_dot_product_attention, fused AdamW, no dropout, float32."""
import argparse, json, os, time
import numpy, torch, yaml
from safetensors.numpy import load_file
from torch import nn
from torch.nn import functional as F

# d model width, heads, kv heads of keys and values, ffn inner width.


def split(x, heads):  # (B, T, heads k) -> (B, heads, T, k)
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


class Gpt2Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, self.heads = c["d"], c["heads"]
        self.ln1, self.ln2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x, _):
        q, k, v = (split(y, self.heads)
                   for y in self.qkv(self.ln1(x)).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.ln2(x)), approximate="tanh"))


class LlamaLayer(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, self.heads = c["d"], c["heads"]
        self.kv = c.get("kv", self.heads)
        k = d // self.heads
        self.n1, self.n2 = nn.RMSNorm(d, eps=1e-5), nn.RMSNorm(d, eps=1e-5)
        self.q = nn.Linear(d, self.heads * k, bias=False)
        self.k = nn.Linear(d, self.kv * k, bias=False)
        self.v = nn.Linear(d, self.kv * k, bias=False)
        self.o = nn.Linear(self.heads * k, d, bias=False)
        self.gate = nn.Linear(d, c["ffn"], bias=False)
        self.up = nn.Linear(d, c["ffn"], bias=False)
        self.down = nn.Linear(c["ffn"], d, bias=False)

    def forward(self, x, turn):
        def rotate(y):
            lo, hi = y.chunk(2, -1)
            return torch.cat((lo * turn[0] - hi * turn[1],
                              hi * turn[0] + lo * turn[1]), -1)
        h = self.n1(x)
        q, k = rotate(split(self.q(h), self.heads)), rotate(
            split(self.k(h), self.kv))
        v = split(self.v(h), self.kv)
        if self.kv != self.heads:
            k = k.repeat_interleave(self.heads // self.kv, 1)
            v = v.repeat_interleave(self.heads // self.kv, 1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(y.transpose(1, 2).flatten(2))
        h = self.n2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Model(nn.Module):
    def __init__(self, c, length):
        super().__init__()
        gpt2 = c["architecture"] == "gpt2"
        d = c["d"]
        self.embed = nn.Embedding(c["vocab"], d)
        self.place = nn.Embedding(c["positions"], d) if gpt2 else None
        layer = Gpt2Layer if gpt2 else LlamaLayer
        self.layers = nn.ModuleList(layer(c) for _ in range(c["layers"]))
        self.norm = nn.LayerNorm(d) if gpt2 else nn.RMSNorm(d, eps=1e-5)
        self.head = nn.Linear(d, c["vocab"], bias=False)
        if gpt2 or c.get("tied"):
            self.head.weight = self.embed.weight
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02)
        k = d // c["heads"]
        angle = torch.arange(length)[:, None] * 1e4 ** (
            -torch.arange(0, k, 2) / k)
        self.register_buffer("turn", torch.stack((angle.cos(), angle.sin())),
                             persistent=False)

    def forward(self, tokens, labels):
        x = self.embed(tokens)
        if self.place is not None:
            x = x + self.place.weight[:tokens.shape[1]]
        for layer in self.layers:
            x = layer(x, self.turn)
        logits = self.head(self.norm(x))
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spec")
    parser.add_argument("batches", help="made by ltc batches")
    parser.add_argument("metrics", help="the file to write")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    job = parser.parse_args()
    torch.set_num_threads(job.threads)
    spec = yaml.safe_load(open(job.spec))
    train = spec["train"]
    micro = train["micro_batch"]
    torch.manual_seed(1)
    model = Model(spec["model"], spec["data"]["length"])
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=float(train["schedule"]["constant"]["peak"]),
        betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, fused=True)
    columns = load_file(job.batches)
    count = sum(name.endswith(".tokens") for name in columns)
    step = torch.compile(model) if job.compile else model
    with open(job.metrics, "w") as out:
        number = 0
        while True:
            began = time.monotonic()
            tokens, labels = (
                torch.from_numpy(columns[f"{number % count}.{name}"]
                                 .astype(numpy.int64))
                for name in ("tokens", "labels"))
            rows = tokens.shape[0]
            for i in range(0, rows, micro):
                part = step(tokens[i:i + micro], labels[i:i + micro])
                (part * (micro / rows)).backward()
            nn.utils.clip_grad_norm_(model.parameters(), train["clip"])
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            number += 1
            out.write(json.dumps({"step": number, "loss": float(part),
                                  "seconds": time.monotonic() - began}) + "\n")
            out.flush()


if __name__ == "__main__":
    main()
