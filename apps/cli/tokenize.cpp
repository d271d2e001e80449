// tokenize: text to ids and back.
#include <iostream>

#include "apps/cli/verbs.h"
#include "model/formats/json.h"
#include "model/text/tokenizer.h"

namespace inference::cli {
namespace {

struct Options {
  std::string source;
  bool special = false;
  bool decode = false;
  bool skip_special = false;
};

Status decode_line(const model::Tokenizer& tokenizer, const Options& options,
                   const std::string& line) {
  const auto json = model::parse_json(line, "stdin");
  if (!json) return std::unexpected(json.error());
  const auto ids = token_ids(*json, "expected {\"ids\": [...]}");
  if (!ids) return std::unexpected(ids.error());
  auto text = tokenizer.decode(*ids, options.skip_special);
  if (!text) return std::unexpected(text.error());
  print_json({{"text", *text}});
  return {};
}

Status encode_line(const model::Tokenizer& tokenizer, const Options& options,
                   const std::string& line) {
  const auto json = model::parse_json(line, "stdin");
  if (!json) return std::unexpected(json.error());
  if (json->as_string() == nullptr)
    return fail(ErrorCode::invalid_argument, "expected a JSON string per line");
  const auto ids = tokenizer.encode(
      *json->as_string(), {.add_special = options.special, .parse_special = true, .literal = {}});
  if (!ids) return std::unexpected(ids.error());
  print_json({{"ids", *ids}});
  return {};
}

int run(const Options& options) {
  const auto path = resolve_model(options.source);
  if (!path) return report(path.error());
  const auto tokenizer = model::load_tokenizer(*path);
  if (!tokenizer) return report(tokenizer.error());
  const Status ok = for_each_line([&](std::size_t, const std::string& line) {
    return options.decode ? decode_line(**tokenizer, options, line)
                          : encode_line(**tokenizer, options, line);
  });
  return ok ? kDone : report(ok.error());
}

}  // namespace

void add_tokenize(const Program& program) {
  auto* verb =
      program.app.add_subcommand("tokenize", "turns lines of JSON strings into token ids, or back");
  auto options = std::make_shared<Options>();
  verb->add_option("source", options->source,
                   "a model, a GGUF file that holds a vocabulary, or a tokenizer.json")
      ->required();
  verb->add_flag("--special", options->special, "add BOS, EOS and the like as the model does");
  verb->add_flag("--decode", options->decode, "lines of {\"ids\": [...]} to {\"text\": ...}");
  verb->add_flag("--skip-special", options->skip_special,
                 "with --decode: leave special tokens out");
  verb->add_flag_function("--json", [](std::int64_t) {}, "the output is JSON in any case");
  verb->callback([=, &action = program.action] { action = [options] { return run(*options); }; });
}

}  // namespace inference::cli
