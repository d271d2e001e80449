#include "consumers/scoring/judge/reply.h"

#include <charconv>
#include <optional>

#include "consumers/scoring/answer.h"
#include "consumers/scoring/json_tools.h"

namespace inference::scoring {
namespace {

constexpr int kMostObjects = 64;
constexpr std::size_t kLongestObject = std::size_t{64} << 10;

/// The end of the object that begins here; npos where it does not end.
std::size_t object_end(std::string_view text, std::size_t begin) {
  int depth = 0;
  bool in_string = false;
  const std::size_t limit = std::min(text.size(), begin + kLongestObject);
  for (std::size_t at = begin; at < limit; ++at) {
    const char c = text[at];
    if (in_string) {
      if (c == '\\') ++at;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{') {
      ++depth;
    } else if (c == '}' && --depth == 0) {
      return at + 1;
    }
  }
  return std::string_view::npos;
}

std::optional<double> number_of(const JsonValue& value, const Rubric& rubric) {
  if (value.is_number()) return value.get<double>();
  if (!value.is_string()) return std::nullopt;
  const std::string_view text = trimmed(value.get_ref<const std::string&>());
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  const std::string_view rest(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (!rest.empty() && rest != "/" + std::to_string(rubric.highest)) return std::nullopt;
  return number;
}

enum class Fault : std::uint8_t { no_object, missing, off_scale };

/// Keeps the fault that came closest to a usable reply.
std::optional<std::vector<double>> values_of(const JsonValue& object, const Rubric& rubric,
                                             Fault& fault) {
  std::vector<double> out;
  for (const std::string& dimension : rubric.dimensions) {
    const auto found = object.find(dimension);
    const auto number = found == object.end() ? std::nullopt : number_of(*found, rubric);
    if (!number) {
      fault = std::max(fault, Fault::missing);
      return std::nullopt;
    }
    if (!(*number >= rubric.lowest && *number <= rubric.highest)) {
      fault = Fault::off_scale;
      return std::nullopt;
    }
    out.push_back(*number);
  }
  return out;
}

}  // namespace

Result<std::vector<double>> read_reply(std::string_view reply, const Rubric& rubric) {
  const std::string text = without_thoughts(reply);
  Fault fault = Fault::no_object;
  int tried = 0;
  for (std::size_t at = text.find('{'); at != std::string::npos && tried < kMostObjects;
       at = text.find('{', at + 1), ++tried) {
    const std::size_t end = object_end(text, at);
    if (end == std::string::npos) continue;
    const auto object = parse_object(std::string_view(text).substr(at, end - at), "reply");
    if (!object) continue;
    if (auto values = values_of(*object, rubric, fault)) return *values;
    for (const auto& member : object->items())
      if (member.value().is_object())
        if (auto values = values_of(member.value(), rubric, fault)) return *values;
  }
  switch (fault) {
    case Fault::no_object:
      return fail(ErrorCode::corrupt_data, "the reply has no JSON object", "judge");
    case Fault::missing:
      return fail(ErrorCode::corrupt_data, "the reply's JSON lacks a number that was asked for",
                  "judge");
    case Fault::off_scale:
      break;
  }
  return fail(ErrorCode::corrupt_data,
              "the reply has a number beyond " + std::to_string(rubric.lowest) + " to " +
                  std::to_string(rubric.highest),
              "judge");
}

}  // namespace inference::scoring
