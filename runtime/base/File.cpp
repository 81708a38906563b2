// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/File.h"
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace fs = std::filesystem;
namespace ltc {

static Error failAt(const fs::path &path, const char *what) {
  return fail(path.string() + ": " + what + ": " + std::strerror(errno));
}

namespace {
/// Closes the descriptor when the scope ends.
struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0)
      ::close(fd);
  }
};
} // namespace

Result<MappedFile> MappedFile::open(const fs::path &path) {
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0)
    return failAt(path, "cannot be opened");
  struct stat info;
  if (::fstat(file.fd, &info) != 0)
    return failAt(path, "cannot be examined");
  if (!S_ISREG(info.st_mode))
    return fail(path.string() + ": is not a regular file");
  MappedFile result;
  if (info.st_size == 0)
    return result;
  void *data =
      ::mmap(nullptr, info.st_size, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (data == MAP_FAILED)
    return failAt(path, "cannot be mapped");
  result.data = static_cast<const char *>(data);
  result.size = info.st_size;
  return result;
}

MappedFile::MappedFile(MappedFile &&other) noexcept
    : data(std::exchange(other.data, nullptr)),
      size(std::exchange(other.size, 0)) {}

MappedFile &MappedFile::operator=(MappedFile &&other) noexcept {
  std::swap(data, other.data);
  std::swap(size, other.size);
  return *this;
}

MappedFile::~MappedFile() {
  if (data)
    ::munmap(const_cast<char *>(data), size);
}

namespace {
/// xxh3-64 of bytes that come in pieces.
class Hasher {
public:
  Hasher() : state(XXH3_createState(), XXH3_freeState) {
    XXH3_64bits_reset(state.get());
  }
  void add(std::span<const char> bytes) {
    XXH3_64bits_update(state.get(), bytes.data(), bytes.size());
    facts.bytes += bytes.size();
  }
  FileFacts finish() {
    facts.hash = XXH3_64bits_digest(state.get());
    return facts;
  }

private:
  std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t *)> state;
  FileFacts facts;
};
} // namespace

struct FileWriter::State {
  fs::path path, temporary;
  Descriptor file;
  Hasher hasher;
  bool finished = false;
  ~State() {
    if (!finished && file.fd >= 0)
      ::unlink(temporary.c_str());
  }
};

FileWriter::FileWriter(std::unique_ptr<State> state)
    : state(std::move(state)) {}
FileWriter::FileWriter(FileWriter &&) noexcept = default;
FileWriter::~FileWriter() = default;

Result<FileWriter> FileWriter::create(const fs::path &path) {
  fs::path temporary = path;
  temporary += ".tmp" + std::to_string(::getpid());
  int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
                  0644);
  if (fd < 0)
    return failAt(temporary, "cannot be created");
  return FileWriter(
      std::unique_ptr<State>(new State{path, temporary, {fd}, {}, false}));
}

Result<void> FileWriter::write(std::span<const char> bytes) {
  state->hasher.add(bytes);
  while (!bytes.empty()) {
    ssize_t n = ::write(state->file.fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return failAt(state->path, "cannot be written");
    bytes = bytes.subspan(n);
  }
  return {};
}

Result<FileFacts> FileWriter::finish() {
  if (::fsync(state->file.fd) != 0 ||
      ::rename(state->temporary.c_str(), state->path.c_str()) != 0)
    return failAt(state->path, "cannot be written");
  state->finished = true;
  LTC_TRY(syncFolder(state->path.parent_path()));
  return state->hasher.finish();
}

Result<FileFacts> examineFile(const fs::path &path) {
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0)
    return failAt(path, "cannot be opened");
  Hasher hasher;
  std::vector<char> buffer(1 << 18);
  for (;;) {
    ssize_t n = ::read(file.fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return failAt(path, "cannot be read");
    if (n == 0)
      return hasher.finish();
    hasher.add({buffer.data(), size_t(n)});
  }
}

Result<void> writeFile(const fs::path &path,
                       std::span<const std::span<const char>> pieces) {
  LTC_ASSIGN(FileWriter file, FileWriter::create(path));
  for (std::span<const char> piece : pieces)
    LTC_TRY(file.write(piece));
  LTC_TRY(file.finish());
  return {};
}

Result<void> writeFile(const fs::path &path, std::string_view text) {
  std::span<const char> piece(text.data(), text.size());
  return writeFile(path, std::span<const std::span<const char>>(&piece, 1));
}

Result<void> syncFolder(const fs::path &folder) {
  fs::path name = folder.empty() ? fs::path(".") : folder;
  Descriptor file{::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (file.fd < 0)
    return failAt(name, "cannot be opened");
  // Some file systems have no sync of folders; there is nothing to do then.
  if (::fsync(file.fd) != 0 && errno != EINVAL && errno != ENOTSUP)
    return failAt(name, "cannot be synced");
  return {};
}

uint64_t hashBytes(std::span<const char> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

std::string hexHash(uint64_t hash) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx",
                static_cast<unsigned long long>(hash));
  return text;
}

} // namespace ltc
