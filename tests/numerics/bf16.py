#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How far does bf16 move a training run? Ours beside PyTorch's autocast.

  tests/numerics/bf16.py LTC [--seeds 5] [--models llama gpt2]

D = mean over steps 10..100 of |loss - float32 loss of the same system|, mean of
the seeds. A seed gives a system's two runs the same weights and the same rows.
Both systems train the same two-layer model on the same bytes with AdamW and
clipping. Exits 1 if our D is above `--ratio` times PyTorch's. Needs torch,
transformers; minutes.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
D, HEADS, KV, FFN, LENGTH, BATCH = 128, 4, 2, 352, 128, 8
PEAK, WARMUP, FIRST, STEPS = 1e-3, 10, 10, 100


def corpus():
    """This repository's own sources: text that is always at hand."""
    names = sorted(p for part in ("ir", "passes", "frontend", "runtime")
                   for p in (ROOT / part).rglob("*")
                   if p.suffix in (".cpp", ".h", ".md", ".td"))
    return b"\n".join(p.read_bytes() for p in names)


def spec(model, precision, data):
    sizes = (f"kv: {KV}, ffn: {FFN}" if model == "llama"
             else f"positions: {LENGTH}, ffn: {4 * D}")
    return f"""
model: {{architecture: {model}, vocab: 256, layers: 2, d: {D}, heads: {HEADS}, {sizes}}}
loss: {{cross_entropy: 1.0}}
data: {{length: {LENGTH}, tokenizer: bytes, train: [{{text: "{data}"}}]}}
train:
  batch: {BATCH}
  micro_batch: {BATCH}
  duration: {STEPS} steps
  clip: 1
  precision: {precision}
  optimizer: {{adamw: {{}}}}
  schedule: {{constant: {{peak: {PEAK}, warmup: {WARMUP}}}}}
run: {{folder: run, log_every: 1 steps}}
target: cpu
"""


def ours(ltc, model, seeds, folder):
    """{precision: {seed: losses}}"""
    (folder / "data.txt").write_bytes(corpus())
    found = {}
    for precision in ("fp32", "bf16"):
        path = folder / f"{model}-{precision}.yaml"
        path.write_text(spec(model, precision, folder / "data.txt"))
        artifact = path.with_suffix(".ltca")
        subprocess.run([ltc, "compile", path, "-o", artifact], check=True)
        found[precision] = {}
        for seed in seeds:
            run = folder / f"{model}-{precision}-{seed}"
            subprocess.run([ltc, "run", artifact,
                            "--set", f"train.seed={seed}",
                            "--set", f"run.folder={run}"],
                           check=True, stdout=subprocess.DEVNULL)
            lines = map(json.loads,
                        (run / "metrics.jsonl").read_text().splitlines())
            found[precision][seed] = [x["loss"] for x in lines if "loss" in x]
    return found


def theirs(model, seeds):
    import torch
    import transformers as tf
    data = torch.frombuffer(bytearray(corpus()), dtype=torch.uint8).long()

    def build():
        if model == "llama":
            return tf.LlamaForCausalLM(tf.LlamaConfig(
                vocab_size=256, hidden_size=D, num_hidden_layers=2,
                num_attention_heads=HEADS, num_key_value_heads=KV,
                intermediate_size=FFN, tie_word_embeddings=False))
        return tf.GPT2LMHeadModel(tf.GPT2Config(
            vocab_size=256, n_embd=D, n_layer=2, n_head=HEADS,
            n_positions=LENGTH, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0))

    def train(seed, narrow):
        torch.manual_seed(seed)
        net = build().train()
        rows = torch.Generator().manual_seed(seed)
        groups = [{"params": [p for p in net.parameters() if p.dim() >= 2],
                   "weight_decay": 0.1},
                  {"params": [p for p in net.parameters() if p.dim() < 2],
                   "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.95),
                                      eps=1e-8)
        losses = []
        for step in range(1, STEPS + 1):
            for group in optimizer.param_groups:
                group["lr"] = PEAK * min(1, step / WARMUP)
            at = torch.randint(len(data) - LENGTH - 1, (BATCH,), generator=rows)
            x = torch.stack([data[i:i + LENGTH + 1] for i in at])
            with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
                logits = net(x[:, :-1]).logits
            loss = torch.nn.functional.cross_entropy(
                logits.float().reshape(-1, 256), x[:, 1:].reshape(-1))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
        return losses

    return {"fp32": {s: train(s, False) for s in seeds},
            "bf16": {s: train(s, True) for s in seeds}}


def distance(runs):
    total = 0
    for seed, exact in runs["fp32"].items():
        narrow = runs["bf16"][seed]
        if len(exact) != STEPS or len(narrow) != STEPS:
            sys.exit(f"a run has {len(exact)} and {len(narrow)} losses, "
                     f"not {STEPS}")
        pairs = list(zip(exact, narrow))[FIRST - 1:]
        total += sum(abs(a - b) for a, b in pairs) / len(pairs)
    return total / len(runs["fp32"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ltc")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=["llama", "gpt2"])
    parser.add_argument("--ratio", type=float, default=1.5)
    options = parser.parse_args()
    seeds, worst = range(1, options.seeds + 1), 0
    for model in options.models:
        with tempfile.TemporaryDirectory() as folder:
            mine = ours(options.ltc, model, seeds, pathlib.Path(folder))
        peer = theirs(model, seeds)
        a, b = distance(mine), distance(peer)
        last = [runs["fp32"][1][-1] for runs in (mine, peer)]
        print(f"{model}: D ours {a:.5f}, autocast {b:.5f}, ratio {a / b:.2f} "
              f"(at most {options.ratio}); last fp32 losses {last[0]:.3f}, "
              f"{last[1]:.3f}", flush=True)
        worst = max(worst, a / b)
    return int(worst > options.ratio)


if __name__ == "__main__":
    sys.exit(main())
