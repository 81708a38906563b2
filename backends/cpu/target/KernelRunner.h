// SPDX-License-Identifier: Apache-2.0
// For tests: compiles one ltc.kernel, loads it, runs it beside the reference.
#pragma once
#include "backends/Backend.h"
#include "backends/emit/Cases.h"
#include "ir/interfaces/Interpreter.h"
#include "ir/interfaces/ScalarProgram.h"
#include "llvm/Support/Path.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Parser/Parser.h"
#include <bit>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <random>
#include <sys/mman.h>
#include <unistd.h>

namespace ltc::cpu {

/// 64-byte aligned storage of one tensor, with a NaN guard behind it.
struct Storage {
  std::vector<char> bytes;
  size_t size;
  explicit Storage(size_t size) : bytes(size + 192, char(0xff)), size(size) {}
  char *data() {
    auto address = reinterpret_cast<uintptr_t>(bytes.data());
    return bytes.data() + (64 - address % 64) % 64;
  }
  bool guardIntact() {
    for (size_t i = 0; i < 64; ++i)
      if (data()[size + i] != char(0xff))
        return false;
    return true;
  }
};

class KernelRunner {
public:
  virtual ~KernelRunner() = default;
  KernelRunner() {
    context.loadDialect<LtcDialect, mlir::func::FuncDialect,
                        mlir::arith::ArithDialect, mlir::math::MathDialect,
                        mlir::scf::SCFDialect, mlir::vector::VectorDialect,
                        mlir::LLVM::LLVMDialect>();
  }

  /// Compiles the kernel in `text` and runs it on `inputs`, tiles split over
  /// `parts` calls in reverse order. Results in order of the kernel's.
  virtual std::vector<HostTensor>
  runNative(const std::string &text, const std::vector<HostTensor> &inputs,
            int parts = 1) {
    source = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
    if (!source)
      return {};
    KernelOp kernel = *source->getOps<KernelOp>().begin();
    mlir::OwningOpRef<mlir::ModuleOp> native =
        mlir::ModuleOp::create(kernel.getLoc());
    auto target = createCpuTarget();
    auto lowered = target->lower(kernel, *native);
    if (failed(lowered))
      return {};
    mlir::TimingScope untimed;
    auto binary = target->link(*native, untimed);
    if (failed(binary))
      return {};
    int file = memfd_create("kernel", 0);
    if (write(file, binary->data(), binary->size()) !=
        ssize_t(binary->size()))
      return {};
    std::string path = "/proc/self/fd/" + std::to_string(file);
    void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    EXPECT_TRUE(library) << dlerror();
    if (!library)
      return {};
    auto results = launchAll(
        kernel, *lowered, inputs,
        [&](const KernelLaunch &launch, const std::vector<void *> &bindings) {
          launchTiles(launch, bindings, library, parts);
        });
    // Closed before the next load: dlopen knows libraries by their path.
    dlclose(library);
    close(file);
    return results;
  }

  std::vector<HostTensor> runReference(const std::vector<HostTensor> &inputs) {
    KernelOp kernel = *source->getOps<KernelOp>().begin();
    auto results = Interpreter(*source).run(kernel.getBody().front(), inputs);
    return succeeded(results) ? *results : std::vector<HostTensor>();
  }

  /// Random inputs for the kernel's arguments: floats in (-1, 1), integers in
  /// [0, `integers`).
  std::vector<HostTensor> randomInputs(const std::string &text, int seed,
                                       int integers = 4) {
    source = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
    std::vector<HostTensor> inputs;
    if (!source)
      return inputs;
    std::mt19937 random(seed);
    KernelOp kernel = *source->getOps<KernelOp>().begin();
    for (mlir::Value argument : kernel.getBody().front().getArguments()) {
      HostTensor tensor(shapeOf(argument).vec());
      bool real = mlir::isa<mlir::FloatType>(elementOf(argument));
      for (double &x : tensor.data)
        x = real ? roundedTo(elementOf(argument),
                             float(random() / 2147483648.0 - 1))
                 : random() % integers;
      inputs.push_back(tensor);
    }
    return inputs;
  }

  /// Native and reference agree within `bound` of the largest magnitude, and
  /// splitting the tiles does not change a bit.
  void check(const std::string &text, int seed, double bound = 2e-6,
             int integers = 4) {
    checkOn(text, randomInputs(text, seed, integers), bound);
  }
  void checkOn(const std::string &text, const std::vector<HostTensor> &inputs,
               double bound) {
    auto native = runNative(text, inputs);
    ASSERT_FALSE(native.empty()) << text;
    auto again = runNative(text, inputs, 3);
    auto reference = runReference(inputs);
    ASSERT_EQ(native.size(), reference.size());
    for (size_t r = 0; r < native.size(); ++r) {
      double scale = 1e-3;
      for (double x : reference[r].data)
        if (std::isfinite(x))
          scale = std::max(scale, std::abs(x));
      for (size_t i = 0; i < native[r].data.size(); ++i) {
        double want = reference[r].data[i], got = native[r].data[i];
        if (want == got)
          continue;
        ASSERT_NEAR(got, want, bound * scale)
            << "result " << r << " element " << i << " of\n" << text;
      }
      ASSERT_EQ(0, std::memcmp(native[r].data.data(), again[r].data.data(),
                               native[r].data.size() * sizeof(double)))
          << "split tiles give other bits\n" << text;
    }
  }

  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> source;

protected:
  using Launch = llvm::function_ref<void(const KernelLaunch &,
                                         const std::vector<void *> &)>;

  static size_t bytesOfTensor(mlir::Value value) {
    auto type = mlir::cast<mlir::RankedTensorType>(value.getType());
    unsigned bits = type.getElementType().getIntOrFloatBitWidth();
    return type.getNumElements() * std::max(1u, bits / 8);
  }
  static void toNative(const HostTensor &from, mlir::Type type, char *to) {
    for (size_t i = 0; i < from.data.size(); ++i) {
      double x = from.data[i];
      if (type.isF32())
        reinterpret_cast<float *>(to)[i] = float(x);
      else if (type.isBF16())
        reinterpret_cast<uint16_t *>(to)[i] =
            std::bit_cast<uint32_t>(float(roundedTo(type, x))) >> 16;
      else if (type.isF64())
        reinterpret_cast<double *>(to)[i] = x;
      else if (type.isInteger(32))
        reinterpret_cast<int32_t *>(to)[i] = int32_t(x);
      else
        reinterpret_cast<int64_t *>(to)[i] = int64_t(x);
    }
  }
  static void fromNative(const char *from, mlir::Type type, HostTensor &to) {
    for (size_t i = 0; i < to.data.size(); ++i)
      to.data[i] = type.isF32()   ? reinterpret_cast<const float *>(from)[i]
                   : type.isBF16()
                       ? std::bit_cast<float>(
                             uint32_t(reinterpret_cast<const uint16_t *>(
                                 from)[i])
                             << 16)
                   : type.isF64() ? reinterpret_cast<const double *>(from)[i]
                   : type.isInteger(32)
                       ? double(reinterpret_cast<const int32_t *>(from)[i])
                       : double(reinterpret_cast<const int64_t *>(from)[i]);
  }

  static void launchTiles(const KernelLaunch &launch,
                          const std::vector<void *> &bindings, void *library,
                          int parts) {
    auto *function =
        reinterpret_cast<void (*)(void *const *, int64_t, int64_t, void *)>(
            dlsym(library, launch.symbol.c_str()));
    EXPECT_TRUE(function) << launch.symbol;
    Storage scratch(launch.scratchBytes);
    for (int part = parts - 1; part >= 0; --part)
      function(bindings.data(), launch.tiles * part / parts,
               launch.tiles * (part + 1) / parts, scratch.data());
    EXPECT_TRUE(scratch.guardIntact()) << "scratch overrun";
  }

  std::vector<HostTensor> launchAll(KernelOp kernel,
                                    const LoweredKernel &lowered,
                                    const std::vector<HostTensor> &inputs,
                                    Launch run) {
    mlir::Block &body = kernel.getBody().front();
    auto yielded = body.getTerminator()->getOperands();
    std::vector<Storage> storage;
    std::vector<char *> plain;
    for (mlir::Value argument : body.getArguments())
      storage.emplace_back(bytesOfTensor(argument));
    for (mlir::Value result : yielded)
      storage.emplace_back(bytesOfTensor(result));
    for (uint64_t bytes : lowered.workspaceBytes)
      storage.emplace_back(bytes);
    for (size_t i = 0; i < inputs.size(); ++i)
      toNative(inputs[i], elementOf(body.getArgument(i)), storage[i].data());
    for (Storage &one : storage)
      plain.push_back(one.data());
    for (auto [r, in] : llvm::enumerate(kernel.getInplace()))
      if (in >= 0)
        plain[inputs.size() + r] = plain[in];
    int workspaces = int(inputs.size() + yielded.size());
    for (const KernelLaunch &launch : lowered.launches) {
      std::vector<void *> bindings;
      for (int binding : launch.bindings)
        bindings.push_back(
            plain[binding >= 0 ? binding : workspaces + (-1 - binding)]);
      run(launch, bindings);
    }
    for (Storage &one : storage)
      EXPECT_TRUE(one.guardIntact()) << "a buffer was overrun";
    std::vector<HostTensor> results;
    for (auto [r, result] : llvm::enumerate(yielded)) {
      HostTensor tensor(shapeOf(result).vec());
      fromNative(plain[inputs.size() + r], elementOf(result), tensor);
      results.push_back(tensor);
    }
    return results;
  }
};

} // namespace ltc::cpu
