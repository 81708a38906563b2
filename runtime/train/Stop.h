// SPDX-License-Identifier: Apache-2.0
// SIGINT and SIGTERM as a question that the trainer asks between steps. A
// second signal ends the process at once.
#pragma once
#include <atomic>
#include <csignal>

namespace ltc {

class StopSignals {
public:
  StopSignals() {
    flag() = false;
    struct sigaction action = {};
    action.sa_handler = [](int) { flag() = true; };
    action.sa_flags = SA_RESETHAND | SA_RESTART;
    sigaction(SIGINT, &action, &oldInterrupt);
    sigaction(SIGTERM, &action, &oldTerminate);
  }
  ~StopSignals() {
    sigaction(SIGINT, &oldInterrupt, nullptr);
    sigaction(SIGTERM, &oldTerminate, nullptr);
  }
  StopSignals(const StopSignals &) = delete;
  StopSignals &operator=(const StopSignals &) = delete;
  bool requested() const { return flag(); }

private:
  static std::atomic<bool> &flag() {
    static std::atomic<bool> stop{false};
    return stop;
  }
  struct sigaction oldInterrupt, oldTerminate;
};

} // namespace ltc
