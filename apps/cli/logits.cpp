// logits: raw scores after every position.
#include <deque>
#include <iostream>

#include "apps/cli/terminal.h"
#include "apps/cli/verbs.h"
#include "model/formats/json.h"
#include "model/formats/safetensors.h"

namespace inference::cli {
namespace {

struct Options {
  ModelFlags model;
  std::string out;
};

Result<std::vector<TokenId>> ids_of(const std::string& line, TextModel& model) {
  const auto json = model::parse_json(line, "stdin");
  if (!json) return std::unexpected(json.error());
  if (const model::Json* text = json->find("text");
      text != nullptr && text->as_string() != nullptr) {
    auto* codec = capability<TokenCodec>(model);
    if (codec == nullptr)
      return fail(ErrorCode::unsupported, "the backend does not tokenize; give {\"ids\"}");
    return codec->encode_text(*text->as_string(), {.add_special = true, .parse_special = true});
  }
  return token_ids(*json, "expected {\"ids\": [...]} or {\"text\": ...}");
}

int run(const Options& options) {
  auto model = load(options.model);
  if (!model) return report(model.error());
  auto* scorer = capability<LogitsModel>(**model);
  if (scorer == nullptr)
    return report(
        {ErrorCode::unsupported, "the backend does not give logits", options.model.model});
  const InterruptGuard interrupt;
  std::deque<std::vector<float>> logits;
  std::vector<model::SafetensorsEntry> entries;
  const auto vocab = static_cast<std::uint64_t>((*model)->info().vocab_size);
  const Status ok = for_each_line([&](std::size_t number, const std::string& line) -> Status {
    const auto ids = ids_of(line, **model);
    if (!ids) return std::unexpected(ids.error());
    auto scores = scorer->prompt_logits(*ids, interrupt.token());
    if (!scores) return std::unexpected(scores.error());
    logits.push_back(std::move(*scores));
    model::SafetensorsEntry entry;
    entry.name = "logits_" + std::to_string(number);
    entry.shape = {ids->size(), vocab};
    entry.bytes = std::as_bytes(std::span(logits.back()));
    entries.push_back(std::move(entry));
    return {};
  });
  if (!ok) return report(ok.error());
  const Status written = model::write_safetensors(options.out, entries);
  return written ? kDone : report(written.error());
}

}  // namespace

void add_logits(const Program& program) {
  auto* verb = program.app.add_subcommand(
      "logits", "writes the logits after every position of lines of {\"ids\"} or {\"text\"}");
  auto options = std::make_shared<Options>();
  add_model_flags(*verb, options->model);
  verb->add_option("--out", options->out, "a .safetensors file: logits_<line>, f32 [seq, vocab]")
      ->required();
  verb->add_flag_function("--json", [](std::int64_t) {}, "nothing is printed in any case");
  verb->callback([=, &action = program.action] { action = [options] { return run(*options); }; });
}

}  // namespace inference::cli
