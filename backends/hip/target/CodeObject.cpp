// SPDX-License-Identifier: Apache-2.0
// The metadata of a code object: a MessagePack map in an ELF note; keys:
// llvm.org/docs/AMDGPUUsage.html, "Code Object V5 Metadata".
#include "backends/hip/target/CodeObject.h"
#include "llvm/BinaryFormat/MsgPackDocument.h"
#include "llvm/Object/ELFObjectFile.h"

using namespace llvm;

namespace ltc::hip {

/// The note's bytes, or nothing.
static StringRef findMetadata(StringRef codeObject) {
  auto file = object::ELFFile<object::ELF64LE>::create(codeObject);
  if (!file) {
    consumeError(file.takeError());
    return {};
  }
  auto headers = file->program_headers();
  if (!headers) {
    consumeError(headers.takeError());
    return {};
  }
  StringRef found;
  for (const auto &header : *headers) {
    if (header.p_type != ELF::PT_NOTE)
      continue;
    Error problem = Error::success();
    for (const auto &note : file->notes(header, problem))
      if (note.getName() == "AMDGPU" &&
          note.getType() == ELF::NT_AMDGPU_METADATA)
        found = note.getDescAsStringRef(4);
    consumeError(std::move(problem));
  }
  return found;
}

std::vector<KernelUse> readUses(StringRef codeObject) {
  std::vector<KernelUse> uses;
  msgpack::Document document;
  if (!document.readFromBlob(findMetadata(codeObject), false) ||
      !document.getRoot().isMap())
    return uses;
  auto number = [](msgpack::MapDocNode &map, StringRef key) -> uint64_t {
    auto found = map.find(key);
    if (found == map.end() || found->second.getKind() != msgpack::Type::UInt)
      return 0;
    return found->second.getUInt();
  };
  msgpack::MapDocNode &root = document.getRoot().getMap();
  auto kernels = root.find("amdhsa.kernels");
  if (kernels == root.end() || !kernels->second.isArray())
    return uses;
  for (msgpack::DocNode &node : kernels->second.getArray()) {
    if (!node.isMap())
      continue;
    msgpack::MapDocNode &kernel = node.getMap();
    auto name = kernel.find(".name");
    if (name == kernel.end() || !name->second.isString())
      continue;
    KernelUse use;
    use.symbol = name->second.getString().str();
    use.registers = int(number(kernel, ".vgpr_count"));
    use.spillBytes = 4 * (number(kernel, ".vgpr_spill_count") +
                          number(kernel, ".sgpr_spill_count"));
    use.sharedBytes = number(kernel, ".group_segment_fixed_size");
    uses.push_back(use);
  }
  return uses;
}

} // namespace ltc::hip
