// backends: who is there, and what a model of theirs can do.
#include <iostream>

#include "apps/cli/verbs.h"

namespace inference::cli {
namespace {

/// Tries each capability on a loaded model; what fails says why.
OutJson check(TextModel& model) {
  OutJson out;
  const auto note = [&](const char* name, const auto& result) {
    if (result) {
      out[name] = true;
    } else {
      out[name] = {{"available", false}, {"reason", result.error().to_string()}};
    }
  };
  const auto missing = [&](const char* name) {
    out[name] = {{"available", false}, {"reason", "the backend does not offer it"}};
  };
  const GenerateConfig four = {.max_tokens = 4};
  const std::string prompts[] = {"Hello", "The"};
  const Message messages[] = {{"user", "Hello"}};
  note("generate", model.generate("Hello", four).read_all());
  note("chat", model.chat(messages, four).read_all());
  note("classify", model.classify(prompts));
  note("batch_generate", model.batch_generate(prompts, four));
  GenerateConfig grammar = four;
  grammar.grammar = "root ::= \"a\"";
  note("grammar", model.generate("Hello", grammar).read_all());
  GenerateConfig logprobs = four;
  logprobs.logprobs = 2;
  note("logprobs", model.generate("Hello", logprobs).read_all());
  if (auto* codec = capability<TokenCodec>(model)) {
    note("tokenize", codec->encode_text("Hello", {}));
  } else {
    missing("tokenize");
  }
  const TokenId ids[] = {0, 1};
  if (auto* logits = capability<LogitsModel>(model)) {
    note("prompt_logits", logits->prompt_logits(ids));
  } else {
    missing("prompt_logits");
  }
  if (auto* likelihood = capability<LikelihoodModel>(model)) {
    const LikelihoodRequest request[] = {{{0}, {1}}};
    note("log_likelihood", likelihood->log_likelihood(request));
  } else {
    missing("log_likelihood");
  }
  if (auto* attention = capability<AttentionInspector>(model)) {
    note("inspect_attention", attention->inspect_attention("Hello"));
  } else {
    missing("inspect_attention");
  }
  if (capability<TrainableModel>(model) != nullptr) {
    out["train"] = true;
  } else {
    missing("train");
  }
  return out;
}

int run(const std::string& model, bool json) {
  const auto chosen = default_backend();
  const std::string chosen_name = chosen ? (*chosen)->name() : std::string();
  OutJson out = OutJson::array();
  for (const auto& [name, backend] : all_backends()) {
    const Status available = backend->available();
    OutJson entry = {{"name", name},
                     {"available", available.has_value()},
                     {"reason", available ? "" : available.error().message},
                     {"default", name == chosen_name}};
    if (!model.empty() && available) {
      const auto path = resolve_model(model);
      if (!path) return report(path.error());
      auto loaded = backend->load_model(*path);
      if (!loaded) return report(loaded.error());
      entry["capabilities"] = check(**loaded);
    }
    out.push_back(std::move(entry));
  }
  if (json) {
    print_json(out, 1);
    return kDone;
  }
  for (const auto& entry : out) {
    std::cout << entry["name"].get<std::string>() << "\t"
              << (entry["available"].get<bool>() ? "available" : entry["reason"].get<std::string>())
              << (entry["default"].get<bool>() ? "\tdefault" : "") << "\n";
    if (entry.contains("capabilities"))
      for (const auto& [name, value] : entry["capabilities"].items())
        std::cout << "  " << name << ": "
                  << (value.is_boolean() ? "yes" : "no, " + value["reason"].get<std::string>())
                  << "\n";
  }
  return kDone;
}

}  // namespace

void add_backends(const Program& program) {
  auto* verb =
      program.app.add_subcommand("backends", "lists the backends and whether they can run here");
  auto model = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  verb->add_option("--check", *model, "load this model with each backend and try each capability");
  verb->add_flag("--json", *json, "as a JSON array");
  verb->callback([=, &action = program.action] { action = [=] { return run(*model, *json); }; });
}

}  // namespace inference::cli
