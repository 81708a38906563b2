// SPDX-License-Identifier: Apache-2.0
#include "passes/generation/Prepare.h"
#include "ir/ops/Build.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;

namespace ltc {

/// Smaller values are made again faster than they are read.
constexpr int64_t kLeastElements = 1024;

bool isBoundTo(func::FuncOp function, unsigned argument, StringRef kind) {
  auto bind = function.getArgAttrOfType<DictionaryAttr>(argument, "ltc.bind");
  auto text = bind ? bind.getAs<StringAttr>("class") : StringAttr();
  return text && text.getValue() == kind;
}

DictionaryAttr bindOf(MLIRContext *context, StringRef kind, StringRef name) {
  Builder b(context);
  SmallVector<NamedAttribute> entries = {
      b.getNamedAttr("class", b.getStringAttr(kind))};
  if (!name.empty())
    entries.push_back(b.getNamedAttr("name", b.getStringAttr(name)));
  return b.getDictionaryAttr(entries);
}

/// A parameter, or a view of one.
static bool isWeight(func::FuncOp predict, Value value) {
  while (Operation *def = value.getDefiningOp()) {
    if (!isa<ReshapeOp, SliceOp>(def))
      return false;
    value = def->getOperand(0);
  }
  return isBoundTo(predict, cast<BlockArgument>(value).getArgNumber(),
                   "parameter");
}

PreparedValues findPrepared(func::FuncOp predict) {
  PreparedValues values;
  for (MapOp map : predict.getBody().getOps<MapOp>()) {
    bool weights = !map.getInputs().empty() &&
                   llvm::all_of(map.getInputs(), [&](Value input) {
                     return isWeight(predict, input);
                   });
    int64_t elements = ShapedType::getNumElements(map.getSpace());
    if (weights && elements >= kLeastElements)
      for (Value result : map.getResults())
        values[result] = "prepared." + std::to_string(values.size());
  }
  return values;
}

void buildPrepare(func::FuncOp predict, const PreparedValues &values) {
  OpBuilder b(predict->getContext());
  b.setInsertionPointAfter(predict);
  Location loc = predict.getLoc();
  auto prepare =
      func::FuncOp::create(b, loc, "prepare", b.getFunctionType({}, {}));
  Block *body = prepare.addEntryBlock();
  b.setInsertionPointToEnd(body);
  IRMapping mapping;
  SmallVector<Attribute> binds;
  std::function<void(Value)> bring = [&](Value value) {
    if (mapping.contains(value))
      return;
    if (Operation *def = value.getDefiningOp()) {
      for (Value operand : def->getOperands())
        bring(operand);
      b.clone(*def, mapping);
      return;
    }
    auto argument = cast<BlockArgument>(value);
    mapping.map(value, body->addArgument(value.getType(), value.getLoc()));
    binds.push_back(predict.getArgAttr(argument.getArgNumber(), "ltc.bind"));
  };
  SmallVector<Value> results;
  for (auto &[value, name] : values) {
    bring(value);
    results.push_back(mapping.lookup(value));
  }
  func::ReturnOp::create(b, loc, results);
  prepare.setFunctionType(b.getFunctionType(body->getArgumentTypes(),
                                            TypeRange(ValueRange(results))));
  for (auto [a, bind] : llvm::enumerate(binds))
    prepare.setArgAttr(a, "ltc.bind", bind);
  for (auto [r, entry] : llvm::enumerate(values))
    prepare.setResultAttr(r, "ltc.bind",
                          bindOf(b.getContext(), "cache", entry.second));
}

} // namespace ltc
