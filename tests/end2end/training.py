# SPDX-License-Identifier: Apache-2.0
"""What the scripts of this folder share: a small run, and what it left."""
import hashlib
import json
import os
import random
import subprocess
import sys

SPEC = """\
model: {model}
loss: {{cross_entropy: 1.0}}
data:
  length: {length}
  tokenizer: bytes
  train: [{{text: "text-*.txt"}}]
  eval: {{held: [{{text: "held.txt"}}]}}
train:
  batch: {batch}
  micro_batch: {micro_batch}
  duration: {steps} steps
  eval_every: {eval_every} steps
  clip: 1.0
  optimizer: {{adamw: {{}}}}
  schedule: {{cosine: {{peak: 3e-3, warmup: 5}}}}
run: {{folder: runs, log_every: 20 steps, save_every: {save_every} steps, keep: 3}}
target: cpu
"""

LLAMA = ("{{architecture: llama, vocab: 256, layers: {layers}, d: {d}, "
         "heads: 4, kv: 2, ffn: {ffn}}}")
SMALL = dict(layers=2, d=64, ffn=96, length=64, batch=8, micro_batch=4,
             steps=60, eval_every=20, save_every=4)


def fail(message):
    print("FAILED: " + message)
    sys.exit(1)


def make_text(count, seed):
    """Sentences over a few hundred made-up words: learnable, always the same."""
    rng = random.Random(seed)
    words = ["".join(rng.choice("abcdefghilmnorstu")
                     for _ in range(rng.randint(2, 8))) for _ in range(400)]
    return "\n".join(" ".join(rng.choices(words, k=rng.randint(4, 12))) + "."
                     for _ in range(count))


def write_run(folder, lines=1500, model=LLAMA, **changes):
    """A spec and its data in `folder`; the spec's path."""
    os.makedirs(folder, exist_ok=True)
    for name, seed in (("text-a.txt", 1), ("text-b.txt", 2), ("held.txt", 3)):
        with open(os.path.join(folder, name), "w") as file:
            file.write(make_text(lines if seed < 3 else 60, seed))
    spec = os.path.join(folder, "spec.yaml")
    with open(spec, "w") as file:
        values = {**SMALL, **changes}
        file.write(SPEC.format(model=model.format(**values), **values))
    return spec


def compile_spec(ltc, spec, artifact):
    subprocess.run([ltc, "compile", spec, "-o", artifact], check=True,
                   stdout=subprocess.DEVNULL)


def small_artifact(ltc, folder, **changes):
    """write_run's spec, compiled beside it; the artifact's path."""
    artifact = os.path.join(folder, "small.ltca")
    compile_spec(ltc, write_run(folder, **changes), artifact)
    return artifact


def command(ltc, artifact, run, *settings):
    line = [ltc, "run", artifact, "--set", f"run.folder={run}"]
    for setting in settings:
        line += ["--set", setting]
    return line


def train(ltc, artifact, run, *settings, **keywords):
    """Runs to the end; what it printed."""
    done = subprocess.run(command(ltc, artifact, run, *settings), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          **keywords)
    if done.returncode:
        fail(f"ltc run left with {done.returncode}:\n{done.stdout}")
    return done.stdout


def metrics(run):
    """All lines of metrics.jsonl, without what a clock wrote."""
    lines = []
    with open(os.path.join(run, "metrics.jsonl")) as file:
        for text in file:
            line = json.loads(text)
            for key in ("seconds", "data_seconds", "elapsed"):
                line.pop(key, None)
            lines.append(line)
    return lines


def checkpoints(run):
    folder = os.path.join(run, "checkpoints")
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder))
            if name.startswith("step-")]


def weight_hash(run):
    """Of the newest checkpoint's tensors: weights and optimizer states."""
    newest = checkpoints(run)[-1]
    digest = hashlib.sha256(os.path.basename(newest).encode())
    for name in sorted(os.listdir(newest)):
        if name.endswith(".safetensors"):
            with open(os.path.join(newest, name), "rb") as file:
                digest.update(name.encode() + file.read())
    return digest.hexdigest()


def outcome(run):
    return metrics(run), weight_hash(run)


def same(what, run, expected):
    """Fails unless the run left the expected figures and weights, bit by bit."""
    lines, weights = outcome(run)
    for mine, theirs in zip(lines, expected[0]):
        if mine != theirs:
            fail(f"{what}: metrics differ\n  {mine}\n  expected {theirs}")
    if len(lines) != len(expected[0]):
        fail(f"{what}: {len(lines)} lines of metrics, "
             f"expected {len(expected[0])}")
    if weights != expected[1]:
        fail(f"{what}: weights {weights[:16]}, expected {expected[1][:16]}")
    print(f"  {what}: the same")
