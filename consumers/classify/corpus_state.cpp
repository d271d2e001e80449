#include "consumers/classify/corpus_state.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "model/formats/json.h"

namespace inference::classify {
namespace {

using OutJson = nlohmann::ordered_json;

std::string dump(const OutJson& json) {
  return json.dump(-1, ' ', false, OutJson::error_handler_t::replace);
}

OutJson listed(const std::vector<SkippedLine>& lines) {
  OutJson out = OutJson::array();
  for (const SkippedLine& line : lines)
    out.push_back({{"line", line.line}, {"reason", line.reason}});
  return out;
}

std::unexpected<Error> broken() {
  return fail(ErrorCode::corrupt_data, "the run's checkpoint is not one of this program");
}

}  // namespace

std::string_view to_string(Method method) noexcept {
  return method == Method::token ? "token" : "labels";
}

std::string full_path(const std::string& path) {
  namespace fs = std::filesystem;
  if (path.empty() || path == "-") return path;
  std::error_code error;
  // weakly_canonical() alone leaves a relative path relative where nothing of it exists.
  const fs::path absolute = fs::absolute(path, error);
  if (error) return path;
  const fs::path out = fs::weakly_canonical(absolute, error);
  return error ? absolute.string() : out.string();
}

std::string run_config(const CorpusOptions& options, const std::string& prompt_template,
                       std::uint64_t input_bytes) {
  OutJson out = {{"input", options.input},
                 {"input_bytes", input_bytes},
                 {"model", options.model},
                 {"field", options.field},
                 {"prompt_field", options.prompt_field},
                 {"template", prompt_template},
                 {"method", to_string(options.method)},
                 {"labels", options.labels.labels},
                 {"shard", options.shard},
                 {"shards", options.shards}};
  if (!options.skipped.empty()) out["skipped"] = options.skipped;
  if (options.method == Method::labels) {
    out["label_prefix"] = options.labels.prefix;
    out["temperature"] = options.labels.temperature;
    out["threshold"] = options.labels.threshold;
    out["correct_prior"] = options.correct_prior;
    out["probability_field"] = options.probability_field;
  }
  return dump(out);
}

Status same_config(std::string_view before, std::string_view now, const char* flag) {
  if (before == now) return {};
  // In the order in which they were written: the method before what hangs on it.
  const auto a = OutJson::parse(before, nullptr, false);
  const auto b = OutJson::parse(now, nullptr, false);
  if (!a.is_object() || !b.is_object()) return std::unexpected(broken());
  const auto show = [](const OutJson& object, const std::string& key) {
    return object.contains(key) ? dump(object[key]) : std::string("nothing");
  };
  for (const auto* object : {&b, &a})
    for (const auto& [key, value] : object->items())
      if (show(a, key) != show(b, key))
        return fail(ErrorCode::invalid_argument, "the run to go on with has " + key + " " +
                                                     show(a, key) + ", now it is " + show(b, key) +
                                                     "; use the same or begin anew with " + flag);
  return {};
}

std::string to_json(const Checkpoint& checkpoint) {
  return dump({{"input_offset", checkpoint.input.offset},
               {"input_line", checkpoint.input.number},
               {"output_bytes", checkpoint.output_bytes},
               {"skipped_bytes", checkpoint.skipped_bytes},
               {"total", checkpoint.stats.total},
               {"skipped", checkpoint.stats.skipped},
               {"counts", checkpoint.stats.counts},
               {"skipped_lines", listed(checkpoint.stats.skipped_lines)},
               {"seconds", checkpoint.stats.seconds}});
}

Result<Checkpoint> parse_checkpoint(std::string_view text) {
  Checkpoint out;
  if (text == "{}") return out;
  const auto json = model::parse_json(text, "checkpoint");
  if (!json) return std::unexpected(json.error());
  bool good = true;
  const auto number = [&](const model::Json& in, const char* name) -> std::uint64_t {
    const model::Json* value = in.find(name);
    const auto integer = value != nullptr ? value->as_integer() : std::nullopt;
    good &= integer && *integer >= 0;
    return good ? static_cast<std::uint64_t>(*integer) : 0;
  };
  out.input = {number(*json, "input_offset"), number(*json, "input_line")};
  out.output_bytes = number(*json, "output_bytes");
  if (json->find("skipped_bytes") != nullptr) out.skipped_bytes = number(*json, "skipped_bytes");
  out.stats.total = number(*json, "total");
  out.stats.skipped = number(*json, "skipped");
  const model::Json* counts = json->find("counts");
  const model::Json* skipped = json->find("skipped_lines");
  const model::Json* seconds = json->find("seconds");
  if (counts == nullptr || !counts->is_object() || skipped == nullptr ||
      skipped->as_array() == nullptr || seconds == nullptr || !seconds->as_double())
    return broken();
  for (const auto& [label, count] : *counts->as_object())
    out.stats.counts[label] = number(*counts, label.c_str());
  for (const model::Json& line : *skipped->as_array()) {
    const model::Json* reason = line.find("reason");
    good &= reason != nullptr && reason->as_string() != nullptr;
    if (!good) break;
    out.stats.skipped_lines.push_back({number(line, "line"), *reason->as_string()});
  }
  out.stats.seconds = *seconds->as_double();
  if (!good) return broken();
  return out;
}

std::string to_json(const CorpusResult& result) {
  const CorpusStats& stats = result.stats;
  const double rate = result.session_seconds > 0
                          ? static_cast<double>(result.session_prompts) / result.session_seconds
                          : 0;
  return dump({{"finished", result.finished},
               {"total", stats.total},
               {"classified", stats.classified()},
               {"skipped", stats.skipped},
               {"domains", stats.counts},
               {"seconds", stats.seconds},
               {"prompts_per_second", rate},
               {"resumed_lines", result.resumed_lines},
               {"skipped_lines", listed(stats.skipped_lines)}});
}

}  // namespace inference::classify
