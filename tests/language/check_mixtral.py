#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""moe_llama beside transformers' Mixtral from one checkpoint folder: the first
step's cross entropy, balance and gradient norm, and what comes back out:
check_mixtral.py LTC (needs torch, transformers, safetensors)."""
import json
import os
import subprocess
import sys
import tempfile

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from transformers import MixtralConfig, MixtralForCausalLM
from transformers.models.mixtral.modeling_mixtral import \
    load_balancing_loss_func

SPEC = """
model: {init: {from: hf}, architecture: moe_llama, vocab: 256, layers: 2, d: 64, heads: 4, kv: 2, ffn: 96, experts: 8, top: 2}
loss: {cross_entropy: 1.0, balance: 0.02}
data: {length: 64, train: [{text: "*.py"}], tokenizer: bytes}
train: {batch: 8, micro_batch: 4, duration: 1 steps, optimizer: {sgd: {}}, schedule: {constant: {peak: 0}}}
run: {folder: runs/m}
target: cpu
"""


def mixtral():
    torch.manual_seed(3)
    return MixtralForCausalLM(MixtralConfig(
        vocab_size=256, hidden_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=16,
        intermediate_size=96, num_local_experts=8, num_experts_per_tok=2,
        rms_norm_eps=1e-5, rope_theta=1e6, max_position_embeddings=64,
        initializer_range=0.1, attn_implementation="eager",
        experts_implementation="eager"))


def documents(row):
    ends = [i for i in range(1, len(row)) if row[i] != row[i - 1]]
    return zip([0] + ends, ends + [len(row)])


def expected(model, batch):
    """In float64, document by document; the balance by micro batches of 4."""
    model = model.double().eval()
    loss, balance, rows = 0, [], len(batch["tokens"])
    for first in range(0, rows, 4):
        scores = [[], []]
        for r in range(first, first + 4):
            for begin, end in documents(batch["document"][r].tolist()):
                out = model(batch["tokens"][None, r, begin:end].long(),
                            output_router_logits=True)
                nll = F.cross_entropy(out.logits[0],
                                      batch["labels"][r, begin:end].long(),
                                      reduction="none")
                loss = loss + (nll * batch["mask"][r, begin:end]).sum()
                for layer, router in zip(scores, out.router_logits):
                    layer.append(router)
        balance.append(sum(load_balancing_loss_func((torch.cat(layer),), 8, 2)
                           for layer in scores))
    loss = loss / batch["mask"].double().sum()
    balance = sum(balance) / len(balance)
    (loss + 0.02 * balance).backward()
    norm = torch.sqrt(sum((p.grad**2).sum() for p in model.parameters()))
    return {"cross_entropy": loss.item(), "balance": balance.item(),
            "grad_norm": norm.item()}


def run(ltc, *arguments):
    done = subprocess.run([ltc, *arguments], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"ltc {' '.join(arguments)}: {done.stderr}")


def main():
    ltc, here = os.path.abspath(sys.argv[1]), os.path.abspath(__file__)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.symlink(here, "text.py")
        with open("spec.yaml", "w") as file:
            file.write(SPEC)
        model = mixtral()
        model.save_pretrained("hf")
        run(ltc, "compile", "spec.yaml", "-o", "model.ltca")
        run(ltc, "batches", "model.ltca", "-n", "1", "-o", "batch.safetensors")
        run(ltc, "run", "spec.yaml")
        run(ltc, "export", "runs/m", "-o", "out")
        batch = {name.split(".")[1]: tensor for name, tensor in
                 load_file("batch.safetensors").items()}
        with open("runs/m/metrics.jsonl") as file:
            first = json.loads(file.readline())
        found = {**first["terms"], "grad_norm": first["grad_norm"]}
        ours, theirs = (load_file(name + "/model.safetensors")
                        for name in ("out", "hf"))
        MixtralForCausalLM.from_pretrained("out") # its config is one of theirs
    if ours.keys() != theirs.keys() or any(
            not torch.equal(ours[name], theirs[name]) for name in theirs):
        sys.exit("the exported weights are not those that were imported")
    for name, value in expected(model, batch).items():
        print(f"{name}: {found[name]:.7f}, transformers {value:.7f}")
        if abs(found[name] - value) > 2e-6 * abs(value):
            sys.exit(f"{name} differs")


main()
