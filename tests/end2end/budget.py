#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A memory budget is met and changes no bit: budget.py LTC RECORDER [--models].

Six budgets between the least that a spec needs and what keeping everything
takes: for each the plan stays below the budget, the peak of resident memory is
the planned one and below the budget, and metrics and hash of weights and states
are those of the run that keeps everything. A budget below the least is refused
with that number, which then works. For one budget every allocation is compared
with the plan. With --models also: bf16, experts, two kinds of layer, gpt2 with dropout."""
import argparse
import json
import os
import re
import subprocess
import tempfile

import memory
import training

MIB = 1 << 20
STEPS = "train.duration=8 steps"
SHAPE = dict(layers=6, d=128, ffn=256, length=128, batch=32, micro_batch=32,
             lines=3000)
PLACES = (0, 0.15, 0.35, 0.55, 0.75, 0.95) # between least and most
HERE = os.path.dirname(os.path.abspath(__file__))
LOCAL = os.path.join(HERE, "../language/local_global.ltc")
MODELS = {
    "bf16": {"precision": "bf16"},
    "experts": {"model": "{architecture: moe_llama, vocab: 256, layers: 8, "
                         "d: 64, heads: 4, kv: 2, ffn: 96, experts: 4, top: 2}"},
    "two kinds of layer": {
        "model": f"{{architecture: {LOCAL}, vocab: 256, layers: 14, d: 64, "
                 "heads: 4, kv: 2, k: 16, ffn: 96, window: 16, "
                 "query_size: 16}"},
    "gpt2 with dropout": {
        "model": "{architecture: gpt2, vocab: 256, layers: 8, d: 128, heads: "
                 "4, positions: 128, residual_dropout: 0.1, "
                 "embedding_dropout: 0.1}"},
}


def write(folder, budget, model=None, precision=None):
    """The spec with these changes, in `folder`."""
    spec = training.write_run(folder, **SHAPE)
    with open(spec) as file:
        text = file.read()
    if model:
        text = re.sub(r"model: .*", f"model: {model}", text)
    extra = f"  precision: {precision}\n" if precision else ""
    if budget:
        extra += f"  memory_budget: {budget}MiB\n"
    with open(spec, "w") as file:
        file.write(text.replace("train:\n  batch", f"train:\n{extra}  batch"))
    return spec


def plan_of(ltc, artifact):
    return json.loads(subprocess.run(
        [ltc, "plan", artifact, "--json"], check=True, text=True,
        capture_output=True).stdout)


def least_of(ltc, folder, **changes):
    """What the refusal of 1 MiB names, which it must explain."""
    spec = write(folder, 1, **changes)
    done = subprocess.run([ltc, "compile", spec, "-o", spec + ".ltca"],
                          text=True, capture_output=True)
    said = done.stderr
    found = re.search(r"memory_budget: (\d+)MiB is the least", said)
    lines = re.findall(r"\.ltc:\d+:\d+: note: .*alive at the peak", said)
    if (done.returncode != 1 or not found or len(lines) < 3 or
            not re.match(r".*spec\.yaml:\d+:18: error: train\.memory_budget = "
                         r"1\.0 MiB cannot be met", said)):
        training.fail(f"a budget of 1 MiB is not refused well:\n{said}")
    if os.path.exists(spec + ".ltca"):
        training.fail("a refused spec left an artifact")
    return int(found[1])


def check_plan(plan, budget):
    if plan["memory_budget"] != budget * MIB:
        training.fail(f"the artifact's budget is {plan['memory_budget']}")
    if plan["budgeted"] > budget * MIB:
        training.fail(f"planned are {plan['budgeted']:,} bytes, above "
                      f"{budget} MiB")
    for block in plan["recompute"]:
        if block["recomputed"] and not (
                block["recomputed_kept_bytes"] < block["kept_bytes"] and
                block["flops"] > 0):
            training.fail(f"computing again saves nothing: {block}")


def check_peak(plan, peak, budget):
    """Of resident memory: as planned, and below the budget."""
    files = sum(line["bytes"] for line in plan["lines"]
                if line["name"] == "data files")
    if not plan["total"] - memory.ITSELF / 2 < peak < (plan["total"] +
                                                       memory.ITSELF):
        training.fail(f"planned are {plan['total']:,} bytes, resident were "
                      f"{peak:,}")
    if peak - files > budget * MIB:
        training.fail(f"resident were {peak:,} bytes, above {budget} MiB")


def recomputed(plan):
    return sum(block["recomputed"] for block in plan["recompute"])


def compiled(ltc, folder, budget, **changes):
    spec = write(folder, budget, **changes)
    artifact = os.path.join(folder, "model.ltca")
    training.compile_spec(ltc, spec, artifact)
    return artifact, plan_of(ltc, artifact)


def kept_run(ltc, folder, **changes):
    """Plan and outcome without a budget."""
    artifact, plan = compiled(ltc, folder, None, **changes)
    if plan["memory_budget"] or plan["recompute"]:
        training.fail("without a budget something is computed again")
    run = os.path.join(folder, "run")
    training.train(ltc, artifact, run, STEPS)
    return plan, training.outcome(run)


def check_residuals(ltc, artifact, plan):
    """Blocks that compute again save less, by lines of the text."""
    text = subprocess.run([ltc, "plan", artifact, "--residuals"], check=True,
                          text=True, capture_output=True).stdout
    for entry in plan["residuals"]:
        if not re.search(r":\d+:\d+$", entry["line"]) or \
                entry["line"] not in text:
            training.fail(f"--residuals does not show {entry}")
    for block in plan["recompute"]:
        mine = [e for e in plan["residuals"] if e["block"] == block["block"]]
        saved = [sum(e["bytes"] for e in mine if call in e["calls"])
                 for call in range(block["calls"])]
        turn = block["recomputed"]
        if turn and turn < block["calls"] and \
                not max(saved[:turn]) < min(saved[turn:]):
            training.fail(f"bytes saved by call: {saved}, though the first "
                          f"{turn} compute again")


def check_settings(ltc, artifact, budget):
    """Threads that compiling did not know have scratch that was not counted."""
    done = subprocess.run([ltc, "run", artifact, "--set", "run.threads=200"],
                          text=True, capture_output=True)
    if done.returncode != 1 or not re.match(
            rf"error: train\.memory_budget is {budget}\.0 MiB, this run would "
            r"take \d+(\.\d)? MiB \(ltc plan shows of what\)", done.stderr):
        training.fail(f"200 threads are not refused well:\n{done.stderr}")


def sweep(ltc, recorder, folder):
    kept, expected = kept_run(ltc, os.path.join(folder, "keep"))
    least = least_of(ltc, os.path.join(folder, "least"))
    most = kept["budgeted"] // MIB
    counts = []
    for place in PLACES:
        budget = int(least + place * (most - least))
        home = os.path.join(folder, str(budget))
        artifact, plan = compiled(ltc, home, budget)
        check_plan(plan, budget)
        check_residuals(ltc, artifact, plan)
        counts.append(recomputed(plan))
        run = os.path.join(home, "run")
        training.train(ltc, artifact, run, STEPS)
        peak = memory.resident(ltc, artifact, os.path.join(home, "measured"))
        print(f"  {budget:4} MiB: {counts[-1]} of {SHAPE['layers']} compute "
              f"again, planned {plan['total'] / MIB:.1f}, resident "
              f"{peak / MIB:.1f}")
        check_peak(plan, peak, budget)
        training.same(f"{budget} MiB", run, expected)
    if counts != sorted(counts, reverse=True) or len(set(counts)) < 4:
        training.fail(f"computed again are {counts}: not ever fewer")
    check_settings(ltc, artifact, budget)
    log = os.path.join(folder, "allocations")
    lines = {line["name"]: line["bytes"] for line in plan["lines"]}
    memory.record(ltc, recorder, artifact, os.path.join(folder, "recorded"),
                  log)
    arenas = {name: lines[name] for name in memory.ARENAS}
    memory.compare(lines, memory.peaks(log, arenas, ltc), files=3,
                   seen=("weights", "gradients", "state", "activations"))


def check_model(ltc, folder, name, changes):
    kept, expected = kept_run(ltc, os.path.join(folder, "keep"), **changes)
    least = least_of(ltc, os.path.join(folder, "least"), **changes)
    for place in (0, 0.5):
        budget = int(least + place * (kept["budgeted"] // MIB - least))
        home = os.path.join(folder, str(budget))
        artifact, plan = compiled(ltc, home, budget, **changes)
        check_plan(plan, budget)
        if not recomputed(plan):
            training.fail(f"{name}: {budget} MiB computes nothing again")
        run = os.path.join(home, "run")
        training.train(ltc, artifact, run, STEPS)
        training.same(f"{name}, {budget} MiB, {recomputed(plan)} again", run,
                      expected)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ltc")
    parser.add_argument("recorder")
    parser.add_argument("--models", action="store_true")
    arguments = parser.parse_args()
    ltc = os.path.realpath(arguments.ltc)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.models:
            for name, changes in MODELS.items():
                check_model(ltc, os.path.join(folder, name.replace(" ", "-")),
                            name, changes)
        else:
            sweep(ltc, os.path.abspath(arguments.recorder), folder)


main()
