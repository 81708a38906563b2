// SPDX-License-Identifier: Apache-2.0
// Files of a glob, mapped read-only.
#pragma once
#include <algorithm>
#include <fcntl.h>
#include <glob.h>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace ltc::sdk {

/// Regular files that match, sorted by name. Throws if there is none.
inline std::vector<std::string> filesOf(const std::string &pattern) {
  glob_t found = {};
  int code = ::glob(pattern.c_str(), 0, nullptr, &found);
  std::vector<std::string> files;
  for (size_t i = 0; code == 0 && i < found.gl_pathc; ++i) {
    struct stat info;
    if (!::stat(found.gl_pathv[i], &info) && S_ISREG(info.st_mode))
      files.push_back(found.gl_pathv[i]);
  }
  ::globfree(&found);
  if (files.empty())
    throw std::runtime_error("no file matches " + pattern);
  std::sort(files.begin(), files.end());
  return files;
}

class Mapping {
public:
  explicit Mapping(const std::string &path) {
    int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (file < 0 || ::fstat(file, &info))
      throw std::runtime_error("cannot read " + path);
    size = info.st_size;
    if (size)
      data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
    ::close(file);
    if (data == MAP_FAILED)
      throw std::runtime_error("cannot map " + path);
  }
  Mapping(Mapping &&other) noexcept : data(other.data), size(other.size) {
    other.data = nullptr;
    other.size = 0;
  }
  ~Mapping() {
    if (size)
      ::munmap(data, size);
  }
  std::string_view bytes() const {
    return {static_cast<const char *>(data), size};
  }

private:
  void *data = nullptr;
  size_t size = 0;
};

} // namespace ltc::sdk
