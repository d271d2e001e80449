// Hyper-parameters of a model, from config.json or from GGUF metadata, checked as they are read.
#pragma once

#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "inference/error.h"
#include "model/formats/gguf.h"
#include "model/formats/json.h"

namespace inference::engine {

/// One parameter's name in both forms; empty where a form does not have it. GGUF names are without
/// the architecture's prefix.
struct Key {
  std::string_view json;
  std::string_view gguf;
};

/// Keeps the first error: read everything, then ask status() once.
class ConfigReader {
 public:
  /// `config` and `file` must outlive the reader.
  ConfigReader(const model::Json& config, std::string source);
  ConfigReader(const model::GgufFile& file, std::string architecture);

  bool is_gguf() const { return file_ != nullptr; }
  const std::string& source() const { return source_; }
  const model::GgufFile* file() const { return file_; }
  /// The JSON object read from (null for GGUF), or a member object of it.
  const model::Json* json() const { return json_; }

  bool has(Key key) const;
  /// A value in [least, most]; a missing one is an error.
  int integer(Key key, int least, int most);
  int integer_or(Key key, int fallback, int least, int most);
  /// Finite and in [least, most].
  float number(Key key, float least, float most);
  float number_or(Key key, float fallback, float least, float most);
  bool flag_or(Key key, bool fallback);
  std::string text_or(Key key, std::string fallback);
  /// Empty when missing.
  std::vector<float> numbers(Key key);
  std::vector<std::string> texts(Key key);

  /// A reader of a member object (JSON only); empty if there is none.
  std::optional<ConfigReader> member(std::string_view name) const;

  void refuse(ErrorCode code, std::string message);
  const Status& status() const { return status_; }

 private:
  const model::Json* find_json(std::string_view key) const;
  const model::GgufValue* find_gguf(std::string_view key) const;
  std::string name_of(Key key) const;
  std::optional<double> number_value(Key key);
  std::optional<std::int64_t> integer_value(Key key);

  const model::Json* json_ = nullptr;
  const model::GgufFile* file_ = nullptr;
  std::string prefix_;
  std::string source_;
  Status status_;
};

}  // namespace inference::engine
