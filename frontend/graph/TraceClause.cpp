// SPDX-License-Identifier: Apache-2.0
// An optimizer's clause: its own names and the dimensions of its pattern.
#include "frontend/graph/Tracer.h"

using namespace mlir;

namespace ltc::graph {

/// batch.. of a clause's pattern, or of a function's signature.
const Dims &Tracer::needRest(const std::string &name, Scope &scope,
                             const Place &place) {
  for (Scope *s = &scope; s; s = s->parent)
    if (auto found = s->rests.find(name); found != s->rests.end())
      return found->second;
  refuse(place, "no rest of dimensions is named '" + name + "..'");
}

bool Tracer::ownsRagged(const Dim *dim) const {
  return llvm::any_of(raggedDims, [&](const auto &entry) {
    return entry.first.second == dim;
  });
}

Tracer::Scope Tracer::scopeOf(ClauseInputs inputs) {
  Scope scope;
  scope.clause = true;
  scope.names = std::move(inputs.names);
  scope.dims = std::move(inputs.dims);
  scope.rests = std::move(inputs.rests);
  return scope;
}

Tracer::ClauseResults Tracer::traceClause(const Function::Clause &clause,
                                          ClauseInputs inputs) {
  Scope scope = scopeOf(std::move(inputs));
  if (run(clause.body, scope))
    refuse(clause.place, "a clause returns nothing: it stores its states and "
                         "the weight");
  for (const Stmt *projection : scope.projections) {
    Stmt::Target weight;
    weight.name = "weight";
    weight.place = projection->place;
    assignTo(weight, evaluate(*projection->value, scope), scope);
  }
  return {std::move(scope.names), std::move(scope.assigned)};
}

Value Tracer::traceInClause(const Expr &expr, ClauseInputs inputs) {
  Scope scope = scopeOf(std::move(inputs));
  return evaluate(expr, scope);
}

Dims Tracer::clauseDims(const std::vector<DimSpec> &specs,
                        const ClauseInputs &inputs) {
  Dims dims;
  for (const DimSpec &spec : specs) {
    if (spec.kind == DimSpec::Rest) {
      auto rest = inputs.rests.find(spec.name);
      if (rest == inputs.rests.end())
        refuse(spec.place, "the clause's pattern has no '" + spec.name + "..'");
      llvm::append_range(dims, rest->second);
      continue;
    }
    auto found = inputs.dims.find(spec.name);
    if (spec.kind != DimSpec::Name || found == inputs.dims.end())
      refuse(spec.place, "a state's dimensions are those of the clause's "
                         "pattern");
    dims.push_back(found->second);
  }
  return dims;
}

} // namespace ltc::graph
