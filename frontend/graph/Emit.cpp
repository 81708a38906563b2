// SPDX-License-Identifier: Apache-2.0
#include "frontend/graph/Emit.h"
#include "frontend/graph/Lexer.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include <cmath>
#include <functional>

using namespace mlir;

namespace ltc::graph {

bool contains(const Dims &dims, const Dim *dim) {
  return llvm::is_contained(dims, dim);
}
std::string show(const std::string &name, const Dims &dims) {
  std::string text = name + "[";
  for (size_t i = 0; i < dims.size(); ++i)
    text += (i ? ", " : "") + dims[i]->name + " = " +
            std::to_string(dims[i]->size);
  return text + "]";
}

std::string show(const NodePtr &node) {
  return show(node->name.empty() ? "value" : node->name, node->dims);
}

Location Emit::at(const Place &place) {
  return FileLineColLoc::get(builder.getContext(), place.file, place.line,
                             place.column);
}
mlir::Type Emit::element(Type type) {
  switch (type) {
  case Type::F32:
    return builder.getF32Type();
  case Type::F64:
    return builder.getF64Type();
  case Type::I32:
    return builder.getI32Type();
  case Type::I64:
    return builder.getI64Type();
  case Type::Bool:
    return builder.getI1Type();
  }
  llvm_unreachable("covered switch");
}
RankedTensorType Emit::tensor(Type type, const Dims &dims) {
  SmallVector<int64_t> shape;
  for (Dim *dim : dims)
    shape.push_back(dim->size);
  return RankedTensorType::get(shape, element(type));
}

NodePtr Emit::leaf(mlir::Value value, Dims dims, Type type, Place place) {
  auto node = std::make_shared<Node>();
  node->value = value;
  node->dims = std::move(dims);
  node->type = type;
  node->place = std::move(place);
  return node;
}
NodePtr Emit::constant(double number, Place place) {
  auto node = std::make_shared<Node>();
  node->kind = Node::Constant;
  node->type = Type::F64;
  node->number = number;
  node->place = std::move(place);
  return node;
}
NodePtr Emit::index(Dim *dim, Place place) {
  auto node = std::make_shared<Node>();
  node->kind = Node::Index;
  node->type = Type::I32;
  node->dims = {dim};
  node->place = std::move(place);
  return node;
}

NodePtr Emit::position(const Dims &dims, Place place) {
  NodePtr position = constant(0, place);
  int64_t stride = 1;
  for (auto dim = dims.rbegin(); dim != dims.rend(); ++dim) {
    NodePtr step =
        op("*", {index(*dim, place), constant(stride, place)}, place);
    position = stride == 1 ? step : op("+", {step, position}, place);
    stride *= (*dim)->size;
  }
  return position;
}

static bool isComparison(const std::string &op) {
  return op == "<" || op == "<=" || op == ">" || op == ">=" || op == "==" ||
         op == "!=";
}
static bool isWhole(const NodePtr &node) {
  return node->kind == Node::Constant && node->number == std::floor(node->number);
}

/// The type in which operands meet: tensors' f32 before scalars' f64 before
/// integers; a constant takes the other side's.
static Type meet(const std::vector<NodePtr> &inputs, bool divides) {
  bool f32 = false, f64 = false, integer = false, fraction = false,
       boolean = false;
  for (const NodePtr &in : inputs) {
    if (in->kind == Node::Constant) {
      fraction |= !isWhole(in);
      continue;
    }
    f32 |= in->type == Type::F32;
    f64 |= in->type == Type::F64;
    integer |= in->type == Type::I32 || in->type == Type::I64;
    boolean |= in->type == Type::Bool;
  }
  if (f32)
    return Type::F32;
  if (f64)
    return Type::F64;
  if (integer)
    return fraction || divides ? Type::F32 : Type::I32;
  return boolean ? Type::Bool : Type::F64;
}

NodePtr Emit::op(std::string name, std::vector<NodePtr> inputs, Place place) {
  auto node = std::make_shared<Node>();
  node->kind = Node::Op;
  node->op = name;
  node->place = place;
  bool free = isComparison(name) || name == "and" || name == "or";
  std::vector<NodePtr> numeric = inputs;
  if (name == "where")
    numeric.erase(numeric.begin());
  node->type = meet(numeric, name == "/" || name == "^");
  bool operandless = numeric.size() == 1 && (name == "exp" || name == "log" ||
                                             name == "sqrt" || name == "sin" ||
                                             name == "cos" || name == "tanh");
  if (operandless && node->type == Type::I32)
    node->type = Type::F32;
  if (isComparison(name) || name == "and" || name == "or" || name == "not")
    node->type = Type::Bool;
  for (const NodePtr &in : inputs)
    for (Dim *dim : in->dims)
      if (!contains(node->dims, dim))
        node->dims.push_back(dim);
  // A tensor made of numbers alone, where(x > 0, 1, 0), is float32 too.
  if (node->type == Type::F64 && !node->dims.empty())
    node->type = Type::F32;
  // The widest operand's order of dimensions is the result's.
  for (const NodePtr &in : inputs) {
    if (in->dims.size() == node->dims.size()) {
      node->dims = in->dims;
      break;
    }
  }
  bool one = inputs.size() < 2;
  for (const NodePtr &in : inputs) {
    one |= in->dims.size() == node->dims.size();
    if (in->outer && !node->outer) {
      node->outer = in->outer;
      node->outerText = in->outerText;
    }
  }
  if (!one && !free && !node->outer) {
    node->outer = place;
    for (const NodePtr &in : inputs)
      if (!in->dims.empty())
        node->outerText += (node->outerText.empty() ? "" : " " + name + " ") +
                           show(in->name.empty() ? "value" : in->name,
                                in->dims);
  }
  node->parameter = llvm::all_of(inputs, [](const NodePtr &in) {
    return in->parameter || in->kind == Node::Constant;
  });
  for (const NodePtr &in : inputs)
    if (in->dims.size() == node->dims.size() && node->entries.empty())
      node->entries = in->entries;
  node->inputs = std::move(inputs);
  return node;
}

NodePtr Emit::cast(NodePtr node, Type type, Place place) {
  if (node->type == type && node->kind != Node::Constant)
    return node;
  NodePtr result = op("cast", {node}, place);
  result->type = type;
  return result;
}

void Emit::collectLeaves(const NodePtr &node, std::vector<NodePtr> &leaves) {
  if (node->kind == Node::Leaf && !llvm::is_contained(leaves, node))
    leaves.push_back(node);
  for (const NodePtr &in : node->inputs)
    collectLeaves(in, leaves);
}

NodePtr Emit::materialise(NodePtr node, Dims order) {
  if (pairwise(node))
    refuse(node->place, "attention's score and keep are pointwise: what they "
                        "say of a pair of positions is never stored, so it "
                        "cannot be summed, split, renamed or gathered by");
  if (order.empty())
    order = node->dims;
  if (node->kind == Node::Leaf && order == node->dims)
    return node;
  Location loc = at(node->place);
  std::vector<NodePtr> leaves;
  collectLeaves(node, leaves);
  SmallVector<mlir::Value> inputs;
  SmallVector<AffineMap> maps;
  auto position = [&](Dim *dim) {
    return unsigned(llvm::find(order, dim) - order.begin());
  };
  for (const NodePtr &leaf : leaves) {
    SmallVector<AffineExpr> picks;
    for (Dim *dim : leaf->dims)
      picks.push_back(builder.getAffineDimExpr(position(dim)));
    inputs.push_back(leaf->value);
    maps.push_back(
        AffineMap::get(order.size(), 0, picks, builder.getContext()));
  }
  RankedTensorType type = tensor(node->type, order);
  auto map = MapOp::create(builder, loc, TypeRange{type}, inputs,
                           builder.getAffineMapArrayAttr(maps));
  Block *body = builder.createBlock(&map.getBody());
  Scope scope;
  for (const NodePtr &leaf : leaves)
    scope.leaves[leaf.get()] = body->addArgument(element(leaf->type), loc);
  scope.index = [&](Location where, Dim *dim) {
    return IndexOp::create(builder, where, builder.getI32Type(), position(dim));
  };
  mlir::Value result = emitScalar(node, scope);
  YieldOp::create(builder, loc, ValueRange{result});
  builder.setInsertionPointAfter(map);
  NodePtr made = leaf(map.getResult(0), order, node->type, node->place);
  made->parameter = node->parameter;
  made->entries = node->entries;
  made->name = node->name;
  return made;
}

mlir::Value Emit::convert(mlir::Value value, Type to, Location loc) {
  mlir::Type from = value.getType(), want = element(to);
  if (from == want)
    return value;
  bool real = isa<FloatType>(from), wantReal = isa<FloatType>(want);
  if (real && wantReal) {
    if (from.getIntOrFloatBitWidth() < want.getIntOrFloatBitWidth())
      return arith::ExtFOp::create(builder, loc, want, value);
    return arith::TruncFOp::create(builder, loc, want, value);
  }
  if (from.isInteger(1) && wantReal)
    return arith::UIToFPOp::create(builder, loc, want, value);
  if (wantReal)
    return arith::SIToFPOp::create(builder, loc, want, value);
  if (real)
    return arith::FPToSIOp::create(builder, loc, want, value);
  if (from.getIntOrFloatBitWidth() < want.getIntOrFloatBitWidth()) {
    if (from.isInteger(1))
      return arith::ExtUIOp::create(builder, loc, want, value);
    return arith::ExtSIOp::create(builder, loc, want, value);
  }
  return arith::TruncIOp::create(builder, loc, want, value);
}

mlir::Value Emit::emitScalar(const NodePtr &node, Scope &scope) {
  if (auto found = scope.leaves.find(node.get()); found != scope.leaves.end())
    return found->second;
  if (auto found = scope.done.find(node.get()); found != scope.done.end())
    return found->second;
  Location loc = at(node->place);
  if (node->kind == Node::Constant)
    return arith::ConstantOp::create(builder, loc,
                                     builder.getF64FloatAttr(node->number));
  if (node->kind == Node::Index)
    return scope.index(loc, node->dims[0]);
  // Operands meet in one type; a constant is written in it at once.
  Type common = node->type;
  bool compares = isComparison(node->op);
  if (compares)
    common = meet(node->inputs, false);
  if (node->op == "cast")
    common = node->inputs[0]->kind == Node::Constant ? node->type
                                                     : node->inputs[0]->type;
  if (node->op == "uniform")
    common = Type::I32;
  if (node->op == "^")
    return scope.done[node.get()] =
               emitPower(*node, emitScalar(node->inputs[0], scope), loc, scope);
  SmallVector<mlir::Value> in;
  for (auto [n, input] : llvm::enumerate(node->inputs)) {
    Type want = node->op == "where" && n == 0 ? Type::Bool : common;
    if (input->kind == Node::Constant) {
      mlir::Type type = element(want);
      TypedAttr attr =
          isa<FloatType>(type)
              ? TypedAttr(builder.getFloatAttr(type, input->number))
              : TypedAttr(builder.getIntegerAttr(type, int64_t(input->number)));
      in.push_back(arith::ConstantOp::create(builder, loc, attr));
      continue;
    }
    in.push_back(convert(emitScalar(input, scope), want, loc));
  }
  return scope.done[node.get()] = emitOp(*node, in, loc);
}

/// x^n: products for small whole n, roots for halves, else exp(y log x).
mlir::Value Emit::emitPower(const Node &node, mlir::Value base, Location loc,
                            Scope &scope) {
  const NodePtr &x = node.inputs[0], &y = node.inputs[1];
  mlir::Type type = element(node.type);
  auto number = [&](double value) -> mlir::Value {
    return arith::ConstantOp::create(builder, loc,
                                     builder.getFloatAttr(type, value));
  };
  if (y->kind == Node::Constant) {
    base = convert(base, node.type, loc);
    double power = y->number;
    if (power == 0.5)
      return math::SqrtOp::create(builder, loc, base);
    if (power == -0.5)
      return arith::DivFOp::create(builder, loc, number(1),
                                   math::SqrtOp::create(builder, loc, base));
    if (power == std::floor(power) && std::abs(power) <= 8 && power != 0) {
      mlir::Value product = base;
      for (int i = 1; i < std::abs(power); ++i)
        product = arith::MulFOp::create(builder, loc, product, base);
      return power > 0 ? product
                       : arith::DivFOp::create(builder, loc, number(1),
                                               product);
    }
  }
  mlir::Value exponent =
      y->kind == Node::Constant
          ? number(y->number)
          : convert(emitScalar(y, scope), node.type, loc);
  // A known base: exp(y * log(base)), the logarithm taken here in float64.
  mlir::Value logarithm =
      x->kind == Node::Constant
          ? number(std::log(x->number))
          : mlir::Value(math::LogOp::create(builder, loc,
                                            convert(base, node.type, loc)));
  return math::ExpOp::create(
      builder, loc,
      arith::MulFOp::create(builder, loc, exponent, logarithm));
}

/// In [0, 1), 24 bits, from words of a counter and a key: element, row,
/// attempt, call; seed, which of the block's.
mlir::Value Emit::emitUniform(ArrayRef<mlir::Value> words, Location loc) {
  mlir::Type i32 = builder.getI32Type(), i64 = builder.getI64Type();
  auto constant = [&](TypedAttr value) {
    return arith::ConstantOp::create(builder, loc, value);
  };
  auto both = [&](mlir::Value low, mlir::Value high) -> mlir::Value {
    low = arith::ExtUIOp::create(builder, loc, i64, low);
    high = arith::ExtUIOp::create(builder, loc, i64, high);
    high = arith::ShLIOp::create(builder, loc, high,
                                 constant(builder.getI64IntegerAttr(32)));
    return arith::OrIOp::create(builder, loc, low, high);
  };
  mlir::Value low = both(words[0], words[1]), high = both(words[2], words[3]);
  mlir::Value bits = RandomOp::create(builder, loc, i32, low, high,
                                      both(words[4], words[5]));
  bits = arith::ShRUIOp::create(builder, loc, bits,
                                constant(builder.getI32IntegerAttr(8)));
  mlir::Value whole =
      arith::SIToFPOp::create(builder, loc, builder.getF32Type(), bits);
  return arith::MulFOp::create(builder, loc, whole,
                               constant(builder.getF32FloatAttr(0x1p-24)));
}

mlir::Value Emit::emitOp(const Node &node, SmallVector<mlir::Value> in,
                         Location loc) {
  const std::string &op = node.op;
  if (op == "training")
    return TrainingOp::create(builder, loc, builder.getI1Type());
  if (op == "uniform")
    return emitUniform(in, loc);
  bool real = isa<FloatType>(in.back().getType());
  auto binary = [&](auto floating, auto integer) -> mlir::Value {
    using F = decltype(floating);
    using I = decltype(integer);
    if (real)
      return F::create(builder, loc, in[0], in[1]);
    return I::create(builder, loc, in[0], in[1]);
  };
  if (op == "+")
    return binary(arith::AddFOp(), arith::AddIOp());
  if (op == "-")
    return binary(arith::SubFOp(), arith::SubIOp());
  if (op == "*")
    return binary(arith::MulFOp(), arith::MulIOp());
  if (op == "/")
    return arith::DivFOp::create(builder, loc, in[0], in[1]);
  if (op == "max")
    return binary(arith::MaximumFOp(), arith::MaxSIOp());
  if (op == "min")
    return binary(arith::MinimumFOp(), arith::MinSIOp());
  if (op == "and")
    return arith::AndIOp::create(builder, loc, in[0], in[1]);
  if (op == "or")
    return arith::OrIOp::create(builder, loc, in[0], in[1]);
  if (op == "xor")
    return arith::XOrIOp::create(builder, loc, in[0], in[1]);
  if (op == "shr")
    return arith::ShRUIOp::create(builder, loc, in[0], in[1]);
  if (op == "where")
    return arith::SelectOp::create(builder, loc, in[0], in[1], in[2]);
  if (op == "cast")
    return convert(in[0], node.type, loc);
  if (op == "bf16") { // rounded; what is computed with it stays f32
    mlir::Value rounded =
        arith::TruncFOp::create(builder, loc, builder.getBF16Type(), in[0]);
    return arith::ExtFOp::create(builder, loc, in[0].getType(), rounded);
  }
  if (op == "not")
    return arith::XOrIOp::create(
        builder, loc, in[0],
        arith::ConstantOp::create(builder, loc, builder.getBoolAttr(true)));
  if (op == "neg" && !real)
    return arith::SubIOp::create(
        builder, loc,
        arith::ConstantOp::create(builder, loc,
                                  builder.getZeroAttr(in[0].getType())),
        in[0]);
  if (op == "neg")
    return arith::NegFOp::create(builder, loc, in[0]);
  if (isComparison(op) && real) {
    auto predicate = op == "<"    ? arith::CmpFPredicate::OLT
                     : op == "<=" ? arith::CmpFPredicate::OLE
                     : op == ">"  ? arith::CmpFPredicate::OGT
                     : op == ">=" ? arith::CmpFPredicate::OGE
                     : op == "==" ? arith::CmpFPredicate::OEQ
                                  : arith::CmpFPredicate::UNE;
    return arith::CmpFOp::create(builder, loc, predicate, in[0], in[1]);
  }
  if (isComparison(op)) {
    auto predicate = op == "<"    ? arith::CmpIPredicate::slt
                     : op == "<=" ? arith::CmpIPredicate::sle
                     : op == ">"  ? arith::CmpIPredicate::sgt
                     : op == ">=" ? arith::CmpIPredicate::sge
                     : op == "==" ? arith::CmpIPredicate::eq
                                  : arith::CmpIPredicate::ne;
    return arith::CmpIOp::create(builder, loc, predicate, in[0], in[1]);
  }
  mlir::Value x = in[0];
  if (op == "exp")
    return math::ExpOp::create(builder, loc, x);
  if (op == "log")
    return math::LogOp::create(builder, loc, x);
  if (op == "sqrt")
    return math::SqrtOp::create(builder, loc, x);
  if (op == "tanh")
    return math::TanhOp::create(builder, loc, x);
  if (op == "sin")
    return math::SinOp::create(builder, loc, x);
  if (op == "cos")
    return math::CosOp::create(builder, loc, x);
  if (op == "abs")
    return math::AbsFOp::create(builder, loc, x);
  if (op == "floor")
    return math::FloorOp::create(builder, loc, x);
  if (op == "erf")
    return math::ErfOp::create(builder, loc, x);
  refuse(node.place, "no such operation: " + op);
}

} // namespace ltc::graph
