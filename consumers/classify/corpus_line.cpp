#include "consumers/classify/corpus_line.h"

#include "consumers/jsonl/text.h"
#include "model/formats/json.h"

namespace inference::classify {

LineText text_of_line(const jsonl::Line& line, const LineFields& fields) {
  const auto skip = [](std::string reason) { return LineText{std::nullopt, std::move(reason)}; };
  if (line.too_long)
    return skip("longer than " + std::to_string(jsonl::LineReader::kLongest >> 20) + " MiB");
  if (line.text.find_first_not_of(" \t\r") == std::string_view::npos) return skip("empty");
  const auto json = model::parse_json(line.text, {}, {.keep_duplicate_keys = true});
  if (!json) return skip(json.error().message);
  if (!json->is_object()) return skip("no JSON object");
  const std::string* text = nullptr;
  bool found = false;
  for (const auto& [key, value] : *json->as_object()) {
    if (key == fields.added || (!fields.probability.empty() && key == fields.probability))
      return skip("has a field \"" + key + "\" already");
    if (key != fields.prompt) continue;
    if (found) return skip("has the field \"" + key + "\" twice");
    found = true;
    text = value.as_string();
  }
  if (!found) return skip("no field \"" + fields.prompt + "\"");
  if (text == nullptr) return skip("the field \"" + fields.prompt + "\" is no string");
  return {*text, {}};
}

std::string classified_line(std::string_view line, const LineFields& fields, std::string_view label,
                            double probability) {
  std::string out = jsonl::with_member(line, fields.added, jsonl::json_string(label));
  if (probability >= 0 && !fields.probability.empty())
    out = jsonl::with_member(out, fields.probability, jsonl::json_number(probability));
  return out += '\n';
}

std::optional<std::string> label_in(std::string_view classified, std::string_view line,
                                    const LineFields& fields) {
  const auto json = model::parse_json(classified, {}, {.keep_duplicate_keys = true});
  if (!json) return std::nullopt;
  const model::Json* label = json->find(fields.added);
  if (label == nullptr || label->as_string() == nullptr) return std::nullopt;
  double probability = -1;
  if (!fields.probability.empty()) {
    const model::Json* value = json->find(fields.probability);
    if (value == nullptr || !value->as_double()) return std::nullopt;
    probability = *value->as_double();
  }
  std::string made = classified_line(line, fields, *label->as_string(), probability);
  made.pop_back();
  if (made != classified) return std::nullopt;
  return *label->as_string();
}

}  // namespace inference::classify
