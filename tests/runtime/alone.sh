#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# alone.sh SOURCE LTC: the runtime builds without LLVM and MLIR, links neither,
# and trains an artifact that the compiler made; it says so where it is asked
# to compile.
set -euo pipefail
source=$1 ltc=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
begin=$SECONDS
cmake -S "$source" --preset runtime -B build -DLTC_BUILD_TESTS=OFF > log
cmake --build build -j "$(nproc)" >> log || { tail -n 40 log; exit 1; }
echo "runtime built in $((SECONDS - begin)) s"
if ldd build/bin/ltc | grep -iE 'llvm|mlir|clang'; then
  echo "the runtime links what it must not"
  exit 1
fi
cat > spec.yaml <<'SPEC'
model: {architecture: llama, vocab: 256, layers: 2, d: 64, heads: 2, ffn: 128}
loss: {cross_entropy: 1}
data: {length: 64, train: [{text: text}]}
train: {batch: 4, micro_batch: 4, duration: 20 steps, optimizer: adamw,
        schedule: {constant: {peak: 3e-3}}}
run: {folder: run}
SPEC
seq 20000 > text
"$ltc" compile spec.yaml -o program.ltca
build/bin/ltc run program.ltca > log
grep -q 'done: 20 steps' log || { cat log; exit 1; }
if build/bin/ltc compile spec.yaml -o other.ltca 2> refusal; then
  echo "a runtime without a compiler compiled"
  exit 1
fi
grep -q 'has no compiler' refusal || { cat refusal; exit 1; }
echo "trained 20 steps without LLVM: $(ldd build/bin/ltc | wc -l) libraries"
