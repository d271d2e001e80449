// What is scored: prompts with their answers, from lines of JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "inference/error.h"

namespace inference::scoring {

struct Item {
  std::string id;  ///< the line's number where the line has none
  std::string domain;
  std::string prompt;
  std::optional<std::string> response;  ///< empty: to be generated, or not needed
  std::string model;
  std::optional<double> elapsed_seconds;
  std::string correct_answer;
  std::string best_answer;
  std::string risk_area;
  std::vector<std::string> choices;  ///< of a multiple choice
  std::string check;         ///< how correct_answer is checked; empty: by domain and choices
  std::string extra = "{}";  ///< the line's other members, as JSON
};

struct ItemFile {
  std::vector<Item> items;
  std::uint64_t fingerprint = 0;  ///< of the file's bytes (FNV-1a)
};

/// One line. `number` names it in errors and is the id of a line without one.
Result<Item> parse_item(std::string_view line, std::uint64_t number, const std::string& source);

/// A JSONL file or "-"; blank lines are skipped, anything else that is no item is an error with its
/// line. Two items of one model with the same id are an error: results could not be told apart.
Result<ItemFile> read_items(const std::string& path);

/// FNV-1a, to notice that a file changed (not against somebody who wants a collision).
std::uint64_t fingerprint(std::string_view bytes,
                          std::uint64_t before = 0xcbf29ce484222325U) noexcept;

}  // namespace inference::scoring
