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

static bool writeAll(int fd, std::span<const char> bytes) {
  while (!bytes.empty()) {
    ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return false;
    bytes = bytes.subspan(n);
  }
  return true;
}

Result<void> writeFile(const fs::path &path,
                       std::span<const std::span<const char>> pieces) {
  fs::path temporary = path;
  temporary += ".tmp" + std::to_string(::getpid());
  Descriptor file{::open(temporary.c_str(),
                         O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
  if (file.fd < 0)
    return failAt(temporary, "cannot be created");
  for (std::span<const char> piece : pieces) {
    if (writeAll(file.fd, piece))
      continue;
    Error error = failAt(path, "cannot be written");
    ::unlink(temporary.c_str());
    return error;
  }
  if (::fsync(file.fd) != 0 ||
      ::rename(temporary.c_str(), path.c_str()) != 0) {
    Error error = failAt(path, "cannot be written");
    ::unlink(temporary.c_str());
    return error;
  }
  return syncFolder(path.parent_path());
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
