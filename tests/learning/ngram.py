#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bits per byte of held-out documents by a byte 5-gram, beside a run's.

  tests/learning/ngram.py TRAIN_FOLDER HELD_OUT_FOLDER [--run RUN_FOLDER]

Witten-Bell interpolation: p_n(w|h) = (c(hw) + T(h) p_n-1(w|h')) / (c(h) + T(h)),
T(h) the number of different bytes after h; below the unigram, 1/256. Every byte
of every held-out document is scored once, the document from its own start (four
start symbols); nothing stands between documents. The run's figure is its last
`eval_loss`; its tokens must be these bytes. Exits 1 if the run is not better by
`--ratio`.
"""
import argparse
import collections
import json
import math
import pathlib
import sys

START = "\u0100"  # not a byte


def documents(folder):
    """Bytes as characters U+0000..U+00FF; hidden files are not documents."""
    files = sorted(f for f in pathlib.Path(folder).rglob("*")
                   if f.is_file() and not f.name.startswith("."))
    if not files:
        sys.exit(f"no file in {folder}")
    return [f.read_bytes().decode("latin-1") for f in files]


class WittenBell:
    def __init__(self, texts, order=5):
        self.order = order
        self.grams = []  # per order n: (h + w) -> count
        self.follow = []  # per order n: h -> (count, different bytes)
        for n in range(1, order + 1):
            grams = collections.Counter()
            for text in texts:
                padded = START * (n - 1) + text
                grams.update(padded[i:i + n] for i in range(len(text)))
            counts, kinds = collections.Counter(), collections.Counter()
            for gram, count in grams.items():
                counts[gram[:-1]] += count
                kinds[gram[:-1]] += 1
            self.grams.append(grams)
            self.follow.append({h: (counts[h], kinds[h]) for h in counts})

    def probability(self, gram):
        """Of the last character of `gram` (order characters) after the rest."""
        p = 1 / 256
        for n in range(1, self.order + 1):
            part = gram[-n:]
            seen = self.follow[n - 1].get(part[:-1])
            if seen is None:
                break  # a longer context was never seen either
            count, kinds = seen
            p = (self.grams[n - 1][part] + kinds * p) / (count + kinds)
        return p

    def bits(self, text, memo):
        padded, total = START * (self.order - 1) + text, 0.0
        for i in range(len(text)):
            gram = padded[i:i + self.order]
            if gram not in memo:
                memo[gram] = -math.log2(self.probability(gram))
            total += memo[gram]
        return total


def last_evaluation(run, name):
    path, found = pathlib.Path(run) / "metrics.jsonl", None
    for line in path.read_text().splitlines():
        values = json.loads(line)
        if "eval_loss" in values and name in (None, values["set"]):
            found = values
    if found is None:
        sys.exit(f"{path} has no evaluation{f' of {name}' if name else ''}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train")
    parser.add_argument("held_out")
    parser.add_argument("--order", type=int, default=5)
    parser.add_argument("--run", help="run folder with metrics.jsonl")
    parser.add_argument("--set", help="name of the evaluation set, if several")
    parser.add_argument("--ratio", type=float, default=0.97)
    options = parser.parse_args()
    held_out = documents(options.held_out)
    size = sum(map(len, held_out))
    model, memo = WittenBell(documents(options.train), options.order), {}
    gram = sum(model.bits(text, memo) for text in held_out) / size
    print(f"{options.order}-gram, Witten-Bell: {gram:.4f} bits per byte "
          f"({len(held_out)} documents, {size} bytes)")
    if not options.run:
        return 0
    found = last_evaluation(options.run, options.set)
    if found["eval_tokens"] != size:
        sys.exit(f"the run was evaluated on {found['eval_tokens']:.0f} tokens, "
                 f"but {options.held_out} has {size} bytes")
    # The term without regularisers is what the n-gram is compared with.
    nats = found.get("terms", {}).get("cross_entropy", found["eval_loss"])
    bits = nats / math.log(2)
    print(f"run, step {found['step']}: {bits:.4f} bits per byte, "
          f"{bits / gram:.3f} of the {options.order}-gram's "
          f"(at most {options.ratio})")
    return int(bits > options.ratio * gram)


if __name__ == "__main__":
    sys.exit(main())
