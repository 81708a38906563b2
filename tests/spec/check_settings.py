#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_settings.py LTC: scalar and host keys, the micro batch and the precision
do not change the structure hash, structure does, and a run goes on with another
micro batch; host values keep their types; a run folder can be used alone."""
import json
import pathlib
import subprocess
import sys
import tempfile

ltc = str(pathlib.Path(sys.argv[1]).resolve())
SPEC = """# {comment}
model: {{architecture: llama, vocab: 256, layers: 1, d: {d}, heads: 2, kv: 1,
  ffn: 48}}
loss: {{cross_entropy: {weight}}}
data: {{length: 16, train: [{{text: {text}}}]}}
train: {{batch: {batch}, micro_batch: {micro}, precision: {precision},
  duration: {duration}, seed: {seed}, clip: {clip}, guard: {guard},
  optimizer: {{adamw: {{beta1: {beta1}}}}},
  schedule: {{constant: {{peak: {peak}}}}}}}
run: {{folder: {folder}, keep: {keep}, threads: {threads}}}
"""
FIRST = dict(comment="first", d=32, weight=1, batch=4, duration="3 steps",
             text="spec.yaml", micro=2, precision="fp32", seed=1, clip=1,
             guard=1e6, beta1=0.9, peak=1e-3, folder="run", keep=3, threads=1)
OTHER = dict(comment="other\n# lines", d=32, weight=0.5, batch=8, seed=2,
             text="spec.yaml", micro=4, precision="bf16", duration="1k tok",
             clip=2, guard=1e5, beta1=0.8, peak=1e-4, folder="other", keep=1,
             threads=2)


def call(folder, *words, code=0):
    done = subprocess.run([ltc, *words], cwd=folder, capture_output=True,
                          text=True, errors="replace")
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return done.stdout + done.stderr


def compiled_in(folder, values):
    folder.mkdir()
    (folder / "spec.yaml").write_text(SPEC.format(**values))
    call(folder, "compile", "spec.yaml", "-o", "model.ltca")
    return folder


def compiled(folder, values):
    compiled_in(folder, values)
    return json.loads(call(folder, "inspect", "model.ltca", "--json"))


def check_hashes(top):
    first = compiled(top / "first", FIRST)
    other = compiled(top / "other", OTHER)
    wider = compiled(top / "wider", FIRST | {"d": 64})
    assert first["structure_hash"] == other["structure_hash"]
    assert other["spec"]["train"]["precision"] == "bf16"
    assert first["structure_hash"] != wider["structure_hash"]
    host = {entry["key"]: entry for entry in other["host"]}
    assert host["train.batch"]["value"] == 8
    assert host["train.duration"]["value"] == "1000 tokens"
    assert host["run.folder"]["value"] == "other"
    assert host["run.folder"]["line"].endswith("spec.yaml:11:15"), host
    assert host["run.log_every"]["line"] == ""
    scalars = {entry["key"]: entry["value"] for entry in other["scalars"]}
    assert scalars["train.clip"] == 2 and scalars["train.optimizer.beta1"] == .8


def losses(folder, *words):
    call(folder, "run", *words, "--set", "train.duration=4 steps")
    lines = (folder / "run/metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def check_micro_batch(top):
    """Two steps with micro batches of 2, two with 4, beside four with 2."""
    first = FIRST | {"text": "../text.txt"}
    (top / "text.txt").write_text("a text of words, and more words\n" * 99)
    expected = losses(compiled_in(top / "two", first), "model.ltca")
    folder = compiled_in(top / "four", first)
    call(folder, "run", "model.ltca", "--set", "train.duration=2 steps")
    (folder / "spec.yaml").write_text(SPEC.format(**first | {"micro": 4}))
    said = call(folder, "run", "spec.yaml", "--set", "train.duration=3 steps",
                "--set", "run.threads=2")
    assert "resumed at step 2" in said, said
    assert "changed since: train.micro_batch: 2 -> 4" in said, said
    found = losses(folder, "spec.yaml")
    assert len(found) == 4, found
    for mine, theirs in zip(found, expected):
        assert abs(mine - theirs) <= 1e-5 * theirs, (found, expected)
    (folder / "spec.yaml").write_text(SPEC.format(**first | {"d": 64}))
    said = call(folder, "run", "spec.yaml", code=1)
    assert "was started with another model; choose another run.folder" in said


def check_run_folder(folder):
    """A run of an artifact leaves what generate, run and export need."""
    call(folder, "run", "model.ltca", "--set", "run.folder=moved/run",
         "--set", "train.duration=2 steps")
    (folder / "model.ltca").unlink()
    (folder / "moved").rename(folder / "elsewhere")
    run = folder / "elsewhere/run"
    words = ("generate", str(run), "--prompt", "The ", "--tokens", "8",
             "--top-k", "5", "--seed", "3")
    text = call("/", *words)
    assert text.startswith("The ") and text == call("/", *words)
    said = call("/", "run", str(run), "--set", "train.duration=4 steps")
    assert "resumed at step 2" in said and "done: 4 steps" in said, said
    call("/", "export", str(run), "-o", str(folder / "hf"))
    said = call(folder, "generate", "nowhere", code=1)
    assert "no such run" in said and "ltc run SPEC" in said, said


def check_help():
    commands = ["compile", "run", "plan", "sweep", "inspect", "generate", "export",
                "batches", "doctor"]
    for command in commands:
        said = call("/", command, "--help")
        assert f"  ltc {command}" in said and "Next: " in said, said
        assert all(len(line) <= 100 for line in said.splitlines()), said


with tempfile.TemporaryDirectory() as name:
    check_hashes(pathlib.Path(name))
    check_micro_batch(pathlib.Path(name))
    check_run_folder(pathlib.Path(name) / "first")
check_help()
print("settings, run folders and help are as they should be")
