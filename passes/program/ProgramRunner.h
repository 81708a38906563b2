// SPDX-License-Identifier: Apache-2.0
// For tests: runs an artifact's commands with the reference in place of native
// kernels, on arenas of bytes. What a plan gets wrong shows in the numbers.
#pragma once
#include "ir/interfaces/Interpreter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "passes/Pipelines.h"
#include "passes/program/Program.h"
#include <cstring>
#include <gtest/gtest.h>

namespace ltc {

/// A target whose launches are the kernels themselves.
class ReferenceTarget : public Target {
public:
  std::string name() const override { return "reference"; }
  std::string featureLevel() const override { return "float64"; }
  mlir::FailureOr<LoweredKernel> lower(KernelOp kernel,
                                       mlir::ModuleOp) override {
    KernelLaunch launch;
    launch.symbol = kernel.getSymName().str();
    auto type = kernel.getFunctionType();
    int count = int(type.getNumInputs() + type.getNumResults());
    for (int i = 0; i < count; ++i)
      launch.bindings.push_back(i);
    launch.bindings.push_back(-1);
    return LoweredKernel{{launch}, {256}};
  }
  mlir::FailureOr<std::vector<char>> link(mlir::ModuleOp,
                                          mlir::TimingScope &) override {
    return std::vector<char>{'r'};
  }
};

class ProgramRunner {
public:
  /// `module` at stage "kernels", as compileModule leaves it.
  ProgramRunner(mlir::ModuleOp module, const artifact::ArtifactT &program)
      : module(module), program(program) {
    for (const auto &arena : program.arenas) {
      bool live = arena->class_ == artifact::BufferClass::activation ||
                  arena->class_ == artifact::BufferClass::workspace;
      // Old bytes of activations are NaN: nobody may read them.
      arenas.emplace_back(arena->bytes, live ? char(0xff) : char(0));
    }
  }

  void runPhase(const std::string &name) {
    for (const auto &phase : program.phases)
      if (phase->name == name)
        for (const auto &command : phase->commands)
          run(*command);
  }

  HostTensor read(uint32_t buffer) {
    const artifact::BufferT &b = *program.buffers[buffer];
    HostTensor tensor(b.shape);
    load(address(buffer, 0), b.dtype, tensor);
    return tensor;
  }
  void write(uint32_t buffer, const HostTensor &tensor) {
    const artifact::BufferT &b = *program.buffers[buffer];
    ASSERT_LE(tensor.data.size() * sizeOf(b.dtype), b.bytes);
    store(tensor, b.dtype, address(buffer, 0));
  }
  uint32_t find(const std::string &name) {
    for (size_t i = 0; i < program.buffers.size(); ++i)
      if (program.buffers[i]->name == name)
        return uint32_t(i);
    ADD_FAILURE() << "no buffer " << name;
    return 0;
  }

private:
  using DType = artifact::DType;
  static size_t sizeOf(DType dtype) {
    return dtype == DType::f32 || dtype == DType::i32 ? 4 : 8;
  }
  char *address(uint32_t buffer, uint64_t offset) {
    const artifact::BufferT &b = *program.buffers[buffer];
    return arenas[size_t(b.class_)].data() + b.offset + offset;
  }
  template <typename T> static void loadAs(const char *from, HostTensor &to) {
    for (size_t i = 0; i < to.data.size(); ++i) {
      T x;
      std::memcpy(&x, from + i * sizeof x, sizeof x);
      to.data[i] = double(x);
    }
  }
  template <typename T> static void storeAs(const HostTensor &from, char *to) {
    for (size_t i = 0; i < from.data.size(); ++i) {
      T x = T(from.data[i]);
      std::memcpy(to + i * sizeof x, &x, sizeof x);
    }
  }
  static void load(const char *from, DType dtype, HostTensor &to) {
    switch (dtype) {
    case DType::f32:
      return loadAs<float>(from, to);
    case DType::f64:
      return loadAs<double>(from, to);
    case DType::i32:
      return loadAs<int32_t>(from, to);
    default:
      return loadAs<int64_t>(from, to);
    }
  }
  static void store(const HostTensor &from, DType dtype, char *to) {
    switch (dtype) {
    case DType::f32:
      return storeAs<float>(from, to);
    case DType::f64:
      return storeAs<double>(from, to);
    case DType::i32:
      return storeAs<int32_t>(from, to);
    default:
      return storeAs<int64_t>(from, to);
    }
  }
  static DType dtypeOf(mlir::Value value) {
    mlir::Type type = elementOf(value);
    return type.isF32()         ? DType::f32
           : type.isF64()       ? DType::f64
           : type.isInteger(32) ? DType::i32
                                : DType::i64;
  }

  void run(const artifact::CommandT &command) {
    if (command.kind == artifact::CommandKind::fill_zero) {
      std::memset(address(command.bindings[0].buffer(),
                          command.bindings[0].byte_offset()),
                  0, command.bytes);
      return;
    }
    auto kernel =
        module.lookupSymbol<KernelOp>(program.kernels[command.kernel]->symbol);
    ASSERT_TRUE(kernel);
    mlir::Block &body = kernel.getBody().front();
    std::vector<HostTensor> inputs;
    size_t at = 0;
    auto next = [&] {
      const artifact::Binding &b = command.bindings[at++];
      return address(b.buffer(), b.byte_offset());
    };
    for (mlir::Value argument : body.getArguments()) {
      HostTensor tensor(shapeOf(argument).vec());
      load(next(), dtypeOf(argument), tensor);
      inputs.push_back(tensor);
    }
    auto results = Interpreter(module).run(body, inputs);
    ASSERT_TRUE(mlir::succeeded(results));
    for (auto [value, tensor] :
         llvm::zip(body.getTerminator()->getOperands(), *results))
      store(tensor, dtypeOf(value), next());
  }

  mlir::ModuleOp module;
  const artifact::ArtifactT &program;
  std::vector<std::vector<char>> arenas;
};

} // namespace ltc
