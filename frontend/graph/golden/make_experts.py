#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes experts.json beside it: what transformers says of moe_llama
(Mixtral) on a tiny model. Weights follow make.py's formula in order of the
text's names. Run by hand after `pip install torch transformers`."""
import json
import os

import torch
import torch.nn.functional as F
from transformers import MixtralConfig, MixtralForCausalLM
from transformers.models.mixtral.modeling_mixtral import \
    load_balancing_loss_func

TOKENS = torch.tensor([[1, 4, 7, 2, 9, 3], [5, 0, 10, 6, 8, 2]])
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


def main():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                        "experts.json")
    with open(path, "w") as out:
        json.dump({"moe_llama": mixtral()}, out, indent=1)
        out.write("\n")


main()
