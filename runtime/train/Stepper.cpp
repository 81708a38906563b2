// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/Stepper.h"
#include "runtime/train/Weights.h"
#include <set>

namespace ltc {
using namespace artifact;

Result<Stepper> Stepper::create(Program &program) {
  for (const char *name : {"init", "accumulate", "apply"})
    if (!program.phase(name))
      return fail("the program has no phase '" + std::string(name) +
                  "', so it cannot train; compile a spec with a train section");
  const ArtifactT &table = program.table();
  if (!table.wellknown)
    return fail("the program names no step, ok and lr buffers; compile again");
  auto check = [&](uint32_t i, DType dtype, const char *who) -> Result<void> {
    if (i < table.buffers.size() && table.buffers[i]->dtype == dtype)
      return {};
    return fail("the program's " + std::string(who) +
                " is no " + EnumNameDType(dtype) + " buffer; compile again");
  };
  const WellknownT &known = *table.wellknown;
  LTC_TRY(check(known.step, DType::i64, "step"));
  LTC_TRY(check(known.tokens_seen, DType::i64, "tokens_seen"));
  LTC_TRY(check(known.ok, DType::f32, "ok"));
  LTC_TRY(check(known.grad_norm, DType::f32, "grad_norm"));
  LTC_TRY(check(known.lr, DType::f32, "lr"));
  return Stepper(program);
}

/// Writes a host value whose buffer the program may not have (not every
/// program reads the seed, the attempt or the step's tokens).
template <typename T>
static Result<void> setIfUsed(Program &program, uint32_t buffer, DType dtype,
                              T value) {
  const ArtifactT &table = program.table();
  if (buffer >= table.buffers.size())
    return {};
  const BufferT &info = *table.buffers[buffer];
  if (info.dtype != dtype || info.class_ != BufferClass::scalar)
    return {};
  return program.set<T>(buffer, value);
}

Result<void> Stepper::writeScalars(int64_t seed) {
  for (const auto &scalar : program.table().scalars)
    LTC_TRY(program.set<double>(scalar->buffer, scalar->value));
  return setIfUsed(program, program.table().wellknown->seed, DType::i64, seed);
}

Result<TermSums> Stepper::countTerms(const GlobalBatch &batch) const {
  TermSums counted;
  counted.tokens = batch.tokens;
  for (const auto &term : program.table().terms) {
    counted.sums.push_back(0);
    if (term->count_input.empty()) {
      counted.counts.push_back(double(batch.rows));
      continue;
    }
    const Column *found = nullptr;
    for (const Column &column : batch.columns)
      if (column.name == term->count_input)
        found = &column;
    if (!found)
      return fail("loss term " + term->name + " is counted over the input '" +
                  term->count_input + "', which the data does not have");
    counted.counts.push_back(found->sum);
  }
  return counted;
}

Result<void> Stepper::zeroTerms() {
  for (const auto &term : program.table().terms)
    LTC_TRY(program.set<float>(term->sum, 0.0f));
  return {};
}

Result<void> Stepper::readTerms(TermSums &terms) const {
  const auto &table = program.table().terms;
  for (size_t i = 0; i < table.size(); ++i) {
    LTC_ASSIGN(float sum, program.get<float>(table[i]->sum));
    terms.sums[i] = sum;
  }
  return {};
}

Result<void> feedInput(Program &program, const InputT &input,
                       const Column &column, int64_t first, int64_t count) {
  const void *data = column.floats.empty()
                         ? static_cast<const void *>(column.ints.data() + first)
                         : column.floats.data() + first;
  size_t size = std::max(column.floats.size(), column.ints.size());
  uint64_t bytes = program.table().buffers[input.buffer]->bytes;
  if (first + count > int64_t(size) || uint64_t(count) * 4 != bytes)
    return fail("input '" + input.name + "' takes " + std::to_string(bytes) +
                " bytes; the data has " + std::to_string(count * 4) +
                " for it");
  return program.write(input.buffer, data, bytes);
}

Result<void> Stepper::feed(const PhaseT &phase, const GlobalBatch &batch,
                           int64_t firstRow) {
  for (const auto &input : phase.inputs) {
    const Column *found = nullptr;
    for (const Column &column : batch.columns)
      if (column.name == input->name)
        found = &column;
    if (!found)
      return fail("the model reads the input '" + input->name +
                  "', which the data does not have");
    LTC_TRY(feedInput(program, *input, *found, firstRow * batch.length,
                      phase.batch * batch.length));
  }
  return {};
}

Result<void> Stepper::runMicroBatches(const PhaseT &phase,
                                      const GlobalBatch &batch) {
  if (phase.batch <= 0 || batch.rows % phase.batch != 0)
    return fail("a batch of " + std::to_string(batch.rows) +
                " rows is no multiple of the micro batch of " +
                std::to_string(phase.batch));
  for (int64_t row = 0; row < batch.rows; row += phase.batch) {
    LTC_TRY(feed(phase, batch, row));
    LTC_TRY(setIfUsed(program, program.table().wellknown->first_row,
                      DType::i64, row));
    LTC_TRY(program.runPhase(phase.name));
  }
  return {};
}

Result<void> Stepper::start(const GlobalBatch &batch, int64_t attempt) {
  const ArtifactT &table = program.table();
  LTC_ASSIGN(running, countTerms(batch));
  for (size_t i = 0; i < table.terms.size(); ++i) {
    double count = running.counts[i];
    LTC_TRY(program.set<double>(table.terms[i]->inverse_count,
                                count > 0 ? 1 / count : 0));
  }
  const WellknownT &known = *table.wellknown;
  LTC_TRY(setIfUsed(program, known.step_tokens, DType::f64, batch.tokens));
  LTC_TRY(setIfUsed(program, known.attempt, DType::i64, attempt));
  LTC_TRY(zeroTerms());
  // Gradients are zero already: the arena came so, and `apply` leaves it so.
  LTC_TRY(runMicroBatches(*program.phase("accumulate"), batch));
  return program.runPhase("apply");
}

Result<StepResults> Stepper::finish() {
  const WellknownT &known = *program.table().wellknown;
  StepResults results;
  results.terms = std::move(running);
  LTC_TRY(readTerms(results.terms));
  LTC_ASSIGN(float ok, program.get<float>(known.ok));
  LTC_ASSIGN(results.gradNorm, program.get<float>(known.grad_norm));
  LTC_ASSIGN(results.lr, program.get<float>(known.lr));
  LTC_ASSIGN(results.step, program.get<int64_t>(known.step));
  LTC_ASSIGN(results.tokens, program.get<int64_t>(known.tokens_seen));
  results.ok = ok != 0;
  return results;
}

/// Terms whose sum no command of the phase touches: a model's own terms are of
/// the training step alone.
static std::vector<bool> droppedBy(const PhaseT &phase, const ArtifactT &table) {
  std::set<uint32_t> bound;
  for (const auto &command : phase.commands)
    for (const Binding &binding : command->bindings)
      bound.insert(binding.buffer());
  std::vector<bool> dropped;
  for (const auto &term : table.terms)
    dropped.push_back(!bound.count(term->sum));
  return dropped;
}

Result<std::optional<TermSums>>
Stepper::evaluate(Batches &set, const std::function<bool()> &stop) {
  const PhaseT *phase = program.phase("evaluate");
  if (!phase)
    return fail("the program has no phase 'evaluate'; compile a spec with "
                "data.eval");
  TermSums total;
  size_t terms = program.table().terms.size();
  total.sums.resize(terms);
  total.counts.resize(terms);
  total.dropped = droppedBy(*phase, program.table());
  bool stopped = false;
  LTC_TRY(withEvaluationWeights(program, [&]() -> Result<void> {
    for (;;) {
      if ((stopped = stop()))
        return {};
      LTC_ASSIGN(const GlobalBatch *batch, set.next());
      if (batch->rows == 0)
        return {};
      LTC_TRY(addBatch(*phase, *batch, total));
    }
  }));
  if (stopped)
    return std::optional<TermSums>();
  return std::optional(std::move(total));
}

/// f32 sums of one batch; f64 over the set.
Result<void> Stepper::addBatch(const PhaseT &phase, const GlobalBatch &batch,
                               TermSums &total) {
  LTC_ASSIGN(TermSums part, countTerms(batch));
  LTC_TRY(zeroTerms());
  LTC_TRY(runMicroBatches(phase, batch));
  LTC_TRY(readTerms(part));
  for (size_t i = 0; i < part.sums.size(); ++i) {
    total.sums[i] += part.sums[i];
    total.counts[i] += part.counts[i];
  }
  total.tokens += part.tokens;
  return {};
}

double Stepper::weightOf(const TermT &term) const {
  for (const auto &scalar : program.table().scalars)
    if (scalar->key == term.weight_key)
      return scalar->value;
  return term.weight_key.empty() ? 0 : 1;
}

static double mean(const TermSums &terms, size_t i) {
  return terms.counts[i] > 0 ? terms.sums[i] / terms.counts[i] : 0;
}

std::vector<TermValue> Stepper::means(const TermSums &terms) const {
  std::vector<TermValue> values;
  for (size_t i = 0; i < terms.sums.size(); ++i)
    if (terms.dropped.empty() || !terms.dropped[i])
      values.emplace_back(program.table().terms[i]->name, mean(terms, i));
  return values;
}

double Stepper::loss(const TermSums &terms) const {
  double loss = 0;
  for (size_t i = 0; i < terms.sums.size(); ++i)
    loss += weightOf(*program.table().terms[i]) * mean(terms, i);
  return loss;
}

} // namespace ltc
