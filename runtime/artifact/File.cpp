// SPDX-License-Identifier: Apache-2.0
#include "runtime/artifact/File.h"
#include <cstring>

namespace ltc {
using namespace artifact;

namespace {
constexpr char kTrailerMagic[8] = {'L', 'T', 'C', 'A', 'E', 'N', 'D', '1'};
struct Trailer {
  uint64_t tableSize;
  uint64_t hash;
  char magic[8];
};
static_assert(sizeof(Trailer) == 24);
} // namespace

static uint64_t alignUp(uint64_t n) { return (n + 63) / 64 * 64; }

/// The FlatBuffer alone: bytes left out, offsets as the table says.
static flatbuffers::DetachedBuffer pack(const ArtifactT &table) {
  flatbuffers::FlatBufferBuilder builder(1 << 16);
  FinishArtifactBuffer(builder, Artifact::Pack(builder, &table));
  return builder.Release();
}

Result<void> writeArtifact(const ArtifactT &program,
                           const std::filesystem::path &path) {
  ArtifactT table = program;
  table.version = kArtifactVersion;
  uint64_t blobBytes = 0;
  for (auto &object : table.objects) {
    object->size = object->bytes.size();
    object->bytes.clear();
    // Never zero, so that packing keeps the field and the size with it.
    object->offset = 64 + blobBytes;
    blobBytes += alignUp(object->size);
  }
  uint64_t start = alignUp(pack(table).size());
  for (auto &object : table.objects)
    object->offset += start - 64;
  flatbuffers::DetachedBuffer buffer = pack(table);
  if (alignUp(buffer.size()) != start)
    return fail("artifact: the table's size changed while it was written; "
                "please report this");
  std::vector<char> body(start + blobBytes + sizeof(Trailer), 0);
  std::memcpy(body.data(), buffer.data(), buffer.size());
  for (size_t i = 0; i < table.objects.size(); ++i)
    if (table.objects[i]->size)
      std::memcpy(body.data() + table.objects[i]->offset,
                  program.objects[i]->bytes.data(), table.objects[i]->size);
  Trailer trailer{buffer.size(), hashBytes({body.data(), start + blobBytes}),
                  {}};
  std::memcpy(trailer.magic, kTrailerMagic, sizeof kTrailerMagic);
  std::memcpy(body.data() + start + blobBytes, &trailer, sizeof trailer);
  return writeFile(path, std::string_view(body.data(), body.size()));
}

/// The trailer of a file whose bytes are whole, or why they are not.
static Result<Trailer> checkWhole(std::span<const char> bytes,
                                  const std::string &name) {
  Trailer trailer;
  if (bytes.size() < sizeof trailer + 8 ||
      std::memcmp(bytes.data() + 4, ArtifactIdentifier(), 4) != 0)
    return fail(name + " is not an ltc artifact; make one with: ltc compile");
  size_t end = bytes.size() - sizeof trailer;
  std::memcpy(&trailer, bytes.data() + end, sizeof trailer);
  if (std::memcmp(trailer.magic, kTrailerMagic, sizeof kTrailerMagic) != 0 ||
      trailer.tableSize > end)
    return fail(name + " is cut off (its trailer is missing); compile again");
  if (hashBytes(bytes.first(end)) != trailer.hash)
    return fail(name + " is damaged: its bytes do not match their hash " +
                hexHash(trailer.hash) + "; compile again");
  return trailer;
}

Result<ArtifactFile> ArtifactFile::open(const std::filesystem::path &path) {
  ArtifactFile result;
  LTC_ASSIGN(result.file, MappedFile::open(path));
  std::span<const char> bytes = result.file.bytes();
  LTC_ASSIGN(Trailer trailer, checkWhole(bytes, path.string()));
  auto *data = reinterpret_cast<const uint8_t *>(bytes.data());
  flatbuffers::Verifier verifier(data, trailer.tableSize, /*max_depth=*/64,
                                 /*max_tables=*/100'000'000);
  if (!VerifyArtifactBuffer(verifier))
    return fail(path.string() + ": its table is not well formed; compile "
                                "again with this version of ltc");
  const Artifact *table = GetArtifact(data);
  if (table->version() < kOldestArtifactVersion ||
      table->version() > kArtifactVersion)
    return fail(path.string() + " has format version " +
                std::to_string(table->version()) + ", this ltc reads " +
                std::to_string(kOldestArtifactVersion) + " to " +
                std::to_string(kArtifactVersion) + "; compile again");
  table->UnPackTo(&result.program);
  result.hash = trailer.hash;
  if (auto checked =
          checkArtifact(result.program, bytes.size() - sizeof trailer);
      !checked)
    return fail(path.string() + ": " + checked.error().message);
  return result;
}

} // namespace ltc
