#include "engine/arch/config_reader.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "model/formats/checked.h"

namespace inference::engine {
namespace {

std::string show(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

}  // namespace

ConfigReader::ConfigReader(const model::Json& config, std::string source)
    : json_(&config), source_(std::move(source)) {}

ConfigReader::ConfigReader(const model::GgufFile& file, std::string architecture)
    : file_(&file), prefix_(std::move(architecture) + "."), source_(file.path()) {}

const model::Json* ConfigReader::find_json(std::string_view key) const {
  if (json_ == nullptr || key.empty()) return nullptr;
  const model::Json* value = json_->find(key);
  return value != nullptr && !value->is_null() ? value : nullptr;
}

const model::GgufValue* ConfigReader::find_gguf(std::string_view key) const {
  if (file_ == nullptr || key.empty()) return nullptr;
  return file_->get(prefix_ + std::string(key));
}

std::string ConfigReader::name_of(Key key) const {
  return is_gguf() ? prefix_ + std::string(key.gguf) : std::string(key.json);
}

bool ConfigReader::has(Key key) const {
  return find_json(key.json) != nullptr || find_gguf(key.gguf) != nullptr;
}

void ConfigReader::refuse(ErrorCode code, std::string message) {
  if (status_) status_ = fail(code, std::move(message), source_);
}

std::optional<std::int64_t> ConfigReader::integer_value(Key key) {
  if (const model::Json* value = find_json(key.json)) {
    const auto number = value->as_integer();
    if (!number) refuse(ErrorCode::corrupt_data, name_of(key) + " is no integer");
    return number;
  }
  const model::GgufValue* value = find_gguf(key.gguf);
  if (value == nullptr) return std::nullopt;
  if (const model::GgufArray* array = value->as_array()) {
    // Some files give a value per layer; layers that differ are another kind of model.
    const auto all = array->integers();
    if (!all || all->empty()) {
      refuse(ErrorCode::corrupt_data, name_of(key) + " is no integer");
      return std::nullopt;
    }
    if (std::ranges::any_of(*all, [&](auto v) { return v != all->front(); })) {
      refuse(ErrorCode::unsupported, name_of(key) + " differs between layers");
      return std::nullopt;
    }
    return all->front();
  }
  const auto number = value->as_integer();
  if (!number) refuse(ErrorCode::corrupt_data, name_of(key) + " is no integer that fits 63 bits");
  return number;
}

std::optional<double> ConfigReader::number_value(Key key) {
  if (const model::Json* value = find_json(key.json)) {
    const auto number = value->as_double();
    if (!number) refuse(ErrorCode::corrupt_data, name_of(key) + " is no number");
    return number;
  }
  const model::GgufValue* value = find_gguf(key.gguf);
  if (value == nullptr) return std::nullopt;
  const auto number = value->as_float();
  if (!number) refuse(ErrorCode::corrupt_data, name_of(key) + " is no number");
  return number;
}

int ConfigReader::integer(Key key, int least, int most) {
  if (!has(key)) {
    refuse(ErrorCode::corrupt_data, name_of(key) + " is missing");
    return least;
  }
  return integer_or(key, least, least, most);
}

int ConfigReader::integer_or(Key key, int fallback, int least, int most) {
  const auto value = integer_value(key);
  if (!value) return fallback;
  if (*value < least || *value > most) {
    refuse(ErrorCode::corrupt_data, name_of(key) + " is " + std::to_string(*value) +
                                        ", allowed are " + std::to_string(least) + " to " +
                                        std::to_string(most));
    return fallback;
  }
  return static_cast<int>(*value);
}

float ConfigReader::number(Key key, float least, float most) {
  if (!has(key)) {
    refuse(ErrorCode::corrupt_data, name_of(key) + " is missing");
    return least;
  }
  return number_or(key, least, least, most);
}

float ConfigReader::number_or(Key key, float fallback, float least, float most) {
  const auto value = number_value(key);
  if (!value) return fallback;
  const auto narrowed = static_cast<float>(*value);
  if (!std::isfinite(narrowed) || narrowed < least || narrowed > most) {
    refuse(ErrorCode::corrupt_data, name_of(key) + " is " + show(*value) + ", allowed are " +
                                        show(least) + " to " + show(most));
    return fallback;
  }
  return narrowed;
}

bool ConfigReader::flag_or(Key key, bool fallback) {
  std::optional<bool> value;
  if (const model::Json* json = find_json(key.json)) {
    value = json->as_bool();
  } else if (const model::GgufValue* gguf = find_gguf(key.gguf)) {
    value = gguf->as_bool();
  } else {
    return fallback;
  }
  if (!value) refuse(ErrorCode::corrupt_data, name_of(key) + " is no boolean");
  return value.value_or(fallback);
}

std::string ConfigReader::text_or(Key key, std::string fallback) {
  if (const model::Json* json = find_json(key.json)) {
    if (json->as_string() != nullptr) return *json->as_string();
    refuse(ErrorCode::corrupt_data, name_of(key) + " is no string");
  } else if (const model::GgufValue* gguf = find_gguf(key.gguf)) {
    if (const auto text = gguf->as_string()) return std::string(*text);
    refuse(ErrorCode::corrupt_data, name_of(key) + " is no string");
  }
  return fallback;
}

std::vector<float> ConfigReader::numbers(Key key) {
  std::vector<float> out;
  if (const model::Json* json = find_json(key.json)) {
    const model::Json::Array* list = json->as_array();
    if (list == nullptr) refuse(ErrorCode::corrupt_data, name_of(key) + " is no list");
    for (const model::Json& entry : list != nullptr ? *list : model::Json::Array{}) {
      if (!entry.as_double())
        refuse(ErrorCode::corrupt_data, name_of(key) + " has an entry that is no number");
      out.push_back(static_cast<float>(entry.as_double().value_or(0)));
    }
  } else if (const model::GgufValue* gguf = find_gguf(key.gguf)) {
    const auto values = gguf->as_array() != nullptr ? gguf->as_array()->floats() : std::nullopt;
    if (!values) refuse(ErrorCode::corrupt_data, name_of(key) + " is no list of numbers");
    for (const double value : values.value_or(std::vector<double>{}))
      out.push_back(static_cast<float>(value));
  }
  return out;
}

std::vector<std::string> ConfigReader::texts(Key key) {
  std::vector<std::string> out;
  const model::Json* json = find_json(key.json);
  if (json == nullptr) return out;
  const model::Json::Array* list = json->as_array();
  if (list == nullptr) refuse(ErrorCode::corrupt_data, name_of(key) + " is no list");
  for (const model::Json& entry : list != nullptr ? *list : model::Json::Array{}) {
    if (entry.as_string() == nullptr)
      refuse(ErrorCode::corrupt_data, name_of(key) + " has an entry that is no string");
    out.push_back(entry.as_string() != nullptr ? *entry.as_string() : std::string());
  }
  return out;
}

std::optional<ConfigReader> ConfigReader::member(std::string_view name) const {
  const model::Json* value = find_json(name);
  if (value == nullptr || !value->is_object()) return std::nullopt;
  return ConfigReader(*value, source_);
}

}  // namespace inference::engine
