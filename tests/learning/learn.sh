#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# learn.sh SOURCE LTC [SEED ...]: the quickstart's model, trained for ten minutes
# a seed on this machine, has at most 0.97 of the held-out bits per byte of a
# 5-gram of the same text. The number of steps comes from a trial: a machine
# that is busy, or slow, trains less.
set -euo pipefail
source=$1 ltc=$2
shift 2
seeds=("$@")
[ ${#seeds[@]} -gt 0 ] || seeds=(1 2 3)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/frontend/examples" "$work/quickstart"
cp "$source/frontend/examples/quickstart.yaml" "$work/frontend/examples"
"$source/tools/prepare-text" "$work/quickstart/text"
cd "$work"
"$ltc" compile frontend/examples/quickstart.yaml -o model.ltca
step=$("$ltc" run model.ltca --trial 40 |
  sed -nE 's/.* ([0-9.]+) s a step.*/\1/p')
steps=$(awk -v s="$step" 'BEGIN { print int(0.95 * 600 / s) }')
failed=0
for seed in "${seeds[@]}"; do
  "$ltc" run model.ltca --set run.folder="seed$seed" --set train.seed="$seed" \
    --set train.duration="$steps steps" --set train.schedule.total="$steps" \
    > "log$seed"
  elapsed=$(sed -nE 's/.*"elapsed":([0-9.]+).*/\1/p' "seed$seed/metrics.jsonl" |
    tail -n 1)
  echo "seed $seed: $steps steps in $elapsed s of training"
  awk -v e="$elapsed" 'BEGIN { exit e > 600 }' || {
    echo "that is more than ten minutes: the machine became slower"
    failed=1
  }
  "$source/tests/learning/ngram.py" quickstart/text/train \
    quickstart/text/held_out --run "seed$seed" || failed=1
done
exit $failed
