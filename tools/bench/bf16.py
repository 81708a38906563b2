#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training tokens/s in bf16: ours beside our float32 and PyTorch's autocast.

  tools/bench/bf16.py LTC [--rounds 3] [--steps 6] [--threads 2]

A llama (8 layers, d 512, ffn 1408, 8 heads of 64, kv 4, vocabulary 256) on rows
of 512 tokens, 4 at once, AdamW and clipping. The systems take turns, each in a
process of its own; a figure is the median over all steps but each turn's first
two. Prints the ratios and the planned activation bytes of both precisions.
"""
import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

LAYERS, D, HEADS, KV, FFN, VOCAB, T, B = 8, 512, 8, 4, 1408, 256, 512, 4
SKIP = 2  # steps of a turn that only warm up


def spec(precision, data, steps):
    return f"""
model: {{architecture: llama, vocab: {VOCAB}, layers: {LAYERS}, d: {D}, heads: {HEADS}, kv: {KV}, ffn: {FFN}}}
loss: {{cross_entropy: 1.0}}
data: {{length: {T}, tokenizer: bytes, train: [{{text: "{data}"}}]}}
train:
  batch: {B}
  micro_batch: {B}
  duration: {steps} steps
  clip: 1
  precision: {precision}
  optimizer: {{adamw: {{}}}}
  schedule: {{constant: {{peak: 1e-4}}}}
run: {{folder: run, log_every: 1 steps}}
target: cpu
"""


class Ours:
    def __init__(self, ltc, precision, folder, options):
        self.ltc, self.folder, self.turns = ltc, folder, 0
        self.name, self.threads = f"ltc {precision}", options.threads
        path = folder / f"{precision}.yaml"
        path.write_text(spec(precision, folder / "data.txt", options.steps))
        self.artifact = path.with_suffix(".ltca")
        subprocess.run([ltc, "compile", path, "-o", self.artifact], check=True)

    def turn(self):
        self.turns += 1
        run = self.folder / f"{self.artifact.stem}-{self.turns}"
        subprocess.run([self.ltc, "run", self.artifact,
                        "--set", f"run.folder={run}",
                        "--set", f"run.threads={self.threads}"],
                       check=True, stdout=subprocess.DEVNULL)
        lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
        return [x["seconds"] for x in lines if "loss" in x][SKIP:]

    def activations(self):
        """Largest planned activation bytes of a phase."""
        text = subprocess.run([self.ltc, "inspect", self.artifact, "--json"],
                              check=True, capture_output=True, text=True).stdout
        table = json.loads(text)
        return max(p.get("activation_peak", 0) for p in table["phases"])


class Torch:
    def __init__(self, precision, options):
        self.name, self.precision = f"torch {precision}", precision
        self.options = options

    def turn(self):
        environment = {k: v for k, v in os.environ.items()
                       if not k.startswith("OPENBLAS_")}
        out = subprocess.run(
            [sys.executable, __file__, "--peer", self.precision,
             "--steps", str(self.options.steps),
             "--threads", str(self.options.threads)],
            check=True, capture_output=True, text=True, env=environment).stdout
        return json.loads(out.splitlines()[-1])[SKIP:]


def peer(options):
    import torch
    import transformers as tf
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    net = tf.LlamaForCausalLM(tf.LlamaConfig(
        vocab_size=VOCAB, hidden_size=D, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=KV,
        intermediate_size=FFN, tie_word_embeddings=False)).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4)
    seconds = []
    for _ in range(options.steps):
        x = torch.randint(VOCAB, (B, T + 1))
        begin = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16,
                            enabled=options.peer == "bf16"):
            logits = net(x[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(
            logits.float().reshape(-1, VOCAB), x[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        seconds.append(time.perf_counter() - begin)
    print(json.dumps(seconds))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ltc", nargs="?")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        return peer(options)
    if not options.ltc:
        parser.error("which ltc?")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        random.seed(1)
        (folder / "data.txt").write_bytes(random.randbytes(1 << 20))
        systems = [Ours(options.ltc, "bf16", folder, options),
                   Ours(options.ltc, "fp32", folder, options),
                   Torch("bf16", options), Torch("fp32", options)]
        times = {system.name: [] for system in systems}
        for _ in range(options.rounds):
            for system in systems:
                times[system.name] += system.turn()
        bytes_ = [system.activations() for system in systems[:2]]
    speed = {n: B * T / statistics.median(s) for n, s in times.items()}
    for system, figure in speed.items():
        print(f"{system:11} {figure:8.0f} tokens/s")
    print(f"bf16 / fp32, ours:      {speed['ltc bf16'] / speed['ltc fp32']:.2f}")
    print(f"bf16, ours / autocast:  "
          f"{speed['ltc bf16'] / speed['torch bf16']:.2f}")
    print(f"planned activations: bf16 {bytes_[0] / 2**20:.1f} MiB, "
          f"fp32 {bytes_[1] / 2**20:.1f} MiB ({bytes_[0] / bytes_[1]:.2f})")


if __name__ == "__main__":
    sys.exit(main())
