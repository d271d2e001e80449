// Writing safetensors: the header is small and regular enough to be written by hand.
#include <cstring>

#include "model/formats/checked.h"
#include "model/formats/safetensors.h"
#include "platform/system.h"

namespace inference::model {
namespace {

constexpr std::size_t kHeaderAlignment =
    8;  // the data begins at a multiple, as the reference writes it

void append_string(std::string& out, std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

void append_tensor(std::string& out, const SafetensorsEntry& entry, std::uint64_t begin) {
  append_string(out, entry.name);
  out += ":{\"dtype\":";
  append_string(out, to_string(entry.dtype));
  out += ",\"shape\":[";
  for (std::size_t i = 0; i < entry.shape.size(); ++i)
    out += (i == 0 ? "" : ",") + std::to_string(entry.shape[i]);
  out += "],\"data_offsets\":[" + std::to_string(begin) + ',' +
         std::to_string(begin + entry.bytes.size()) + "]}";
}

}  // namespace

Status write_safetensors(const std::string& path, std::span<const SafetensorsEntry> entries,
                         const std::map<std::string, std::string>& metadata) {
  std::string header = "{";
  if (!metadata.empty()) {
    header += "\"__metadata__\":{";
    for (bool first = true; const auto& [key, value] : metadata) {
      if (!first) header += ',';
      first = false;
      append_string(header, key);
      header += ':';
      append_string(header, value);
    }
    header += '}';
  }
  std::uint64_t data_bytes = 0;
  for (const SafetensorsEntry& entry : entries) {
    const DTypeInfo* type = dtype_info(entry.dtype);
    if (type == nullptr || type->quantized ||
        tensor_bytes(*type, entry.shape) != entry.bytes.size())
      return fail(ErrorCode::invalid_argument,
                  "safetensors: tensor " + quote_name(entry.name) + " cannot be written: " +
                      std::to_string(entry.bytes.size()) + " bytes do not match its type and shape",
                  path);
    if (header.size() > 1) header += ',';
    append_tensor(header, entry, data_bytes);
    data_bytes += entry.bytes.size();
  }
  header += '}';
  header.resize((header.size() + kHeaderAlignment - 1) / kHeaderAlignment * kHeaderAlignment, ' ');

  const std::uint64_t header_bytes = header.size();
  std::vector<std::byte> file(sizeof header_bytes + header.size() + data_bytes);
  std::memcpy(file.data(), &header_bytes, sizeof header_bytes);
  std::memcpy(file.data() + sizeof header_bytes, header.data(), header.size());
  std::byte* out = file.data() + sizeof header_bytes + header.size();
  for (const SafetensorsEntry& entry : entries) {
    if (!entry.bytes.empty()) std::memcpy(out, entry.bytes.data(), entry.bytes.size());
    out += entry.bytes.size();
  }
  return platform::write_file_atomically(path, file.data(), file.size());
}

}  // namespace inference::model
