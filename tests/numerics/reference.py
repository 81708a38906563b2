# SPDX-License-Identifier: Apache-2.0
"""The same steps by PyTorch and transformers, written without ltc."""
import glob
import math
import os

import torch
from transformers import (GPT2Config, GPT2LMHeadModel, LlamaConfig,
                          LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM)

from runs import CLIP, LENGTH, MODELS, OPTIMIZERS, TOTAL, WARMUP


def perl_text():
    """Perl's manual pages of data types and operators."""
    for folder in glob.glob("/usr/share/perl/*/pod"):
        pages = [os.path.join(folder, f"perl{name}.pod")
                 for name in ("data", "op", "sub", "syn")]
        if all(map(os.path.exists, pages)):
            return "".join(open(p, encoding="utf-8").read() for p in pages)
    raise SystemExit("perl-doc is not installed; run tools/setup")


def build(name, seed=3):
    """The model, by transformers' own initial weights; norms and biases are
    moved a little, so that a wrong one is seen."""
    torch.manual_seed(seed)
    m = MODELS[name]
    if m["architecture"] == "gpt2":
        model = GPT2LMHeadModel(GPT2Config(
            vocab_size=m["vocab"], n_embd=m["d"], n_layer=m["layers"],
            n_head=m["heads"], n_positions=m["positions"], resid_pdrop=0,
            embd_pdrop=0, attn_pdrop=0, bos_token_id=0, eos_token_id=0))
    else:
        common = dict(
            vocab_size=m["vocab"], hidden_size=m["d"],
            num_hidden_layers=m["layers"], num_attention_heads=m["heads"],
            num_key_value_heads=m.get("kv", m["heads"]),
            head_dim=m.get("k", m["d"] // m["heads"]),
            intermediate_size=m["ffn"], rms_norm_eps=m.get("eps", 1e-5),
            rope_theta=m.get("theta", 1e4),
            rope_parameters={"rope_type": "default",
                             "rope_theta": m.get("theta", 1e4)},
            tie_word_embeddings="tied" in m, max_position_embeddings=LENGTH,
            bos_token_id=0, eos_token_id=0)
        model = (Qwen2ForCausalLM(Qwen2Config(**common)) if "qkv_bias" in m
                 else LlamaForCausalLM(LlamaConfig(**common)))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter += 0.05 * torch.randn_like(parameter)
    return model.train()


def logits_of(model, batch):
    """Attention within a document only, not to later positions."""
    document = batch["document"]
    order = torch.arange(document.shape[1])
    keep = ((document[:, :, None] == document[:, None, :])
            & (order[None, :] <= order[:, None]))
    dtype = next(model.parameters()).dtype
    mask = torch.zeros(keep.shape, dtype=dtype).masked_fill(
        ~keep, torch.finfo(dtype).min)
    return model(input_ids=batch["tokens"].long(),
                 attention_mask=mask[:, None],
                 position_ids=batch["position"].long(), use_cache=False).logits


def loss_of(model, batch, autocast=False):
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        logits = logits_of(model, batch)
    if autocast:
        logits = logits.float()
    nll = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), batch["labels"].long().flatten(),
        reduction="none")
    mask = batch["mask"].flatten().to(nll.dtype)
    return (nll * mask).sum() / mask.sum()


def rate(step, peak):
    """A cosine to a tenth of the peak; step counts from 1."""
    if step < WARMUP:
        return peak * step / WARMUP
    turn = math.pi * min(1, (step - WARMUP) / (TOTAL - WARMUP))
    return peak * (0.1 + 0.9 * (1 + math.cos(turn)) / 2)


def decays(name, parameter):
    embeddings = ("embed_tokens.weight", "wte.weight", "wpe.weight")
    return parameter.dim() >= 2 and not name.endswith(embeddings)


def optimizer_of(model, kind):
    settings, _ = OPTIMIZERS[kind]
    groups = [{"params": [p for n, p in model.named_parameters()
                          if decays(n, p) == wanted],
               "weight_decay": settings["weight_decay"] if wanted else 0.0}
              for wanted in (True, False)]
    if kind == "adamw":
        return torch.optim.AdamW(
            groups, lr=1, eps=settings["eps"],
            betas=(settings["beta1"], settings["beta2"]))
    return torch.optim.SGD(groups, lr=1, momentum=settings["momentum"])


def train(model, batches, kind, steps, autocast=False):
    """Losses and gradient norms of `steps` steps; the model is changed."""
    optimizer = optimizer_of(model, kind)
    losses, norms = [], []
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        loss = loss_of(model, batches[step - 1], autocast)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(
            model.parameters(), CLIP).item())
        for group in optimizer.param_groups:
            group["lr"] = rate(step, OPTIMIZERS[kind][1])
        optimizer.step()
        losses.append(loss.item())
    return losses, norms


def read_batches(tensors):
    """The batches of `ltc batches`' tensors 0.tokens, 0.labels, ..."""
    count = 1 + max(int(name.split(".")[0]) for name in tensors)
    columns = ("tokens", "labels", "position", "document", "mask")
    return [{c: tensors[f"{i}.{c}"] for c in columns} for i in range(count)]
