// render: conversations through a chat template.
#include <iostream>

#include "apps/cli/verbs.h"
#include "model/formats/json.h"
#include "model/text/chat_template.h"

namespace inference::cli {
namespace {

struct Options {
  std::string source;
  std::string bos;
  std::string eos;
};

/// The line's object, with the model's special tokens where the line does not set them.
Result<model::Json> variables_of(const std::string& line, const model::ChatFormat& format) {
  auto json = model::parse_json(line, "stdin");
  if (!json) return json;
  if (!json->is_object())
    return fail(ErrorCode::invalid_argument, "expected an object with \"messages\"");
  model::Json::Object out = *json->as_object();
  for (const auto& [name, text] : format.special_tokens)
    if (json->find(name) == nullptr) out.emplace_back(name, model::Json(text));
  if (json->find("tools") == nullptr) out.emplace_back("tools", model::Json());
  if (json->find("add_generation_prompt") == nullptr)
    out.emplace_back("add_generation_prompt", model::Json(false));
  return model::Json(std::move(out));
}

int run(const Options& options) {
  const auto path = resolve_model(options.source);
  if (!path) return report(path.error());
  auto format = model::load_chat_format(*path);
  if (!format) return report(format.error());
  if (!format->chat_template)
    return report({ErrorCode::unsupported, "the model has no chat template", *path});
  if (!options.bos.empty()) format->special_tokens["bos_token"] = options.bos;
  if (!options.eos.empty()) format->special_tokens["eos_token"] = options.eos;
  const Status ok = for_each_line([&](std::size_t, const std::string& line) -> Status {
    const auto variables = variables_of(line, *format);
    const auto rendered =
        variables ? format->chat_template->render(*variables) : std::unexpected(variables.error());
    print_json(rendered ? OutJson{{"text", rendered->text}}
                        : OutJson{{"error", rendered.error().message}});
    return {};
  });
  return ok ? kDone : report(ok.error());
}

}  // namespace

void add_render(const Program& program) {
  auto* verb = program.app.add_subcommand(
      "render", "renders lines of {\"messages\", ...} with a chat template");
  auto options = std::make_shared<Options>();
  verb->add_option("source", options->source, "a model, a tokenizer_config.json or a .jinja file")
      ->required();
  verb->add_option("--bos", options->bos, "the text of bos_token");
  verb->add_option("--eos", options->eos, "the text of eos_token");
  verb->add_flag_function("--json", [](std::int64_t) {}, "the output is JSON in any case");
  verb->callback([=, &action = program.action] { action = [options] { return run(*options); }; });
}

}  // namespace inference::cli
