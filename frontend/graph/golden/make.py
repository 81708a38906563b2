#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes golden.json beside it: what PyTorch and transformers say of the
library's texts on tiny models. Weights follow a formula (see weight), so only
results are stored. Run by hand after `pip install torch transformers`."""
import json
import os
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from transformers import (GPT2Config, GPT2LMHeadModel, LlamaConfig,
                          LlamaForCausalLM, MistralConfig, MistralForCausalLM,
                          Qwen2Config, Qwen2ForCausalLM)
from transformers.optimization import (
    get_constant_schedule_with_warmup, get_cosine_with_min_lr_schedule_with_warmup,
    get_linear_schedule_with_warmup)

# Two rows of six tokens; the second holds documents of four and two tokens.
TOKENS = [[1, 4, 7, 2, 9, 3], [5, 0, 10, 6, 8, 2]]
DOCUMENTS = [[(0, 6)], [(0, 4), (4, 6)]]


def weight(order, size, ones):
    i = torch.arange(size, dtype=torch.float64)
    return (1.0 if ones else 0.0) + 0.4 * torch.sin(1.3 * i + order)


def is_norm(name):
    return name.endswith("weight") and ("norm" in name or "ln_" in name)


def fill(model):
    """Parameters in order of name take the formula's values."""
    named = dict(model.named_parameters())
    for order, name in enumerate(sorted(named)):
        p = named[name]
        p.data = weight(order, p.numel(), is_norm(name)).reshape(p.shape)


def run(model, smoothing):
    model.eval()
    ce = z = 0.0
    count = 0
    last = None
    for row, documents in zip(TOKENS, DOCUMENTS):
        for begin, end in documents:
            ids = torch.tensor([row[begin:end]])
            logits = model(ids).logits[0].double()
            ce += torch.nn.functional.cross_entropy(
                logits[:-1], ids[0, 1:], reduction="sum",
                label_smoothing=smoothing)
            z += (torch.logsumexp(logits[:-1], -1) ** 2).sum()
            count += end - begin - 1
            if last is None:
                last = logits[-1].tolist()
    ((ce + 0.01 * z) / count).backward()
    return {"terms": {"cross_entropy": [ce.item(), count],
                      "z_loss": [z.item(), count]},
            "weights": {"cross_entropy": 1, "z_loss": 0.01},
            "logits": last, "gradients": gradients(model)}


def gradients(model):
    """Of the weighed terms, per parameter: the norm, and a sum weighed by the
    formula."""
    result = {}
    for name, p in sorted(model.named_parameters()):
        grad = p.grad.double().flatten()
        result[name] = [grad.norm().item(),
                        (grad * weight(0, grad.numel(), False)).sum().item()]
    return result


class Functions(torch.nn.Module):
    """What GoldenTest.cpp's kFunctions computes: the functions that no library
    model calls."""

    def __init__(self):
        super().__init__()
        self.a = torch.nn.Parameter(torch.empty(11, 8))
        self.wq = torch.nn.Parameter(torch.empty(8, 8))
        self.wo = torch.nn.Parameter(torch.empty(8, 8))

    def rotate(self, x):
        """Pairs 2i, 2i + 1 as complex numbers, turned."""
        position = torch.arange(x.shape[1], dtype=x.dtype)
        rate = 1e4 ** (-torch.arange(0, 8, 2, dtype=x.dtype) / 8)
        angle = position[:, None] * rate
        turn = torch.polar(torch.ones_like(angle), angle)
        pairs = torch.view_as_complex(x.unflatten(-1, (4, 2)))
        return torch.view_as_real(pairs * turn).flatten(-2)

    def forward(self, ids):
        x = self.a[ids]
        q = (x @ self.wq.T).unflatten(-1, (2, 4)).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(q, q, q)
        y = (F.relu(x) + 0.9 * F.sigmoid(x) + 0.8 * F.softplus(x)
             + 0.7 * F.logsigmoid(x) + 0.6 * F.gelu(x)
             + 0.5 * F.softmax(x, -1) + 0.4 * F.log_softmax(x, -1)
             + self.rotate(x)
             + mixed.transpose(1, 2).flatten(-2) @ self.wo.T)
        return SimpleNamespace(logits=y @ self.a.T)


def models():
    yield "functions", Functions(), 0.0
    common = dict(vocab_size=11, hidden_size=8, num_hidden_layers=2,
                  num_attention_heads=4, num_key_value_heads=2,
                  intermediate_size=12, rms_norm_eps=1e-5, rope_theta=1e4,
                  max_position_embeddings=6, attn_implementation="eager")
    yield "llama", LlamaForCausalLM(LlamaConfig(
        head_dim=4, tie_word_embeddings=False, **common)), 0.0
    yield "smollm2", LlamaForCausalLM(LlamaConfig(
        head_dim=4, tie_word_embeddings=True, **common)), 0.1
    yield "qwen2", Qwen2ForCausalLM(Qwen2Config(
        head_dim=4, tie_word_embeddings=True, **common)), 0.0
    yield "mistral", MistralForCausalLM(MistralConfig(
        head_dim=4, sliding_window=3, **common)), 0.0
    wide = dict(common, head_dim=8, attention_bias=True, mlp_bias=True)
    del wide["rope_theta"]
    # Angles of all three kinds: kept, between, slowed.
    yield "llama3", LlamaForCausalLM(LlamaConfig(
        rope_parameters=dict(
            rope_type="llama3", rope_theta=1e4, factor=8.0, low_freq_factor=1.0,
            high_freq_factor=4.0, original_max_position_embeddings=64),
        **wide)), 0.0
    yield "llama_linear", LlamaForCausalLM(LlamaConfig(
        rope_parameters=dict(rope_type="linear", rope_theta=1e4, factor=4.0),
        **wide)), 0.0
    yield "gpt2", GPT2LMHeadModel(GPT2Config(
        vocab_size=11, n_embd=8, n_layer=2, n_head=2, n_positions=6,
        n_inner=12, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
        attn_implementation="eager")), 0.0


SCHEDULES = {
    "constant": lambda o: get_constant_schedule_with_warmup(o, 2),
    "linear": lambda o: get_linear_schedule_with_warmup(o, 2, 10),
    "cosine": lambda o: get_cosine_with_min_lr_schedule_with_warmup(
        o, 2, 10, min_lr_rate=0.1),
}


def optimizer(kind, schedule):
    """Steps on two flat tensors, the first of which decays. The rate rises for
    two steps and ends its way at step ten; where transformers' cosine would
    rise again, ours stays."""
    tensors = [torch.nn.Parameter(weight(g, 48 if g else 80, False))
               for g in range(2)]
    groups = [{"params": [tensors[0]], "weight_decay": 0.1},
              {"params": [tensors[1]], "weight_decay": 0.0}]
    if kind == "adamw":
        torch_optimizer = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95))
    else:
        torch_optimizer = torch.optim.SGD(
            groups, lr=1e-2, momentum=0.0 if kind == "plain" else 0.9,
            nesterov=kind == "nesterov")
    scheduler = SCHEDULES[schedule](torch_optimizer)
    norms, rates = [], []
    for step in range(1, 11 if schedule == "cosine" else 13):
        for g, tensor in enumerate(tensors):
            i = torch.arange(tensor.numel(), dtype=torch.float64)
            tensor.grad = 0.1 * torch.cos(0.9 * i + g + step)
        norms.append(torch.nn.utils.clip_grad_norm_(tensors, 0.5).item())
        torch_optimizer._opt_called = True  # its rate at 0 is not used
        scheduler.step()  # to `step`, which counts from 1
        rates.append(scheduler.get_last_lr()[0])
        torch_optimizer.step()
    return {"norms": norms, "rates": rates,
            "weights": [t.tolist() for t in tensors]}


def main():
    golden = {}
    for name, model, smoothing in models():
        model = model.double()
        fill(model)
        golden[name] = run(model, smoothing)
    for kind, schedule in [("adamw", "cosine"), ("sgd", "linear"),
                           ("nesterov", "constant"), ("plain", "cosine")]:
        golden[kind] = optimizer(kind, schedule)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden.json")
    with open(path, "w") as out:
        json.dump(golden, out, indent=1)
        out.write("\n")


if __name__ == "__main__":
    main()
