#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random numbers in training: dropout.py LTC (the `ltc` program).

Dropout of none or 0 is the program without it, to the bit, compiled or set so.
With it a run is the same with one thread and two, and stopped and gone on with.
A model that reports what it drew reports the same for every micro batch, and
other numbers in another step, layer, run. Evaluation and generation draw none:
with the same weights they are those of the program without dropout."""
import json
import os
import subprocess
import sys
import tempfile

import training

GPT2 = ("{{architecture: gpt2, vocab: 256, layers: {layers}, d: {d}, heads: 4, "
        "positions: {length}%s}}")
DROPOUT = ", residual_dropout: 0.2, embedding_dropout: 0.1"
ZERO = ("model.residual_dropout=0", "model.embedding_dropout=0")
RUN = dict(lines=200, steps=12, eval_every=4, save_every=0)
# Exact sums: whole numbers below 2^24. The tokens tie a number to its place in
# the batch.
DRAWN = """\
model drawn(vocab, layers, d)
input tokens[b, t]: token
param embed[vocab, d] init normal(0.02)
block draw(x[b, t, d]) as "layers.{i}" {
  param g[d] init ones
  term drawn = sum[..] floor(16 * uniform[b, t]) * tokens / count[b]
  return x * g
}
x = embed[tokens over vocab]
for i in layers { x = draw(x) }
term outside = sum[..] floor(16 * uniform[t]) * tokens / count[b]
return x @ embed
"""


def compiled(ltc, top, name, model=GPT2 % DROPOUT, **changes):
    return training.small_artifact(ltc, os.path.join(top, name), model=model,
                                   **{**RUN, **changes})


def refused(ltc, artifact, setting, words):
    done = subprocess.run(training.command(ltc, artifact, "refused", setting),
                          capture_output=True, text=True)
    if done.returncode != 1 or words not in done.stderr:
        training.fail(f"{setting}: left with {done.returncode}: {done.stderr}")
    print(f"  {done.stderr.strip()}")


def structure(ltc, artifact):
    return json.loads(subprocess.run([ltc, "inspect", artifact, "--json"],
                                     check=True, capture_output=True,
                                     text=True).stdout)["structure_hash"]


def none_is_without(ltc, top, plain, dropped):
    run = os.path.join(top, "plain-run")
    training.train(ltc, plain, run)
    expected = training.outcome(run)
    for word in ("none", "0"):
        same = compiled(ltc, top, word, GPT2 % f", residual_dropout: {word}")
        if structure(ltc, same) != structure(ltc, plain):
            training.fail(f"residual_dropout: {word} is another structure")
        training.train(ltc, same, run + word)
        training.same(f"residual_dropout: {word}", run + word, expected)
    training.train(ltc, dropped, run + "set", *ZERO)
    training.same("compiled with dropout, set to 0", run + "set", expected)
    return expected


def repeats(ltc, top, dropped, plain):
    run = os.path.join(top, "dropped-run")
    training.train(ltc, dropped, run, "run.threads=1")
    expected = training.outcome(run)
    losses = [line["loss"] for line in expected[0] if "loss" in line]
    without = [line["loss"] for line in plain[0] if "loss" in line]
    if not losses[-1] < losses[0] or set(losses) & set(without):
        training.fail(f"losses {losses}, without dropout {without}")
    training.train(ltc, dropped, run + "2", "run.threads=2")
    training.same("2 threads", run + "2", expected)
    training.train(ltc, dropped, run + "3", "train.duration=8 steps")
    training.train(ltc, dropped, run + "3", "train.duration=12 steps")
    training.same("stopped at step 8, gone on with", run + "3", expected)
    training.train(ltc, dropped, run + "4", "model.residual_dropout=0.1")
    if training.outcome(run + "4")[1] == expected[1]:
        training.fail("another probability gives the same weights")
    return run


def drawn_terms(ltc, top, micro_batch, *settings):
    name = f"drawn{micro_batch}"
    artifact = os.path.join(top, name, "small.ltca")
    if not os.path.exists(artifact):
        text = os.path.join(top, "drawn.ltc")
        with open(text, "w") as file:
            file.write(DRAWN)
        compiled(ltc, top, name, "{{architecture: %s, vocab: 256, layers: "
                 "{layers}, d: {d}}}" % text, micro_batch=micro_batch)
    run = os.path.join(top, name + "-run" + "".join(settings))
    training.train(ltc, artifact, run, *settings)
    return [line["terms"] for line in training.metrics(run) if "loss" in line]


def draws_by_place(ltc, top):
    expected = drawn_terms(ltc, top, 8)
    for micro_batch in (1, 2, 4):
        for mine, theirs in zip(drawn_terms(ltc, top, micro_batch), expected,
                                strict=True):
            for term in ("drawn", "outside"):
                if mine[term] != theirs[term]:
                    training.fail(f"micro batch {micro_batch}: {term} is "
                                  f"{mine[term]}, of 8 {theirs[term]}")
    other = drawn_terms(ltc, top, 8, "train.seed=2")
    for term in ("drawn", "outside"):
        if other[0][term] == expected[0][term]:
            training.fail(f"{term} is the same for another seed")
    print("  draws of micro batches of 1, 2, 4 are those of 8: "
          + ", ".join(f"{terms['drawn']:.0f}" for terms in expected[:4]))


def close_losses(ltc, top, dropped_run):
    """Beside the draws, only the order of the gradients' sums differs."""
    losses = [line["loss"] for line in training.metrics(dropped_run)
              if "loss" in line]
    for micro_batch in (1, 8):
        artifact = compiled(ltc, top, f"micro{micro_batch}",
                            micro_batch=micro_batch)
        run = os.path.join(top, f"micro{micro_batch}-run")
        training.train(ltc, artifact, run)
        far = max(abs(line["loss"] / loss - 1) for line, loss in zip(
            (line for line in training.metrics(run) if "loss" in line), losses))
        print(f"  micro batch {micro_batch}: losses within {far:.1e} of 4's")
        if far > 1e-5:
            training.fail("another micro batch is another run")


def draws_none_elsewhere(ltc, top, plain, dropped, trained):
    """Evaluation and text of one set of weights."""
    weights = os.path.join(top, "weights")
    subprocess.run([ltc, "export", trained, "-o", weights], check=True,
                   stdout=subprocess.DEVNULL)
    results = []
    for name, artifact in (("plain", plain), ("dropped", dropped)):
        run = os.path.join(top, name + "-evaluated")
        training.train(ltc, artifact, run, f"model.init.from={weights}",
                       "train.schedule.peak=0", "train.duration=1 steps")
        said = subprocess.run([ltc, "generate", run, "--prompt", "a word ",
                               "--tokens", "40"], capture_output=True)
        losses = [line["eval_loss"] for line in training.metrics(run)
                  if "eval_loss" in line]
        if said.returncode or not losses:
            training.fail(f"{name}: {said.stderr.decode()}, losses {losses}")
        results.append((losses, said.stdout))
    if results[0] != results[1]:
        training.fail(f"without dropout {results[0]}, with {results[1]}")
    print(f"  evaluation {results[0][0]} and {len(results[0][1])} bytes of "
          "text are those without dropout")


def main():
    ltc = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as top:
        plain = compiled(ltc, top, "plain", GPT2 % "")
        dropped = compiled(ltc, top, "dropped")
        without = none_is_without(ltc, top, plain, dropped)
        trained = repeats(ltc, top, dropped, without)
        draws_by_place(ltc, top)
        close_losses(ltc, top, trained)
        draws_none_elsewhere(ltc, top, plain, dropped, trained)
        refused(ltc, dropped, "model.residual_dropout=1",
                "expected less than 1, found 1")
        refused(ltc, plain, "model.residual_dropout=0.1", "there is no key")


main()
