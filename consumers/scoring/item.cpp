#include "consumers/scoring/item.h"

#include <cmath>
#include <set>

#include "consumers/jsonl/line_reader.h"
#include "consumers/scoring/answer.h"
#include "consumers/scoring/json_tools.h"

namespace inference::scoring {
namespace {

struct TextField {
  const char* name;
  std::string Item::* target;
};
constexpr TextField kTextFields[] = {
    {"id", &Item::id},
    {"domain", &Item::domain},
    {"prompt", &Item::prompt},
    {"model", &Item::model},
    {"correct_answer", &Item::correct_answer},
    {"best_answer", &Item::best_answer},
    {"risk_area", &Item::risk_area},
    {"check", &Item::check},
};

const TextField* text_field(std::string_view name) {
  for (const TextField& field : kTextFields)
    if (name == field.name) return &field;
  return nullptr;
}

/// Ids and right answers are often numbers.
std::optional<std::string> text_or_number(const JsonValue& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number()) return value.dump();
  if (value.is_null()) return std::string();
  return std::nullopt;
}

Status read_member(const std::string& key, const JsonValue& value, const std::string& where,
                   Item& out, JsonValue& extra) {
  const auto refuse = [&](const char* expected) {
    return fail(ErrorCode::corrupt_data, "\"" + key + "\" is no " + expected, where);
  };
  if (const TextField* field = text_field(key)) {
    auto text = text_or_number(value);
    if (!text) return refuse("text");
    out.*(field->target) = std::move(*text);
  } else if (key == "response") {
    if (value.is_null()) return {};
    if (!value.is_string()) return refuse("text");
    out.response = value.get<std::string>();
  } else if (key == "elapsed_seconds") {
    if (value.is_null()) return {};
    if (!value.is_number() || !std::isfinite(value.get<double>())) return refuse("number");
    out.elapsed_seconds = value.get<double>();
  } else if (key == "choices") {
    if (!value.is_array()) return refuse("list of texts");
    for (const JsonValue& choice : value) {
      auto text = text_or_number(choice);
      if (!text || choice.is_null()) return refuse("list of texts");
      out.choices.push_back(std::move(*text));
    }
  } else {
    extra[key] = value;
  }
  return {};
}

}  // namespace

std::uint64_t fingerprint(std::string_view bytes, std::uint64_t before) noexcept {
  constexpr std::uint64_t kPrime = 0x100000001b3U;
  for (const char byte : bytes) before = (before ^ static_cast<unsigned char>(byte)) * kPrime;
  return before;
}

Result<Item> parse_item(std::string_view line, std::uint64_t number, const std::string& source) {
  const std::string where = source + ": line " + std::to_string(number);
  const auto object = parse_object(line, where);
  if (!object) return std::unexpected(object.error());
  Item out;
  JsonValue extra = JsonValue::object();
  for (const auto& member : object->items())
    if (Status ok = read_member(member.key(), member.value(), where, out, extra); !ok)
      return std::unexpected(ok.error());
  if (out.prompt.empty() && !out.response)
    return fail(ErrorCode::corrupt_data, "there is neither a \"prompt\" nor a \"response\"", where);
  if (out.id.empty()) out.id = std::to_string(number);
  out.extra = to_line(extra);
  return out;
}

Result<ItemFile> read_items(const std::string& path) {
  auto reader = jsonl::LineReader::open(path);
  if (!reader) return std::unexpected(reader.error());
  ItemFile out;
  out.fingerprint = fingerprint("");
  std::set<std::pair<std::string, std::string>> seen;
  while (true) {
    auto line = reader->next();
    if (!line) return std::unexpected(line.error());
    if (!line->has_value()) return out;
    if ((*line)->too_long)
      return fail(ErrorCode::invalid_argument,
                  "line " + std::to_string((*line)->number) + " is longer than 64 MiB", path);
    out.fingerprint = fingerprint("\n", fingerprint((*line)->text, out.fingerprint));
    if (trimmed((*line)->text).empty()) continue;
    auto item = parse_item((*line)->text, (*line)->number, path);
    if (!item) return std::unexpected(item.error());
    if (!seen.emplace(item->model, item->id).second)
      return fail(ErrorCode::corrupt_data,
                  "line " + std::to_string((*line)->number) + ": the id \"" + item->id +
                      "\" was there before",
                  path);
    out.items.push_back(std::move(*item));
  }
}

}  // namespace inference::scoring
