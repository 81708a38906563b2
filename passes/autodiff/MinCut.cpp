// SPDX-License-Identifier: Apache-2.0
#include "passes/autodiff/MinCut.h"
#include <algorithm>

namespace ltc {

void MinCut::addEdge(int from, int to, int64_t capacity) {
  out[from].push_back(static_cast<int>(edges.size()));
  edges.push_back({to, capacity});
  out[to].push_back(static_cast<int>(edges.size()));
  edges.push_back({from, 0});
}

bool MinCut::search(int source, int sink, std::vector<int> &arrivedBy) {
  reached.assign(out.size(), false);
  arrivedBy.assign(out.size(), -1);
  std::vector<int> queue = {source};
  reached[source] = true;
  for (size_t at = 0; at < queue.size(); ++at)
    for (int edge : out[queue[at]]) {
      int to = edges[edge].to;
      if (reached[to] || edges[edge].left == 0)
        continue;
      reached[to] = true;
      arrivedBy[to] = edge;
      queue.push_back(to);
    }
  return reached[sink];
}

int64_t MinCut::run(int source, int sink) {
  int64_t total = 0;
  std::vector<int> arrivedBy;
  while (total < unlimited && search(source, sink, arrivedBy)) {
    int64_t flow = unlimited;
    for (int node = sink; node != source; node = edges[arrivedBy[node] ^ 1].to)
      flow = std::min(flow, edges[arrivedBy[node]].left);
    for (int node = sink; node != source;
         node = edges[arrivedBy[node] ^ 1].to) {
      edges[arrivedBy[node]].left -= flow;
      edges[arrivedBy[node] ^ 1].left += flow;
    }
    total += flow;
  }
  return total;
}

} // namespace ltc
