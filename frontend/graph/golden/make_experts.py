#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes experts.json beside it: what transformers says of moe_llama
(Mixtral) and PyTorch of tests/language/shared_experts.ltc, on tiny models.
Weights follow make.py's formula in order of the text's names. Run by hand
after `pip install torch transformers`."""
import json
import os

import torch
import torch.nn.functional as F
from transformers import MixtralConfig, MixtralForCausalLM
from transformers.models.mixtral.modeling_mixtral import \
    load_balancing_loss_func

TOKENS = torch.tensor([[1, 4, 7, 2, 9, 3], [5, 0, 10, 6, 8, 2]])
DOCUMENT = torch.tensor([[0] * 6, [0] * 4 + [1] * 2])
DOCUMENTS = [[(0, 6)], [(0, 4), (4, 6)]]
WEIGHTS = {"cross_entropy": 1, "balance": 0.02, "router_z": 0.001}
LAYERS, D, HEADS, FFN, EXPERTS, TOP = 2, 8, 4, 12, 8, 2


def formula(order, shape, ones):
    i = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return ((1.0 if ones else 0.0) + 0.4 * torch.sin(1.3 * i + order)).reshape(
        shape)


def result(terms, logits, gradients):
    """terms: name -> (sum, count); gradients: name -> tensor."""
    return {"terms": {name: [total.item(), count]
                      for name, (total, count) in terms.items()},
            "weights": {name: WEIGHTS[name] for name in terms},
            "logits": logits.tolist(),
            "gradients": {name: [g.norm().item(),
                                 (g.flatten() * formula(0, [g.numel()], False))
                                 .sum().item()]
                          for name, g in gradients.items()}}


def backward(terms):
    sum(WEIGHTS[name] * total / count
        for name, (total, count) in terms.items()).backward()


def mixtral_tensors(model):
    """The text's names; tensors of the file that are one here."""
    tensors = {}
    for name, p in model.named_parameters():
        at = name.replace("mlp.gate.", "block_sparse_moe.gate.")
        experts = at.replace("mlp.experts", "block_sparse_moe.experts.{experts}")
        if name.endswith("gate_up_proj"):
            base = experts.removesuffix("gate_up_proj")
            tensors[base + "w1.weight"] = (p, slice(0, FFN))
            tensors[base + "w3.weight"] = (p, slice(FFN, 2 * FFN))
        elif name.endswith("down_proj"):
            tensors[experts.removesuffix("down_proj") + "w2.weight"] = (
                p, slice(None))
        else:
            tensors[at] = (p, None)
    return tensors


def view(tensor, part):
    return tensor if part is None else tensor[:, part]


def mixtral():
    model = MixtralForCausalLM(MixtralConfig(
        vocab_size=11, hidden_size=D, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=2, head_dim=4,
        intermediate_size=FFN, num_local_experts=EXPERTS,
        num_experts_per_tok=TOP, rms_norm_eps=1e-5, rope_theta=1e6,
        max_position_embeddings=6, tie_word_embeddings=False,
        attn_implementation="eager",
        experts_implementation="eager")).double()
    model.eval()
    tensors = mixtral_tensors(model)
    for order, name in enumerate(sorted(tensors)):
        p, part = tensors[name]
        target = view(p.data, part)
        target.copy_(formula(order, target.shape, "norm" in name))
    ce, count, scores, last = 0, 0, [[] for _ in range(LAYERS)], None
    for row, documents in zip(TOKENS, DOCUMENTS):
        for begin, end in documents:
            ids = row[None, begin:end]
            out = model(ids, output_router_logits=True)
            logits = out.logits[0].double()
            ce += F.cross_entropy(logits[:-1], ids[0, 1:], reduction="sum")
            count += end - begin - 1
            for layer, router in enumerate(out.router_logits):
                scores[layer].append(router)
            last = logits[-1] if last is None else last
    scores = [torch.cat(layer) for layer in scores]
    balance = sum(load_balancing_loss_func((layer,), EXPERTS, TOP)
                  for layer in scores)
    router_z = sum((torch.logsumexp(layer, -1)**2).sum() for layer in scores)
    terms = {"cross_entropy": (ce, count), "balance": (balance * 2, 2),
             "router_z": (router_z / 6, 2)}
    backward(terms)
    return result(terms, last, {name: view(p.grad, part).double()
                                for name, (p, part) in tensors.items()})


def shared_shapes():
    shapes = {"embed.weight": [11, D], "norm.weight": [D]}
    for i in range(LAYERS):
        at = f"layers.{i}."
        shapes.update({
            at + "norm1.weight": [D], at + "norm2.weight": [D],
            at + "qkv.weight": [3 * D, D], at + "out.weight": [D, D],
            at + "router.weight": [EXPERTS, D],
            at + "experts.{experts}.in.weight": [EXPERTS, FFN, D],
            at + "experts.{experts}.in.bias": [EXPERTS, FFN],
            at + "experts.{experts}.out.weight": [EXPERTS, D, FFN],
            at + "shared.gate.weight": [D], at + "shared.in.weight": [FFN, D],
            at + "shared.out.weight": [D, FFN]})
    return shapes


def norm(x, g):
    return x / torch.sqrt((x**2).mean(-1, keepdim=True) + 1e-5) * g


def shared_layer(x, w, at):
    b, t, _ = x.shape
    q, k, v = (part.reshape(b, t, HEADS, -1).transpose(1, 2) for part in
               (norm(x, w[at + "norm1.weight"]) @ w[at + "qkv.weight"].T)
               .chunk(3, -1))
    keep = torch.ones(t, t, dtype=torch.bool).tril() & (
        DOCUMENT[:, :, None] == DOCUMENT[:, None, :])
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=keep[:, None])
    x = x + out.transpose(1, 2).reshape(b, t, -1) @ w[at + "out.weight"].T
    h = norm(x, w[at + "norm2.weight"])
    p = torch.softmax(h @ w[at + "router.weight"].T, -1)
    weight, choice = torch.topk(p, TOP, -1)
    y = torch.zeros_like(x)
    for e in range(EXPERTS):  # every token by every expert, then masked
        inner = F.gelu(h @ w[at + "experts.{experts}.in.weight"][e].T
                       + w[at + "experts.{experts}.in.bias"][e])
        z = inner @ w[at + "experts.{experts}.out.weight"][e].T
        y = y + (weight * (choice == e)).sum(-1, keepdim=True) * z
    gate = torch.sigmoid((h * w[at + "shared.gate.weight"]).sum(-1, True))
    shared = F.gelu(h @ w[at + "shared.in.weight"].T)
    chosen = F.one_hot(choice, EXPERTS).sum((0, 1, 2))
    balance = EXPERTS * (chosen * p.sum((0, 1))).sum() / (b * t)**2
    return x + y + gate * (shared @ w[at + "shared.out.weight"].T), balance


def shared():
    shapes = shared_shapes()
    w = {name: formula(order, shapes[name], "norm" in name).requires_grad_()
         for order, name in enumerate(sorted(shapes))}
    x, balance = w["embed.weight"][TOKENS], 0
    for i in range(LAYERS):
        x, of_layer = shared_layer(x, w, f"layers.{i}.")
        balance = balance + of_layer
    logits = norm(x, w["norm.weight"]) @ w["embed.weight"].T
    same = DOCUMENT[:, 1:] == DOCUMENT[:, :-1]
    nll = F.cross_entropy(logits[:, :-1].transpose(1, 2), TOKENS[:, 1:],
                          reduction="none")
    terms = {"cross_entropy": ((nll * same).sum(), int(same.sum())),
             "balance": (balance * 2, 2)}
    backward(terms)
    return result(terms, logits[0, -1], {name: p.grad for name, p in w.items()})


def main():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                        "experts.json")
    with open(path, "w") as out:
        json.dump({"moe_llama": mixtral(), "shared_experts": shared()}, out,
                  indent=1)
        out.write("\n")


main()
