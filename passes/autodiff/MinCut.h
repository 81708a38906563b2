// SPDX-License-Identifier: Apache-2.0
// Minimum cut of a small directed graph (augmenting paths, breadth first).
#pragma once
#include <cstdint>
#include <limits>
#include <vector>

namespace ltc {

class MinCut {
public:
  static constexpr int64_t unlimited = std::numeric_limits<int64_t>::max() / 4;
  explicit MinCut(int nodes) : out(nodes) {}
  int addNode() {
    out.emplace_back();
    return static_cast<int>(out.size()) - 1;
  }
  void addEdge(int from, int to, int64_t capacity);
  /// Runs the flow; afterwards onSourceSide says which side a node is on.
  /// Returns the cut's capacity, `unlimited` or more if there is none.
  int64_t run(int source, int sink);
  bool onSourceSide(int node) const { return reached[node]; }

private:
  struct Edge {
    int to;
    int64_t left; ///< capacity not yet used
  };
  bool search(int source, int sink, std::vector<int> &arrivedBy);
  std::vector<Edge> edges;           ///< edge i ^ 1 is the reverse of edge i
  std::vector<std::vector<int>> out; ///< edges that leave a node
  std::vector<bool> reached;
};

} // namespace ltc
