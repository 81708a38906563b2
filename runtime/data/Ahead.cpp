// SPDX-License-Identifier: Apache-2.0
#include "runtime/data/Ahead.h"

namespace ltc {

void Ahead::make() {
  while (true) {
    {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return stopping || queue.size() < kAhead; });
      if (stopping)
        return;
    }
    Made made;
    auto batch = stream->next();
    if (batch)
      made.batch = **batch;
    else
      made.error = batch.error();
    made.position = stream->position();
    made.epochs = stream->epochs();
    bool failed = made.error.has_value();
    {
      std::lock_guard lock(mutex);
      queue.push_back(std::move(made));
    }
    changed.notify_all();
    if (failed)
      return;
  }
}

void Ahead::stop() {
  {
    std::lock_guard lock(mutex);
    stopping = true;
  }
  changed.notify_all();
  if (thread.joinable())
    thread.join();
  stopping = false;
  queue.clear();
}

Result<const GlobalBatch *> Ahead::next() {
  if (!thread.joinable())
    thread = std::thread([this] { make(); });
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return !queue.empty(); });
    current = std::move(queue.front());
    queue.pop_front();
  }
  changed.notify_all();
  if (current.error) {
    Error error = *current.error;
    stop(); // a later call tries again, from the batch that failed
    LTC_TRY(stream->seek(place));
    return error;
  }
  place = current.position;
  seen = current.epochs;
  return &current.batch;
}

Result<void> Ahead::seek(std::string_view position) {
  stop();
  auto moved = stream->seek(position);
  if (!moved) { // what was made ahead is gone: back to the last batch given
    LTC_TRY(stream->seek(place));
    return moved.error();
  }
  place = stream->position();
  seen = stream->epochs();
  return {};
}

} // namespace ltc
