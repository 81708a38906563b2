#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Generation: generation.py LTC (the `ltc` program).

With caches the text is that of whole windows, most probable tokens and drawn
ones, for prompts of many lengths (whole chunks, parts, one token). A model
whose text has no step says so by its line and still writes. A text longer than
the model's length goes on. What is asked wrongly is refused by name."""
import json
import os
import random
import subprocess
import sys
import tempfile

import training

MODELS = {
    "llama": "{architecture: llama, vocab: 256, layers: 2, d: 64, heads: 4, "
             "kv: 2, ffn: 96}",
    "gpt2": "{architecture: gpt2, vocab: 256, layers: 2, d: 64, heads: 4, "
            "positions: 160}",
    "window": "{architecture: llama, vocab: 256, layers: 2, d: 64, heads: 4, "
              "ffn: 96, window: 24}",
    "moe": "{architecture: moe_llama, vocab: 256, layers: 2, d: 64, heads: 4, "
           "kv: 2, ffn: 48, experts: 4, top: 2}",
    "recurrence": "{architecture: %s, vocab: 256, layers: 2, d: 64, ffn: 96}" %
                  os.path.join(os.path.dirname(os.path.abspath(__file__)),
                               "../language/rwkv.ltc"),
}
SPEC = """\
model: {model}
loss: {{cross_entropy: 1.0}}
data: {{length: {length}, tokenizer: bytes, train: [{{text: "text-a.txt"}}]}}
train: {{precision: {precision}, batch: 8, micro_batch: 8, duration: {steps} steps, clip: 1.0, optimizer: {{adamw: {{}}}}, schedule: {{constant: {{peak: 3e-3}}}}}}
run: {{folder: {run}, log_every: 20 steps}}
target: cpu
"""


def train(ltc, folder, name, model, length, steps, precision="fp32"):
    run = os.path.join(folder, name)
    spec = os.path.join(folder, name + ".yaml")
    with open(spec, "w") as file:
        file.write(SPEC.format(model=model, length=length, steps=steps,
                               run=run, precision=precision))
    done = subprocess.run([ltc, "run", spec], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        training.fail(f"{name}: ltc run left with {done.returncode}:\n"
                      f"{done.stdout}")
    return run


def generate(ltc, run, *words, code=0):
    done = subprocess.run([ltc, "generate", run, *words],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != code:
        training.fail(f"generate {' '.join(words)} left with "
                      f"{done.returncode}, expected {code}:\n"
                      f"{done.stderr.decode()}")
    return done.stdout.decode(), done.stderr.decode()  # always UTF-8


def same_text(ltc, run, name, prompts, *words):
    words = ("--prompts", prompts, "--json", "--max-tokens", "64", *words)
    cached = generate(ltc, run, *words)[0].splitlines()
    whole = generate(ltc, run, *words, "--recompute")[0].splitlines()
    for mine, theirs in zip(cached, whole, strict=True):
        if mine != theirs:
            training.fail(f"{name} {' '.join(words)}:\n{mine}\n{theirs}")
    made = sum(json.loads(line)["tokens"] for line in cached)
    print(f"  {name} {' '.join(words[5:])}: {made} tokens of {len(cached)} "
          "prompts, the same")


def write_prompts(folder, count):
    rng = random.Random(5)
    text = training.make_text(40, 1).replace("\n", " ")
    path = os.path.join(folder, "prompts.jsonl")
    with open(path, "w") as file:
        for i in range(count):
            length = [1, 32, 33, 64, 2][i] if i < 5 else rng.randint(3, 80)
            start = rng.randrange(len(text) - length)
            file.write(json.dumps({"prompt": text[start:start + length]}) +
                       "\n")
    return path


def no_step(ltc, folder, prompts):
    here = os.path.dirname(os.path.abspath(__file__))
    text = os.path.join(here, "..", "language", "by_hand.ltc")
    model = (f"{{architecture: {os.path.abspath(text)}, vocab: 256, layers: 1, "
             "d: 32, heads: 2, kv: 1, k: 16, ffn: 48}")
    run = train(ltc, folder, "by-hand", model, 64, 4)
    _, said = generate(ltc, run, "--prompt", "abc", "--max-tokens", "4")
    if "by_hand.ltc:" not in said or "whole window" not in said:
        training.fail(f"a model without steps does not name its line:\n{said}")
    print("  " + said.strip().splitlines()[0][-110:])


def overflow(ltc, run):
    text, said = generate(ltc, run, "--prompt", "abc", "--max-tokens", "400",
                          "--temperature", "0", "--json")
    line = json.loads(text)
    if not line["ended"] and "was full" not in said:
        training.fail(f"a full context is not named:\n{said}")
    print(f"  {line['tokens']} tokens past the length: " + said.strip())


def refusals(ltc, folder, run):
    bad = os.path.join(folder, "bad.jsonl")
    with open(bad, "w") as file:
        file.write('{"prompt": "a"}\n{"text": "a"}\n')
    empty = os.path.join(folder, "empty.txt")
    open(empty, "w").close()
    for words, expected in (
            (("--prompts", bad), "bad.jsonl:2"),
            (("--prompts", empty), "no prompt"),
            (("--prompts", "nowhere.txt"), "nowhere.txt")):
        _, said = generate(ltc, run, *words, code=1)
        if expected not in said:
            training.fail(f"{words} does not say '{expected}':\n{said}")
    for words in (("--top-p", "0"), ("--top-p", "1.5"), ("--top-k", "-1"),
                  ("--repetition-penalty", "0"), ("--temperature", "-1"),
                  ("--prompt", "a", "--prompts", bad)):
        done = subprocess.run([ltc, "generate", run, *words],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode in (0, 1) or words[0].encode() not in done.stderr:
            training.fail(f"{words} is not refused by name:\n"
                          f"{done.stderr.decode()}")
    print("  wrong options and files are refused by name")


def main():
    ltc = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        training.write_run(folder, lines=400)
        prompts = write_prompts(folder, 20)
        for name, model in MODELS.items():
            run = train(ltc, folder, name, model, 160, 30)
            same_text(ltc, run, name, prompts, "--temperature", "0")
            if name == "llama":
                same_text(ltc, run, name, prompts, "--top-p", "0.9",
                          "--repetition-penalty", "1.2")
                overflow(ltc, run)
                refusals(ltc, folder, run)
        for name in ("llama", "moe", "recurrence"):
            run = train(ltc, folder, name + "-bf16", MODELS[name], 160, 30,
                        "bf16")
            same_text(ltc, run, name + " in bf16", prompts, "--temperature",
                      "0")
        no_step(ltc, folder, prompts)


main()
