#include "consumers/scoring/judge/rubric.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <sstream>

#include "consumers/scoring/answer.h"
#include "consumers/scoring/data_files.h"
#include "consumers/scoring/item.h"

namespace inference::scoring {
namespace {

constexpr std::array<std::string_view, 6> kNames = {"semantic",      "content", "truthfulqa",
                                                    "do_not_answer", "toxigen", "pairwise"};
constexpr std::string_view kSeparator = "\n---\n";
constexpr int kHighestScale = 1000;

bool is_name(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

Status read_header(std::string_view key, const std::string& value, const std::string& source,
                   Rubric& out) {
  std::istringstream words(value);
  if (key == "name") {
    out.name = value;
  } else if (key == "scale") {
    if (!(words >> out.lowest >> out.highest) || !(words >> std::ws).eof() || out.lowest < 0 ||
        out.lowest >= out.highest || out.highest > kHighestScale)
      return fail(ErrorCode::corrupt_data, "scale is LOW HIGH, 0 to 1000, not \"" + value + "\"",
                  source);
  } else if (key == "dimensions") {
    for (std::string word; words >> word;) {
      if (!is_name(word) || std::ranges::find(out.dimensions, word) != out.dimensions.end())
        return fail(ErrorCode::corrupt_data,
                    "\"" + word + "\" is no name of a dimension, or it is there twice", source);
      out.dimensions.push_back(word);
    }
  } else {
    return fail(ErrorCode::corrupt_data,
                "unknown line \"" + std::string(key) + ":\" in front of ---", source);
  }
  return {};
}

}  // namespace

std::string Rubric::fill(const std::map<std::string, std::string>& values) const {
  std::string out;
  for (std::size_t at = 0; at < prompt.size();) {
    const std::size_t open = prompt.find('{', at);
    if (open == std::string::npos) return out + prompt.substr(at);
    out += prompt.substr(at, open - at);
    const std::size_t close = prompt.find('}', open);
    const std::string_view place =
        close == std::string::npos ? std::string_view()
                                   : std::string_view(prompt).substr(open + 1, close - open - 1);
    if (!is_name(place)) {
      out += '{';
      at = open + 1;
      continue;
    }
    const auto value = values.find(std::string(place));
    out += value == values.end() || value->second.empty() ? "(none)" : value->second;
    at = close + 1;
  }
  return out;
}

std::string Rubric::grammar() const {
  std::string out = "root ::= \"{\" ws ";
  for (std::size_t i = 0; i < dimensions.size(); ++i)
    out += (i > 0 ? "\",\" ws " : "") + ("\"\\\"" + dimensions[i]) + "\\\":\" ws number ws ";
  out += "\"}\"\nws ::= [ \\n]?\nnumber ::= ";
  for (int i = highest; i >= lowest; --i)
    out += "\"" + std::to_string(i) + "\"" + (i > lowest ? " | " : "\n");
  return out;
}

Result<Rubric> parse_rubric(std::string_view text, const std::string& source) {
  const std::size_t separator = text.find(kSeparator);
  if (separator == std::string_view::npos)
    return fail(ErrorCode::corrupt_data, "a rubric has a line --- in front of its prompt", source);
  Rubric out;
  std::istringstream header{std::string(text.substr(0, separator))};
  for (std::string line; std::getline(header, line);) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos)
      return fail(ErrorCode::corrupt_data, "expected KEY: VALUE, not \"" + line + "\"", source);
    const std::string value(trimmed(std::string_view(line).substr(colon + 1)));
    if (Status ok = read_header(line.substr(0, colon), value, source, out); !ok)
      return std::unexpected(ok.error());
  }
  out.prompt = std::string(trimmed(text.substr(separator + kSeparator.size())));
  if (out.name.empty() || out.dimensions.empty())
    return fail(ErrorCode::corrupt_data, "a rubric has a name and dimensions", source);
  if (out.prompt.find("{response}") == std::string::npos)
    return fail(ErrorCode::corrupt_data, "the prompt has no place {response}", source);
  return out;
}

Result<Rubrics> Rubrics::load(const std::string& folder) {
  namespace fs = std::filesystem;
  Rubrics out;
  for (const std::string_view name : kNames) {
    const std::string file = "rubrics/" + std::string(name) + ".txt";
    auto rubric = parse_rubric(built_in_file(file), file);
    if (!rubric) return std::unexpected(rubric.error());
    out.rubrics_.emplace(name, std::move(*rubric));
  }
  if (folder.empty()) return out;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string path = entry->path().string();
    const std::string name = entry->path().stem().string();
    if (entry->path().extension() != ".txt" || std::ranges::find(kNames, name) == kNames.end())
      return fail(
          ErrorCode::invalid_argument,
          "no rubric is called that; there are semantic, content, truthfulqa, do_not_answer, "
          "toxigen and pairwise, each in a file NAME.txt",
          path);
    const auto text = read_data_file(path);
    if (!text) return std::unexpected(text.error());
    auto rubric = parse_rubric(*text, path);
    if (!rubric) return std::unexpected(rubric.error());
    if (rubric->name != name)
      return fail(ErrorCode::corrupt_data, "the rubric calls itself \"" + rubric->name + "\"",
                  path);
    if (name == "pairwise" && rubric->dimensions != out.get(name).dimensions)
      return fail(ErrorCode::corrupt_data, "the dimensions of this rubric are \"first second\"",
                  path);
    out.rubrics_.find(name)->second = std::move(*rubric);
  }
  if (error) return fail(ErrorCode::io_error, error.message(), folder);
  return out;
}

std::uint64_t Rubrics::fingerprint() const {
  std::uint64_t out = scoring::fingerprint("");
  for (const auto& [name, rubric] : rubrics_)
    out = scoring::fingerprint(rubric.grammar(), scoring::fingerprint(rubric.prompt, out));
  return out;
}

}  // namespace inference::scoring
