#include "consumers/classify/prompt_template.h"

namespace inference::classify {

Result<PromptTemplate> PromptTemplate::parse(std::string_view text) {
  constexpr std::string_view kBraces = "{text}";
  constexpr std::string_view kPercent = "%s";
  const bool braces = text.find(kBraces) != std::string_view::npos;
  const bool percent = text.find(kPercent) != std::string_view::npos;
  if (!braces && !percent)
    return fail(ErrorCode::invalid_argument, "has no place for the text; write {text} or %s",
                "template");
  if (braces && percent)
    return fail(ErrorCode::invalid_argument, "has both {text} and %s; use one of them", "template");
  const std::string_view place = braces ? kBraces : kPercent;
  PromptTemplate out;
  out.source_ = text;
  while (true) {
    const std::size_t at = text.find(place);
    out.parts_.emplace_back(text.substr(0, at));
    if (at == std::string_view::npos) return out;
    text.remove_prefix(at + place.size());
  }
}

PromptTemplate PromptTemplate::for_labels(std::span<const std::string> labels) {
  std::string list;
  for (const std::string& label : labels) list += (list.empty() ? "" : ", ") + label;
  PromptTemplate out;
  out.parts_ = {"Classify the text into exactly one of these categories: " + list +
                    ". Answer with that one word.\n\nText: ",
                "\n\nCategory:"};
  out.source_ = out.parts_[0] + "{text}" + out.parts_[1];
  return out;
}

std::string PromptTemplate::fill(std::string_view text) const {
  std::string out = parts_.front();
  for (std::size_t i = 1; i < parts_.size(); ++i) {
    out += text;
    out += parts_[i];
  }
  return out;
}

}  // namespace inference::classify
