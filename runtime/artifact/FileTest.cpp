// SPDX-License-Identifier: Apache-2.0
#include "runtime/artifact/File.h"
#include <fstream>
#include <gtest/gtest.h>
#include <unistd.h>

using namespace ltc;
using namespace ltc::artifact;

static std::filesystem::path temporary(const char *name) {
  return std::filesystem::temp_directory_path() /
         (std::to_string(::getpid()) + name);
}

static ArtifactT tiny() {
  ArtifactT program;
  program.compiler = "test";
  auto arena = std::make_unique<ArenaT>();
  arena->class_ = BufferClass::parameter;
  arena->bytes = 128;
  program.arenas.push_back(std::move(arena));
  auto buffer = std::make_unique<BufferT>();
  buffer->name = "w";
  buffer->offset = 64;
  buffer->bytes = 64;
  program.buffers.push_back(std::move(buffer));
  for (std::string text : {"first object", ""}) {
    auto object = std::make_unique<ObjectT>();
    object->target = "cpu";
    object->bytes.assign(text.begin(), text.end());
    program.objects.push_back(std::move(object));
  }
  return program;
}

static std::string messageFor(const ArtifactT &program) {
  auto path = temporary("bad.ltca");
  EXPECT_TRUE(writeArtifact(program, path));
  auto file = ArtifactFile::open(path);
  std::filesystem::remove(path);
  return file ? "" : file.error().message;
}

TEST(Artifact, whatWasWrittenIsRead) {
  auto path = temporary("good.ltca");
  ASSERT_TRUE(writeArtifact(tiny(), path));
  auto file = ArtifactFile::open(path);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->program.compiler, "test");
  std::span<const char> object = file->object(0);
  EXPECT_EQ(std::string(object.begin(), object.end()), "first object");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(object.data()) % 64, 0u);
  EXPECT_EQ(file->object(1).size(), 0u);
  std::filesystem::remove(path);
}

TEST(Artifact, everyCutAndEveryFlippedByteIsNoticed) {
  auto path = temporary("cut.ltca");
  ASSERT_TRUE(writeArtifact(tiny(), path));
  std::ifstream in(path, std::ios::binary);
  std::string good((std::istreambuf_iterator<char>(in)), {});
  for (size_t i = 0; i < good.size(); i += 3) {
    std::string bad = good;
    bad[i] ^= 0x41;
    std::ofstream(path, std::ios::binary) << bad;
    EXPECT_FALSE(ArtifactFile::open(path)) << "byte " << i;
    std::ofstream(path, std::ios::binary) << good.substr(0, i);
    EXPECT_FALSE(ArtifactFile::open(path)) << "cut at " << i;
  }
  std::filesystem::remove(path);
}

TEST(Artifact, bufferOutsideItsArenaIsRefused) {
  ArtifactT program = tiny();
  program.buffers[0]->bytes = 65;
  EXPECT_NE(messageFor(program).find("'w' ends outside the parameter arena"),
            std::string::npos);
}

TEST(Artifact, unknownKernelIsRefused) {
  ArtifactT program = tiny();
  auto phase = std::make_unique<PhaseT>();
  phase->name = "init";
  auto command = std::make_unique<CommandT>();
  command->segment = "layer.0";
  command->kernel = 3;
  phase->commands.push_back(std::move(command));
  program.phases.push_back(std::move(phase));
  EXPECT_NE(messageFor(program).find("names kernel 3 of 0"),
            std::string::npos);
}

TEST(Artifact, anArgumentThatLeavesItsBufferIsRefused) {
  ArtifactT program = tiny();
  auto kernel = std::make_unique<KernelT>();
  kernel->symbol = "k";
  kernel->arguments.emplace_back(60, true);
  program.kernels.push_back(std::move(kernel));
  auto phase = std::make_unique<PhaseT>();
  phase->name = "init";
  auto command = std::make_unique<CommandT>();
  command->segment = "layer.0";
  command->bindings.emplace_back(0, 4);
  phase->commands.push_back(std::move(command));
  program.phases.push_back(std::move(phase));
  EXPECT_EQ(messageFor(program), "");
  program.kernels[0]->arguments[0] = Argument(61, true);
  EXPECT_NE(messageFor(program).find("points outside buffer 'w'"),
            std::string::npos);
  program.kernels[0]->arguments.clear();
  EXPECT_NE(messageFor(program).find("binds 1 buffers; kernel k takes 0"),
            std::string::npos);
}

TEST(Artifact, parameterLargerThanItsBufferIsRefused) {
  ArtifactT program = tiny();
  auto parameter = std::make_unique<ParameterT>();
  parameter->name = "w";
  parameter->shape = {1 << 20, int64_t(1) << 60};
  program.parameters.push_back(std::move(parameter));
  EXPECT_NE(messageFor(program).find("impossible shape"), std::string::npos);
}

TEST(Artifact, aMoveThatLeavesItsTensorsIsRefused) {
  ArtifactT program = tiny();
  auto parameter = std::make_unique<ParameterT>();
  parameter->name = "w";
  parameter->shape = {2, 3};
  auto file = std::make_unique<FileTensorT>();
  file->name = "raw";
  file->shape = {3, 2};
  auto move = std::make_unique<MoveT>();
  move->sizes = {3, 2};
  move->from_steps = {2, 1};
  move->to_steps = {1, 3};
  file->moves.push_back(std::move(move));
  parameter->files.push_back(std::move(file));
  program.parameters.push_back(std::move(parameter));
  EXPECT_EQ(messageFor(program), "");
  MoveT &bad = *program.parameters[0]->files[0]->moves[0];
  auto refused = [&] {
    return messageFor(program).find("is not made of the file's tensor 'raw'") !=
           std::string::npos;
  };
  bad.to_steps = {2, 3};
  EXPECT_TRUE(refused());
  bad.to_steps = {1, 3};
  bad.from = 1;
  EXPECT_TRUE(refused());
  bad.from = 0;
  bad.sizes = {3, int64_t(1) << 62};
  EXPECT_TRUE(refused());
  bad.sizes = {3};
  EXPECT_TRUE(refused());
}
