#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Texts that are not in the library, from a spec to a falling loss:
check_training.py LTC (the `ltc` program). A loss that wants what the data does
not have is refused at its line."""
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SPEC = """
model: {{architecture: {model}, vocab: 256, layers: {layers}, d: 32, heads: 4, ffn: 64{more}}}
loss: {{{loss}}}
data: {{length: 64, train: [{{text: "{here}/*.ltc"}}], tokenizer: bytes}}
train: {{batch: 8, micro_batch: 4, duration: 40 steps, optimizer: {optimizer}, schedule: {{constant: {{peak: 1e-2, warmup: 4}}}}}}
run: {{folder: {name}, log_every: 1 steps}}
target: cpu
"""
# Name of the run: model, layers, further settings, loss, optimizer.
TEXTS = {
    "unet": ("unet.ltc", 5, "", "cross_entropy: 1", "adamw"),
    "two_ahead": ("two_ahead.ltc", 2, "", "one_ahead: 1, two_ahead: 0.3",
                  "adamw"),
    "focal": ("llama", 2, "", "focal.ltc: {weight: 1, gamma: 1.5}", "adamw"),
    "smoothed": ("llama", 2, "", "smoothed.ltc: 1, normaliser: 0.001", "adamw"),
    "fresh": ("streaming.ltc", 2, ", window: 8, first: 2", "cross_entropy: 1",
              "cautious_adamw.ltc"),
}


def ltc(top, name, text):
    with open(os.path.join(top, name + ".yaml"), "w") as file:
        file.write(text)
    return subprocess.run([os.path.abspath(sys.argv[1]), "run", name + ".yaml"],
                          cwd=top, capture_output=True, text=True)


def spec(name, model, layers, more, loss, optimizer):
    def path(word):
        return os.path.join(HERE, word) if word.endswith(".ltc") else word

    key, _, rest = loss.partition(":")
    return SPEC.format(name=name, model=path(model), layers=layers, more=more,
                       loss=f'"{path(key)}":{rest}', here=HERE,
                       optimizer=path(optimizer))


def main():
    with tempfile.TemporaryDirectory() as top:
        for name, case in TEXTS.items():
            done = ltc(top, name, spec(name, *case))
            if done.returncode:
                sys.exit(f"{name}: {done.stdout}{done.stderr}")
            with open(os.path.join(top, name, "metrics.jsonl")) as file:
                losses = [line["loss"] for line in map(json.loads, file)
                          if "loss" in line]
            print(f"{name}: loss {losses[0]:.4f} to {losses[-1]:.4f}")
            if not losses[-1] < 0.8 * losses[0]:
                sys.exit(f"the loss of {name} does not fall")
        done = ltc(top, "given", spec("given", "llama", 2, "",
                                      "distillation.ltc: 1", "adamw"))
        words = "the data has no column 'teacher'"
        if not done.returncode or words not in done.stderr:
            sys.exit(f"a teacher that is not there is not refused: "
                     f"{done.stdout}{done.stderr}")


main()
