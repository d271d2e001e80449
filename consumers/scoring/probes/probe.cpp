#include "consumers/scoring/probes/probe.h"

#include <algorithm>

#include "consumers/scoring/answer.h"
#include "consumers/scoring/checks.h"
#include "consumers/scoring/json_tools.h"
#include "consumers/scoring/phrases.h"
#include "consumers/scoring/probes/probe_list.h"

namespace inference::scoring {
namespace {

Status read_check(const JsonValue& entry, const std::string& where, ProbeCheck& check) {
  int kinds = 0;
  for (const auto& member : entry.items()) {
    const std::string& key = member.key();
    const JsonValue& value = member.value();
    if (key == "id" || key == "category" || key == "prompt") continue;
    if (key == "number" && value.is_number()) {
      check.number = value.get<double>();
      ++kinds;
    } else if (key == "regex" && value.is_string()) {
      check.regex = value.get<std::string>();
      ++kinds;
    } else if (key == "any" || key == "none" || key == "sequence") {
      auto list = strings_member(entry, key, where);
      if (!list) return std::unexpected(list.error());
      (key == "any" ? check.any : key == "none" ? check.none : check.sequence) = std::move(*list);
      kinds += key == "none" ? 0 : 1;
    } else {
      return fail(ErrorCode::corrupt_data, "unknown member or wrong type: \"" + key + "\"", where);
    }
  }
  const bool empty_list =
      !check.number && check.regex.empty() && check.any.empty() && check.sequence.empty();
  if (kinds != 1 || empty_list || (!check.none.empty() && check.any.empty()))
    return fail(ErrorCode::corrupt_data,
                "expected exactly one of \"number\", \"any\" (perhaps with \"none\"), "
                "\"sequence\", \"regex\"",
                where);
  return {};
}

Result<Probe> read_probe(const JsonValue& entry, const std::string& where) {
  Probe out;
  for (const auto& [name, target] : {std::pair<const char*, std::string*>{"id", &out.id},
                                     {"category", &out.category},
                                     {"prompt", &out.prompt}}) {
    auto text = string_member(entry, name, where);
    if (!text) return std::unexpected(text.error());
    if (text->empty()) return fail(ErrorCode::corrupt_data, std::string(name) + " is empty", where);
    *target = std::move(*text);
  }
  if (Status ok = read_check(entry, where, out.check); !ok) return std::unexpected(ok.error());
  // A wrong expression is found when the file is read, not at the first answer.
  if (!out.check.regex.empty())
    if (const auto tried = find_expression(out.check.regex, ""); !tried)
      return fail(ErrorCode::corrupt_data, tried.error().message, where);
  return out;
}

bool occurs(const std::vector<std::string>& phrases, const ScannedText& text) {
  PhraseTree tree;
  for (const std::string& phrase : phrases)
    if (!tree.add(phrase, 0)) return false;
  const auto counts = tree.count(text);
  return !counts.empty() && counts[0] > 0;
}

std::string_view last_line(std::string_view text) {
  text = trimmed(text);
  const std::size_t end = text.rfind('\n');
  return trimmed(end == std::string_view::npos ? text : text.substr(end + 1));
}

}  // namespace

Result<std::vector<Probe>> load_probes(const std::string& file) {
  return load_probe_list<Probe>(file, "probes.json", read_probe);
}

Result<ProbeOutcome> check_probe(const Probe& probe, std::string_view response) {
  const std::string text = without_thoughts(response);
  const std::string_view answer = final_answer(text);
  const bool marked = answer != trimmed(text);
  const std::string_view short_answer = marked ? answer : last_line(text);
  ProbeOutcome out;
  const ProbeCheck& check = probe.check;
  if (check.number) {
    const auto outcome = check_answer({.kind = CheckKind::numeric,
                                       .correct = JsonValue(*check.number).dump(),
                                       .choices = {},
                                       .tolerance = {}},
                                      text);
    if (!outcome) return std::unexpected(outcome.error());
    return ProbeOutcome{outcome->correct, outcome->found};
  }
  out.answer = short_answer;
  const ScannedText scanned = scan(short_answer);
  if (!check.any.empty()) {
    out.passed = occurs(check.any, scanned) && !occurs(check.none, scanned);
  } else if (!check.sequence.empty()) {
    const auto words = words_of(short_answer);
    std::vector<std::string> expected;
    for (const std::string& item : check.sequence)
      for (std::string& word : words_of(item)) expected.push_back(std::move(word));
    out.passed = words.size() >= expected.size() &&
                 std::equal(expected.begin(), expected.end(), words.begin());
  } else {
    const auto found = find_expression(check.regex, short_answer);
    if (!found) return std::unexpected(found.error());
    out.passed = found->has_value();
  }
  return out;
}

}  // namespace inference::scoring
