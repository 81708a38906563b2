// SPDX-License-Identifier: Apache-2.0
// Every key of a spec, once: the spec is read by this table, `--set` checks
// values by it, and frontend/spec/README.md is compared with it by a test.
#include "runtime/schema/Schema.h"

namespace ltc {

using enum KeyKind;
using enum ValueType;

static constexpr Key kKeys[] = {
    {"model.architecture", structure, word, "", true,
     "llama, gpt2 or the path of a .ltc text"},
    {"model.init.from", host, text, "none", false,
     "a folder of weights to start from; none: new ones"},

    {"data.length", structure, count, "", true, "tokens of a row",
     ">= 2, <= 16777216"},
    {"data.tokenizer", structure, word, "bytes", false, "bytes"},
    {"data.train", structure, word, "", true, "sources of text"},
    {"data.eval", structure, word, "none", false, "named sets of sources"},

    {"train.batch", host, count, "", true,
     "rows of a step; a multiple of train.micro_batch", ">= 1, <= 1e9"},
    {"train.micro_batch", structure, count, "", true, "rows computed at once",
     ">= 1, <= 1048576"},
    {"train.precision", structure, text, "fp32", false,
     "of products' operands and activations: fp32 or bf16"},
    {"train.memory_budget", structure, bytes, "none", false,
     "blocks compute again what does not fit; none: keep all"},
    {"train.duration", host, duration, "", true, "how long to train"},
    {"train.seed", host, count, "1", false,
     "of the weights, the data's order and random numbers", ">= 0"},
    {"train.clip", scalar, number, "none", false,
     "largest global gradient norm; none: no clipping", "> 0"},
    {"train.guard", scalar, number, "1e6", false,
     "a step whose gradient norm is not below changes nothing", "> 0"},
    {"train.eval_every", host, duration, "0 steps", false,
     "between evaluations; 0: at the end only"},
    {"train.optimizer", structure, word, "", true,
     "adamw, sgd or a .ltc text, and its settings"},
    {"train.schedule", structure, word, "", true,
     "of the learning rate: constant, linear, cosine or a .ltc text"},

    {"run.folder", host, text, "run", false,
     "where the run keeps its files, from where ltc is called"},
    {"run.log_every", host, duration, "10 steps", false,
     "between lines that stay"},
    {"run.save_every", host, duration, "0 steps", false,
     "between checkpoints; 0: at the end only"},
    {"run.keep", host, count, "3", false, "checkpoints that stay",
     ">= 1, <= 1e6"},
    {"run.loggers", host, text, "jsonl", false,
     "what records the run: names with commas between, or none"},
    {"run.threads", host, count, "0", false, "0: one per core",
     ">= 0, <= 1024"},

    {"target", structure, word, "cpu", false,
     "cpu, cuda:CHIP (cuda:sm_90), hip:CHIP (hip:gfx942)"},
};

std::span<const Key> keysOfSpec() { return kKeys; }

} // namespace ltc
