// SPDX-License-Identifier: Apache-2.0
#include "passes/precision/Narrow.h"
#include "ir/ops/Build.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

using namespace mlir;

namespace ltc {
namespace {

template <typename Cast> bool isCastBy(Operation *op) {
  return isCast(op) && isa<Cast>(cast<MapOp>(op).getBody().front().front());
}
bool isNarrowing(Operation *op) {
  return isCastBy<arith::TruncFOp>(op) &&
         elementOf(op->getResult(0)).isBF16() &&
         elementOf(op->getOperand(0)).isF32();
}
bool isFloat32(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  return type && type.getElementType().isF32();
}
RankedTensorType inBf16(Value value) {
  return cast<RankedTensorType>(value.getType())
      .clone(BFloat16Type::get(value.getContext()));
}
void setAfter(OpBuilder &b, Value value) {
  if (Operation *op = value.getDefiningOp())
    b.setInsertionPointAfter(op);
  else
    b.setInsertionPointToStart(cast<BlockArgument>(value).getOwner());
}

/// A slice is narrowed after its input where that is an argument, whose cast
/// may leave the function.
bool slicesArgument(SliceOp slice) {
  Value from = slice.getInput();
  while (auto reshape = from.getDefiningOp<ReshapeOp>())
    from = reshape.getInput();
  return isa<BlockArgument>(from);
}

/// The private functions that are called and how.
struct Callee {
  func::FuncOp function;
  SmallVector<func::CallOp> calls;
};

class AcrossCalls {
public:
  explicit AcrossCalls(ModuleOp module) {
    llvm::MapVector<StringRef, SmallVector<func::CallOp>> calls;
    module.walk([&](func::CallOp call) {
      calls[call.getCallee()].push_back(call);
    });
    for (auto &[name, sites] : calls)
      if (auto function = module.lookupSymbol<func::FuncOp>(name))
        if (function.isPrivate() && !function.isExternal())
          callees.push_back({function, sites});
  }

  void run() {
    for (bool changed = true; changed;) {
      changed = false;
      for (Callee &callee : callees) {
        eraseUnused(callee.function.getBody().front());
        for (BlockArgument argument : callee.function.getArguments())
          changed |= narrowArgument(callee, argument);
        for (unsigned r = 0; r < callee.function.getNumResults(); ++r)
          changed |= narrowResult(callee, r);
      }
    }
  }

private:
  static bool isOnlyNarrowed(Value value) {
    return !value.use_empty() && llvm::all_of(value.getUsers(), isNarrowing);
  }

  static bool narrowArgument(Callee &callee, BlockArgument argument) {
    if (!isFloat32(argument))
      return false;
    unsigned at = argument.getArgNumber();
    bool given = llvm::all_of(callee.calls, [&](func::CallOp call) {
      return bool(widenedFrom(call.getOperand(at)));
    });
    if (!given && !isOnlyNarrowed(argument))
      return false;
    argument.setType(inBf16(argument));
    readWidened(argument);
    for (func::CallOp call : callee.calls)
      call.setOperand(at, narrow(call.getOperand(at)));
    retype(callee.function);
    return true;
  }

  static bool narrowResult(Callee &callee, unsigned r) {
    Operation *end = callee.function.getBody().front().getTerminator();
    Value made = end->getOperand(r);
    if (!isFloat32(made))
      return false;
    bool used = false, only = true;
    for (func::CallOp call : callee.calls) {
      used |= !call.getResult(r).use_empty();
      only &=
          call.getResult(r).use_empty() || isOnlyNarrowed(call.getResult(r));
    }
    if (!widenedFrom(made) && !(used && only))
      return false;
    end->setOperand(r, narrow(made));
    for (func::CallOp call : callee.calls) {
      call.getResult(r).setType(inBf16(call.getResult(r)));
      readWidened(call.getResult(r));
    }
    retype(callee.function);
    return true;
  }

  /// Readers of `value`, f32 until now, read it widened.
  static void readWidened(Value value) {
    if (value.use_empty())
      return;
    Value wide = widen(value);
    value.replaceAllUsesExcept(wide, wide.getDefiningOp());
    for (Operation *user : llvm::make_early_inc_range(wide.getUsers()))
      if (isNarrowing(user)) {
        user->getResult(0).replaceAllUsesWith(value);
        user->erase();
      }
    if (wide.use_empty())
      wide.getDefiningOp()->erase();
  }

  static void retype(func::FuncOp function) {
    Block &body = function.getBody().front();
    function.setType(
        FunctionType::get(function.getContext(), body.getArgumentTypes(),
                          body.getTerminator()->getOperandTypes()));
  }

  std::vector<Callee> callees;
};

} // namespace

Value widenedFrom(Value value) {
  Operation *op = value.getDefiningOp();
  bool widens = isCastBy<arith::ExtFOp>(op) &&
                elementOf(op->getOperand(0)).isBF16() && isFloat32(value);
  return widens ? op->getOperand(0) : Value();
}

Value narrow(Value value) {
  if (Value from = widenedFrom(value))
    return from;
  for (Operation *user : value.getUsers())
    if (isNarrowing(user))
      return user->getResult(0);
  OpBuilder b(value.getContext());
  setAfter(b, value);
  Location loc = value.getLoc();
  RankedTensorType type = inBf16(value);
  if (auto reshape = value.getDefiningOp<ReshapeOp>())
    return ReshapeOp::create(b, loc, type, narrow(reshape.getInput()));
  auto slice = value.getDefiningOp<SliceOp>();
  if (slice && (widenedFrom(slice.getInput()) || slicesArgument(slice)))
    return SliceOp::create(b, loc, type, narrow(slice.getInput()),
                           slice.getDim(), slice.getOffset());
  if (auto join = value.getDefiningOp<JoinOp>()) {
    SmallVector<Value> parts;
    for (Value part : join.getInputs())
      parts.push_back(narrow(part));
    return JoinOp::create(b, loc, type, parts, join.getDim());
  }
  return buildCast(b, loc, value, type.getElementType());
}

Value widen(Value value) {
  OpBuilder b(value.getContext());
  setAfter(b, value);
  return buildCast(b, value.getLoc(), value, b.getF32Type());
}

void eraseUnused(Block &body) {
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(body)))
    if (isOpTriviallyDead(&op))
      op.erase();
}

void narrowAcrossCalls(ModuleOp module) { AcrossCalls(module).run(); }

} // namespace ltc
