// SPDX-License-Identifier: Apache-2.0
#include "runtime/formats/SafetensorsHeader.h"
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

namespace ltc {

namespace {
struct Dtype {
  std::string_view name;
  int bits;
};
constexpr Dtype kDtypes[] = {
    {"BOOL", 8},        {"F4", 4},      {"F6_E2M3", 6},  {"F6_E3M2", 6},
    {"U8", 8},          {"I8", 8},      {"F8_E5M2", 8},  {"F8_E4M3", 8},
    {"F8_E8M0", 8},     {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8},
    {"I16", 16},        {"U16", 16},    {"F16", 16},     {"BF16", 16},
    {"I32", 32},        {"U32", 32},    {"F32", 32},     {"C64", 64},
    {"F64", 64},        {"I64", 64},    {"U64", 64}};

const Dtype *findDtype(std::string_view name) {
  for (const Dtype &dtype : kDtypes)
    if (dtype.name == name)
      return &dtype;
  return nullptr;
}

/// Follows the events of the header; `why` says what was wrong.
/// Depth 1: the header's object; 2: an entry or the metadata; 3: an array.
class Reader : public nlohmann::json_sax<nlohmann::json> {
public:
  SafetensorsHeader header;
  std::string why;

  bool key(string_t &name) override {
    if (depth == 1) {
      if (!names.insert(name).second)
        return refuse("the name '" + name + "' occurs twice");
      inMetadata = name == "__metadata__";
      entry = {};
      entry.name = name;
      field.clear();
      fields.clear();
      return true;
    }
    field = name;
    if (inMetadata)
      return header.metadata.count(name)
                 ? refuse("the metadata key '" + name + "' occurs twice")
                 : true;
    if (name != "dtype" && name != "shape" && name != "data_offsets")
      return refuse(who() + "unknown key '" + name + "'");
    if (!fields.insert(name).second)
      return refuse(who() + "'" + name + "' occurs twice");
    return true;
  }
  bool start_object(size_t) override {
    if (depth > 1)
      return refuse(who() + "an object where there should be none");
    ++depth;
    return true;
  }
  bool end_object() override {
    if (--depth == 0 || inMetadata)
      return true;
    if (fields.size() != 3 || offsets != 2)
      return refuse(who() + "needs dtype, shape and two data_offsets");
    offsets = 0;
    header.entries.push_back(std::move(entry));
    return true;
  }
  bool start_array(size_t) override {
    if (depth != 2 || inMetadata || field == "dtype")
      return refuse(who() + "an array where there should be none");
    depth = 3;
    return true;
  }
  bool end_array() override {
    depth = 2;
    return true;
  }
  bool string(string_t &text) override {
    if (depth == 2 && inMetadata) {
      header.metadata[field] = text;
      return true;
    }
    if (depth != 2 || field != "dtype")
      return refuse(who() + "a string where there should be none");
    const Dtype *dtype = findDtype(text);
    if (!dtype)
      return refuse(who() + "unknown dtype '" + text + "'");
    entry.dtype = dtype->name;
    return true;
  }
  bool number_unsigned(number_unsigned_t n) override {
    if (depth != 3)
      return refuse(who() + "a number where there should be none");
    if (field == "shape") {
      if (n > uint64_t(INT64_MAX) || entry.shape.size() >= 64)
        return refuse(who() + "its shape is impossible");
      entry.shape.push_back(int64_t(n));
      return true;
    }
    if (offsets >= 2)
      return refuse(who() + "more than two data_offsets");
    (offsets++ == 0 ? entry.begin : entry.end) = n;
    return true;
  }
  bool null() override { return refuse(who() + "null has no place here"); }
  bool boolean(bool) override {
    return refuse(who() + "a boolean has no place here");
  }
  bool number_integer(number_integer_t) override {
    return refuse(who() + "a negative number");
  }
  bool number_float(number_float_t, const string_t &text) override {
    return refuse(who() + text + " is no whole number in range");
  }
  bool binary(binary_t &) override { return refuse("binary data"); }
  bool parse_error(size_t at, const std::string &,
                   const nlohmann::json::exception &) override {
    return refuse("its header is not valid JSON at byte " +
                  std::to_string(at));
  }

private:
  bool refuse(std::string text) {
    if (why.empty())
      why = std::move(text);
    return false;
  }
  std::string who() const {
    return depth < 1 ? "" : "tensor '" + entry.name + "': ";
  }

  int depth = 0;
  bool inMetadata = false;
  int offsets = 0;
  SafetensorsEntry entry;
  std::string field;
  std::set<std::string> names, fields;
};
} // namespace

int dtypeBits(std::string_view dtype) {
  const Dtype *found = findDtype(dtype);
  return found ? found->bits : 0;
}

Result<uint64_t> tensorBytes(std::string_view dtype,
                             const std::vector<int64_t> &shape) {
  uint64_t bits = dtypeBits(dtype);
  if (bits == 0)
    return fail("unknown dtype '" + std::string(dtype) + "'");
  // Factors before a zero must not overflow either: the rule of the format.
  for (int64_t n : shape)
    if (n < 0 || __builtin_mul_overflow(bits, uint64_t(n), &bits))
      return fail("the product of its shape overflows");
  if (bits % 8 != 0)
    return fail("its size is no whole number of bytes");
  return bits / 8;
}

/// Entries in order of offset must tile the data exactly.
static Result<void> checkLayout(std::vector<SafetensorsEntry> &entries,
                                uint64_t dataBytes) {
  std::sort(entries.begin(), entries.end(),
            [](const SafetensorsEntry &a, const SafetensorsEntry &b) {
              return std::tie(a.begin, a.end, a.name) <
                     std::tie(b.begin, b.end, b.name);
            });
  uint64_t end = 0;
  for (const SafetensorsEntry &entry : entries) {
    std::string who = "tensor '" + entry.name + "': ";
    if (entry.begin != end || entry.end < entry.begin)
      return fail(who + "its bytes are " + std::to_string(entry.begin) +
                  " to " + std::to_string(entry.end) + ", but byte " +
                  std::to_string(end) + " is the first free one");
    auto bytes = tensorBytes(entry.dtype, entry.shape);
    if (!bytes)
      return fail(who + bytes.error().message);
    if (*bytes != entry.end - entry.begin)
      return fail(who + "has " + std::to_string(entry.end - entry.begin) +
                  " bytes, but its shape needs " + std::to_string(*bytes));
    end = entry.end;
  }
  if (end != dataBytes)
    return fail("its tensors need " + std::to_string(end) +
                " bytes of data, but it has " + std::to_string(dataBytes));
  return {};
}

Result<SafetensorsHeader> parseSafetensorsHeader(std::string_view text,
                                                 uint64_t dataBytes) {
  if (text.empty() || text[0] != '{')
    return fail("its header does not begin with {");
  // Only spaces may follow the object.
  size_t last = text.find_last_not_of(' ');
  if (text[last] != '}')
    return fail("something follows its header's closing }");
  Reader reader;
  if (!nlohmann::json::sax_parse(text.substr(0, last + 1), &reader))
    return fail(reader.why.empty() ? "its header is not valid" : reader.why);
  LTC_TRY(checkLayout(reader.header.entries, dataBytes));
  return std::move(reader.header);
}

} // namespace ltc
