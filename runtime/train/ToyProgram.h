// SPDX-License-Identifier: Apache-2.0
// For tests: an artifact made by hand around ToyKernels.c, and its data.
#pragma once
#include "runtime/artifact/File.h"
#include "runtime/data/Batches.h"
#include <fstream>

namespace ltc::toy {
using namespace artifact;

inline uint32_t addBuffer(ArtifactT &table, std::string name, BufferClass which,
                          DType dtype, std::vector<int64_t> shape) {
  uint64_t bytes = dtype == DType::i64 || dtype == DType::f64 ? 8 : 4;
  for (int64_t n : shape)
    bytes *= n;
  auto &arena = *table.arenas[static_cast<int>(which)];
  auto buffer = std::make_unique<BufferT>();
  buffer->name = std::move(name);
  buffer->class_ = which;
  buffer->dtype = dtype;
  buffer->shape = std::move(shape);
  buffer->offset = arena.bytes;
  buffer->bytes = bytes;
  arena.bytes += (bytes + 63) / 64 * 64;
  table.buffers.push_back(std::move(buffer));
  return uint32_t(table.buffers.size() - 1);
}

inline void addLaunch(ArtifactT &table, PhaseT &phase, std::string symbol,
                      int64_t tiles, std::vector<uint32_t> buffers) {
  auto kernel = std::make_unique<KernelT>();
  kernel->symbol = std::move(symbol);
  kernel->tiles = tiles;
  for (uint32_t buffer : buffers)
    kernel->arguments.emplace_back(table.buffers[buffer]->bytes, true);
  table.kernels.push_back(std::move(kernel));
  auto command = std::make_unique<CommandT>();
  command->kernel = uint32_t(table.kernels.size() - 1);
  for (uint32_t buffer : buffers)
    command->bindings.emplace_back(buffer, 0);
  phase.commands.push_back(std::move(command));
}

inline PhaseT &addPhase(ArtifactT &table, std::string name,
                        std::vector<std::pair<std::string, uint32_t>> inputs) {
  auto phase = std::make_unique<PhaseT>();
  phase->name = std::move(name);
  phase->batch = phase->name == "predict" ? 1 : 2;
  phase->length = 4;
  for (auto &[input, buffer] : inputs) {
    auto entry = std::make_unique<InputT>();
    entry->name = input;
    entry->buffer = buffer;
    phase->inputs.push_back(std::move(entry));
  }
  table.phases.push_back(std::move(phase));
  return *table.phases.back();
}

inline void addHost(ArtifactT &table, std::string key, std::string json) {
  auto entry = std::make_unique<EntryT>();
  entry->key = std::move(key);
  entry->value = std::move(json);
  table.host.push_back(std::move(entry));
}

/// 37 parameters as [37], one state m, term "square" over the mask.
inline ArtifactT program() {
  ArtifactT t;
  for (int i = 0; i <= static_cast<int>(BufferClass::MAX); ++i) {
    t.arenas.push_back(std::make_unique<ArenaT>());
    t.arenas.back()->class_ = static_cast<BufferClass>(i);
  }
  using C = BufferClass;
  uint32_t w = addBuffer(t, "w", C::parameter, DType::f32, {48});
  uint32_t m = addBuffer(t, "w.m", C::state, DType::f32, {48});
  uint32_t dw = addBuffer(t, "w.grad", C::gradient, DType::f32, {48});
  uint32_t step = addBuffer(t, "step", C::state, DType::i64, {});
  uint32_t seen = addBuffer(t, "tokens_seen", C::state, DType::i64, {});
  uint32_t tokens = addBuffer(t, "tokens", C::io, DType::i32, {2, 4});
  uint32_t labels = addBuffer(t, "labels", C::io, DType::i32, {2, 4});
  uint32_t mask = addBuffer(t, "mask", C::io, DType::f32, {2, 4});
  uint32_t window = addBuffer(t, "window", C::io, DType::i32, {1, 4});
  uint32_t at = addBuffer(t, "position", C::io, DType::i32, {});
  uint32_t lrKey = addBuffer(t, "lr.key", C::scalar, DType::f64, {});
  uint32_t inverse = addBuffer(t, "1/count", C::scalar, DType::f64, {});
  uint32_t count = addBuffer(t, "step_tokens", C::scalar, DType::f64, {});
  uint32_t seed = addBuffer(t, "seed", C::scalar, DType::i64, {});
  uint32_t attempt = addBuffer(t, "attempt", C::scalar, DType::i64, {});
  uint32_t sum = addBuffer(t, "square", C::output, DType::f32, {});
  uint32_t ok = addBuffer(t, "ok", C::output, DType::f32, {});
  uint32_t norm = addBuffer(t, "grad_norm", C::output, DType::f32, {});
  uint32_t lr = addBuffer(t, "lr", C::output, DType::f32, {});
  uint32_t logits = addBuffer(t, "logits", C::output, DType::f32, {37});

  addLaunch(t, addPhase(t, "init", {}), "toy_init", 48, {w, m, seed});
  std::vector<std::pair<std::string, uint32_t>> inputs = {
      {"tokens", tokens}, {"labels", labels}, {"mask", mask}};
  PhaseT &accumulate = addPhase(t, "accumulate", inputs);
  addLaunch(t, accumulate, "toy_loss", 1, {tokens, labels, mask, w, sum});
  addLaunch(t, accumulate, "toy_gradient", 37,
            {tokens, labels, mask, w, inverse, dw});
  PhaseT &apply = addPhase(t, "apply", {});
  addLaunch(t, apply, "toy_guard", 1, {dw, lrKey, ok, norm, lr});
  addLaunch(t, apply, "toy_update", 3, {w, m, dw, ok, lr});
  addLaunch(t, apply, "toy_advance", 1, {ok, count, step, seen});
  apply.commands.push_back(std::make_unique<CommandT>());
  apply.commands.back()->kind = CommandKind::fill_zero;
  apply.commands.back()->bindings.emplace_back(dw, 0);
  apply.commands.back()->bytes = t.buffers[dw]->bytes;
  addLaunch(t, addPhase(t, "evaluate", inputs), "toy_loss", 1,
            {tokens, labels, mask, w, sum});
  addLaunch(t, addPhase(t, "predict", {{"tokens", window}}), "toy_predict", 37,
            {window, at, w, logits});

  auto parameter = std::make_unique<ParameterT>();
  parameter->name = "w";
  parameter->buffer = w;
  parameter->gradient = int(dw);
  parameter->shape = {37};
  parameter->states.push_back(std::make_unique<StateT>());
  parameter->states[0]->name = "m";
  parameter->states[0]->buffer = m;
  t.parameters.push_back(std::move(parameter));
  auto scalar = std::make_unique<ScalarT>();
  scalar->key = "train.optimizer.lr";
  scalar->value = 0.5;
  scalar->buffer = lrKey;
  t.scalars.push_back(std::move(scalar));
  auto term = std::make_unique<TermT>();
  term->name = "square";
  term->sum = sum;
  term->count_input = "mask";
  term->inverse_count = inverse;
  term->weight_key = "loss.square";
  t.terms.push_back(std::move(term));
  t.wellknown = std::make_unique<WellknownT>();
  *t.wellknown = {};
  t.wellknown->step = step;
  t.wellknown->tokens_seen = seen;
  t.wellknown->step_tokens = count;
  t.wellknown->ok = ok;
  t.wellknown->grad_norm = norm;
  t.wellknown->lr = lr;
  t.wellknown->seed = seed;
  t.wellknown->attempt = attempt;
  t.wellknown->predict_position = int(at);
  t.wellknown->predict_logits = int(logits);
  t.micro_batch = 2;
  t.length = 4;
  t.vocab = 37;
  t.structure_hash = "structure";
  t.data_hash = "data";
  t.config_json = "{}";
  t.spec_json = R"({"model": {"layers": 4}, "train": {"batch": 6}})";
  addHost(t, "train.duration", "\"40 steps\"");
  addHost(t, "train.eval_every", "\"20 steps\"");
  addHost(t, "run.save_every", "\"10 steps\"");
  addHost(t, "run.folder", "\"run\"");
  std::ifstream in(LTC_TOY_KERNELS, std::ios::binary);
  auto object = std::make_unique<ObjectT>();
  object->target = "cpu";
  object->bytes.assign(std::istreambuf_iterator<char>(in), {});
  t.objects.push_back(std::move(object));
  return t;
}

/// Batch n is a function of n. `limit`: an evaluation stream of so many.
class Data : public Batches {
public:
  explicit Data(int64_t limit = 0) : limit(limit) {}
  Result<const GlobalBatch *> next() override {
    batch = {};
    if (limit > 0 && at == limit) {
      at = 0;
      return &batch;
    }
    batch.rows = 6;
    batch.length = 4;
    Column tokens{"tokens", "token", {}, {}, 0};
    Column labels{"labels", "label", {}, {}, 0};
    Column mask{"mask", "mask", {}, {}, 0};
    for (int64_t i = 0; i < 24; ++i) {
      int32_t token = int32_t((at * 17 + i * i * 5) % 37);
      tokens.ints.push_back(token);
      labels.ints.push_back(token % 5);
      mask.floats.push_back((at + i) % 7 ? 1.0f : 0.0f);
      mask.sum += mask.floats.back();
    }
    batch.tokens = mask.sum;
    batch.columns = {tokens, labels, mask};
    ++at;
    return &batch;
  }
  std::string position() const override { return std::to_string(at); }
  Result<void> seek(std::string_view position) override {
    at = std::stoll(std::string(position));
    return {};
  }
  double epochs() const override { return double(at) / 10; }

private:
  int64_t limit, at = 0;
  GlobalBatch batch;
};

} // namespace ltc::toy
