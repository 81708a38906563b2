// SPDX-License-Identifier: Apache-2.0
// Makes the next batches of a stream on a thread, a few ahead. What it gives
// out, positions included, is what the stream alone would give.
#pragma once
#include "runtime/data/Batches.h"
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

namespace ltc {

class Ahead : public Batches {
public:
  explicit Ahead(std::unique_ptr<Batches> stream) : stream(std::move(stream)) {
    place = this->stream->position();
  }
  ~Ahead() override { stop(); }

  Result<const GlobalBatch *> next() override;
  std::string position() const override { return place; }
  Result<void> seek(std::string_view position) override;
  double epochs() const override { return seen; }

  /// How many batches exist at once: those ahead, the stream's own and the one
  /// that was given out last.
  static constexpr size_t kAhead = 2, kBatches = kAhead + 2;

private:
  struct Made {
    std::optional<Error> error;
    GlobalBatch batch;
    std::string position;
    double epochs = 0;
  };
  void make();
  void stop();

  std::unique_ptr<Batches> stream; ///< the thread's while it runs
  std::thread thread;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Made> queue;
  bool stopping = false;
  Made current;
  std::string place;
  double seen = 0;
};

} // namespace ltc
