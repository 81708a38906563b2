#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training speed of ltc beside PyTorch on this machine, in one run.

Every program trains the same model on the same batches in a process of its
own; only one runs at a time. They take turns of some seconds: all others are
stopped (SIGSTOP). A step that spans a stop is not counted. The figures are
medians over all counted steps; a ratio is of the medians of turns that follow
each other, so that a slow minute of the machine meets both.
"""
import argparse, json, os, platform, shutil, signal, statistics, subprocess
import sys, tempfile, time
import yaml

HERE = os.path.dirname(os.path.abspath(__file__))


class Program:
    """A training process that writes a line a step into a file."""

    def __init__(self, name, command, metrics, environment=None):
        self.name, self.metrics = name, metrics
        began = time.monotonic()
        self.log = open(metrics + ".log", "w")
        self.process = subprocess.Popen(
            command, stdout=self.log, stderr=self.log, env=environment)
        self.turns, self.first, self.dead = [], None, False
        while not self.steps():
            if self.process.poll() is not None:
                self.dead = True
                return
            time.sleep(0.005)
        self.first = time.monotonic() - began
        self.process.send_signal(signal.SIGSTOP)

    def steps(self):
        if not os.path.exists(self.metrics):
            return []
        with open(self.metrics) as file:
            return [json.loads(line)["seconds"]
                    for line in file if line.endswith("}\n")]

    def step_one(self):
        return self.steps()[0]

    def turn(self, seconds, least):
        """Runs for `seconds` and at least `least` whole steps."""
        before = len(self.steps()) + 1  # the next one spans the stop
        self.process.send_signal(signal.SIGCONT)
        end = time.monotonic() + seconds
        while time.monotonic() < end or len(self.steps()) < before + least:
            time.sleep(0.005)
        counted = self.steps()[before:]
        self.process.send_signal(signal.SIGSTOP)
        self.turns.append(counted)

    def peak(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            kib = next(line for line in file if line.startswith("VmHWM"))
        return int(kib.split()[1]) * 1024

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def median(self):
        return statistics.median(s for turn in self.turns for s in turn)

    def ratio_to(self, other):
        """How many times faster than `other`, over pairs of turns."""
        return statistics.median(
            statistics.median(theirs) / statistics.median(ours)
            for ours, theirs in zip(self.turns, other.turns))


def plain_environment():
    """Caps on OpenBLAS would slow the peer down; they go."""
    return {key: value for key, value in os.environ.items()
            if key not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}


def measure(job, name):
    spec_path = os.path.join(HERE, "specs", name + ".yaml")
    folder = tempfile.mkdtemp(prefix="ltc-bench-")
    programs = []
    try:
        os.mkdir(os.path.join(folder, "text"))
        for file in job.text:
            shutil.copy(file, os.path.join(folder, "text"))
        spec = os.path.join(folder, "spec.yaml")
        shutil.copy(spec_path, spec)
        artifact = os.path.join(folder, "model.ltca")
        began = time.monotonic()
        subprocess.run([job.ltc, "compile", spec, "-o", artifact], check=True,
                       stdout=subprocess.DEVNULL)
        compiling = time.monotonic() - began
        batches = os.path.join(folder, "batches.safetensors")
        subprocess.run([job.ltc, "batches", artifact, "-n", "64", "-o",
                        batches], check=True, stdout=subprocess.DEVNULL)
        run = os.path.join(folder, "run")
        os.mkdir(run)
        programs.append(Program(
            "ltc", [job.ltc, "run", artifact, "--set", f"run.folder={run}",
                    "--set", f"run.threads={job.threads}"],
            os.path.join(run, "metrics.jsonl")))
        for peer in ["PyTorch"] + (["torch.compile"] if job.compile else []):
            metrics = os.path.join(folder, peer + ".jsonl")
            command = [sys.executable, os.path.join(HERE, "peer.py"), spec,
                       batches, metrics, "--threads", str(job.threads)]
            environment = plain_environment()
            if peer != "PyTorch":
                command.append("--compile")
                environment["TORCHINDUCTOR_CACHE_DIR"] = os.path.join(
                    folder, "inductor")  # nothing is cached
            programs.append(Program(peer, command, metrics, environment))
        return figures(job, name, spec, compiling, programs)
    finally:
        for program in programs:
            program.end()
        shutil.rmtree(folder)


def figures(job, name, spec, compiling, programs):
    for program in programs:
        if program.dead:
            program.log.flush()
            tail = open(program.log.name).read()[-2000:]
            print(f"{name}: {program.name} ended:\n{tail}", file=sys.stderr)
            if program.name != "torch.compile":
                sys.exit(1)
    alive = [program for program in programs if not program.dead]
    for _ in range(job.turns):
        for program in alive:
            program.turn(job.seconds, 2)
    with open(spec) as file:
        plan = yaml.safe_load(file)
    tokens = plan["train"]["batch"] * plan["data"]["length"]
    rows = []
    for program in alive:
        row = {"program": program.name,
               "tokens_per_second": round(tokens / program.median(), 1),
               "step_ms": round(1e3 * program.median(), 2),
               "steps": sum(map(len, program.turns)),
               "start_to_first_step_s": round(program.first, 2),
               "peak_mib": round(program.peak() / 2**20)}
        if program is alive[0]:
            row["compile_s"] = round(compiling, 2)
        else:
            row["ltc_is_faster_by"] = round(alive[0].ratio_to(program), 3)
        if program.name == "torch.compile":
            # Its first step compiles both passes; what a step takes goes off.
            row["compile_s"] = round(program.step_one() - program.median(), 2)
            row["ltc_compiles_in"] = round(compiling / row["compile_s"], 4)
        rows.append(row)
    return {"model": name, "tokens_per_step": tokens, "programs": rows}


def show(result):
    print(f"\n{result['model']}: {result['tokens_per_step']} tokens a step")
    print(f"{'':15}{'tok/s':>9}{'step ms':>10}{'first step s':>14}"
          f"{'compile s':>11}{'peak MiB':>10}{'ltc / it':>10}")
    for row in result["programs"]:
        print(f"{row['program']:15}{row['tokens_per_second']:9.0f}"
              f"{row['step_ms']:10.1f}{row['start_to_first_step_s']:14.2f}"
              f"{row.get('compile_s', ''):>11}{row['peak_mib']:10}"
              f"{row.get('ltc_is_faster_by', ''):>10}", flush=True)


def processor():
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    return platform.machine()


def main():
    known = sorted(name[:-5] for name in os.listdir(os.path.join(HERE, "specs")))
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ltc", help="the ltc to measure")
    parser.add_argument("text", nargs="+", help="text files to train on")
    parser.add_argument("--models", nargs="+", default=known, choices=known)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a turn")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true",
                        help="also torch.compile (needs a C++ compiler)")
    parser.add_argument("-o", "--output", help="JSON file of the results")
    job = parser.parse_args()
    import torch
    results = {"machine": processor(), "threads": job.threads,
               "torch": torch.__version__, "turns": job.turns,
               "seconds_a_turn": job.seconds, "models": []}
    for name in job.models:
        results["models"].append(measure(job, name))
        show(results["models"][-1])
    if job.output:
        with open(job.output + ".part", "w") as file:
            json.dump(results, file, indent=1)
            file.write("\n")
        os.replace(job.output + ".part", job.output)
        print(f"\nwrote {job.output}")


if __name__ == "__main__":
    main()
