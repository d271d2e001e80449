#include "apps/cli/generate_flags.h"

namespace inference::cli {

void add_generate_flags(CLI::App& verb, GenerateFlags& flags) {
  GenerateConfig& c = flags.values;
  verb.add_option("--max-tokens", c.max_tokens, "tokens to produce at most")->capture_default_str();
  verb.add_option("--temperature", c.temperature, "0: always the most probable token")
      ->capture_default_str();
  verb.add_option("--top-k", c.top_k, "sample among the k most probable; 0: off")
      ->capture_default_str();
  verb.add_option("--top-p", c.top_p, "sample among the smallest set with this probability; 0: off")
      ->capture_default_str();
  verb.add_option("--min-p", c.min_p, "drop tokens below this share of the best one; 0: off")
      ->capture_default_str();
  verb.add_option("--typical-p", c.typical_p, "locally typical sampling; 0: off")
      ->capture_default_str();
  verb.add_option("--seed", c.seed, "the same seed gives the same answer")->capture_default_str();
  verb.add_option("--repeat-penalty", c.repeat_penalty,
                  "> 1 makes repeated tokens less likely; 0: off")
      ->capture_default_str();
  verb.add_option("--frequency-penalty", c.frequency_penalty, "per occurrence in the answer")
      ->capture_default_str();
  verb.add_option("--presence-penalty", c.presence_penalty, "once per token of the answer")
      ->capture_default_str();
  verb.add_option("--stop", c.stop, "end before this text (may be given several times)")
      ->allow_extra_args(false);
  verb.add_option("--logprobs", c.logprobs, "log-probabilities of the n best tokens (with --json)")
      ->capture_default_str();
  verb.add_flag("--ignore-eos", c.ignore_eos, "go on past the model's end of text");
  verb.add_flag("--truncate-prompt", c.truncate_prompt,
                "drop the oldest tokens of a prompt that does not fit");
  verb.add_option("--tools", c.tools, "JSON array of tools for the chat template");
  verb.add_option("--template-variables", c.template_variables,
                  "JSON object of further variables for the chat template");
}

}  // namespace inference::cli
