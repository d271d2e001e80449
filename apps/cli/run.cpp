// run: one answer, or a chat in the terminal.
#include <iostream>
#include <iterator>

#include "apps/cli/chat_session.h"
#include "apps/cli/generate_flags.h"
#include "apps/cli/terminal.h"
#include "apps/cli/verbs.h"

namespace inference::cli {
namespace {

struct Options {
  ModelFlags model;
  GenerateFlags generate;
  std::string prompt;
  std::string system;
  bool has_prompt = false;
  bool raw = false;
  bool json = false;
  bool stats = false;
};

OutJson metrics_json(const GenerateMetrics& m) {
  const auto ms = [](std::chrono::nanoseconds time) {
    return std::chrono::duration<double, std::milli>(time).count();
  };
  return {
      {"prompt_tokens", m.prompt_tokens},           {"cached_tokens", m.cached_tokens},
      {"generated_tokens", m.generated_tokens},     {"prefill_ms", ms(m.prefill_duration)},
      {"decode_ms", ms(m.decode_duration)},         {"total_ms", ms(m.total_duration)},
      {"prefill_tps", m.prefill_tokens_per_second}, {"decode_tps", m.decode_tokens_per_second},
      {"peak_memory_bytes", m.peak_memory_bytes},   {"active_memory_bytes", m.active_memory_bytes}};
}

OutJson token_json(const Token& token) {
  OutJson out = {{"id", token.id}, {"text", token.text}};
  if (token.logprob) out["logprob"] = *token.logprob;
  if (!token.top_logprobs.empty()) {
    out["top_logprobs"] = OutJson::array();
    for (const TokenLogprob& other : token.top_logprobs)
      out["top_logprobs"].push_back({{"id", other.id}, {"logprob", other.logprob}});
  }
  return out;
}

int answer_once(const Options& options, TextModel& model, const std::string& prompt) {
  const InterruptGuard interrupt;
  const GenerateConfig config = options.generate.config();
  std::vector<Message> messages;
  if (!options.system.empty()) messages.push_back({"system", options.system});
  messages.push_back({"user", prompt});
  TokenStream stream = options.raw ? model.generate(prompt, config, interrupt.token())
                                   : model.chat(messages, config, interrupt.token());
  for (const Token& token : stream) {
    if (options.json) {
      print_json(token_json(token));
    } else {
      std::cout << token.text << std::flush;
    }
  }
  if (!options.json) std::cout << '\n' << std::flush;
  const auto error = stream.error();
  if (options.json && !error)
    print_json({{"metrics", metrics_json(stream.metrics())},
                {"finish_reason", to_string(stream.finish_reason())}});
  if (options.stats) print_stats(stream.metrics());
  if (!error) return kDone;
  if (options.raw || error->code != ErrorCode::unsupported ||
      error->message.find("chat template") == std::string::npos)
    return report(*error);
  return report({error->code, error->message + "; use --raw", error->where});
}

int run(const Options& options) {
  std::string prompt = options.prompt;
  bool once = options.has_prompt;
  if (!once && !input_is_terminal()) {  // a prompt through a pipe
    prompt.assign(std::istreambuf_iterator<char>(std::cin), {});
    if (prompt.ends_with('\n')) prompt.pop_back();
    once = true;
  }
  if (!once && options.json)
    return report({ErrorCode::invalid_argument,
                   "--json needs a prompt, as an argument or through a pipe",
                   {}});
  auto model = load(options.model);
  if (!model) return report(model.error());
  if (once) return answer_once(options, **model, prompt);
  return ChatSession(**model, options.generate.config(), options.system, options.raw, options.stats)
      .run();
}

}  // namespace

void add_run(const Program& program) {
  auto* verb =
      program.app.add_subcommand("run", "answers a prompt once, or chats when there is none");
  auto options = std::make_shared<Options>();
  add_model_flags(*verb, options->model);
  auto* prompt =
      verb->add_option("prompt", options->prompt,
                       "what to answer; without it: a chat (or stdin, if that is a pipe)");
  add_generate_flags(*verb, options->generate);
  verb->add_option("--system", options->system, "the system message of the conversation");
  verb->add_flag("--raw", options->raw, "continue the prompt as it is, without the chat template");
  verb->add_flag("--json", options->json,
                 "one JSON object per token, the last one with metrics and finish_reason");
  verb->add_flag("--stats", options->stats, "print tokens per second on stderr");
  verb->callback([=, &action = program.action] {
    options->has_prompt = prompt->count() > 0;
    action = [options] { return run(*options); };
  });
}

}  // namespace inference::cli
