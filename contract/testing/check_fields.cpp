// Every field is honoured or refused by its name.
#include <cmath>

#include "contract/testing/kit.h"

namespace inference::testkit {
namespace {

void stop_token_ends_before_it(const Kit& kit) {
  if (!kit.options.deterministic || !kit.options.knows_ids) return;
  auto model = kit.load();
  const auto all = kit.answer(*model, kit.config());
  require(all.size() > 1, "too few tokens to stop at one");
  GenerateConfig stopping = kit.config();
  stopping.stop_tokens = {all.back().id};
  for (const Token& token : kit.answer(*model, stopping, "stop_tokens"))
    require(token.id != all.back().id, "the stop token was given out");
}

void stop_text_ends_before_it(const Kit& kit) {
  if (!kit.options.deterministic) return;
  auto model = kit.load();
  const std::string all = Kit::text_of(kit.answer(*model, kit.config()));
  require(all.size() > 3, "too little text to stop in");
  // From the middle of the text, so that it begins and ends inside tokens.
  std::size_t at = all.size() / 2;
  const auto inside = [&](std::size_t i) {
    return i < all.size() && (static_cast<unsigned char>(all[i]) & 0xC0U) == 0x80U;
  };
  while (inside(at)) ++at;
  std::size_t end = at + 2;
  while (inside(end)) ++end;
  const std::string stop = all.substr(at, end - at);
  require(!stop.empty(), "no stop text could be chosen");
  GenerateConfig stopping = kit.config();
  stopping.stop = {stop, "\x01never\x01"};
  TokenStream stream = model->generate(kit.options.prompt, stopping);
  std::string text;
  while (auto token = stream.next()) text += token->text;
  if (stream.error() && refuses(*stream.error(), "stop"))
    throw Refused{stream.error()->to_string()};
  require(!stream.error(), stream.error() ? stream.error()->to_string() : "");
  require(text == all.substr(0, all.find(stop)),
          "\"" + text + "\" instead of what stands before \"" + stop + "\" in \"" + all + "\"");
  require(stream.finish_reason() == FinishReason::stop, "finish_reason() is not stop");
}

void seed_reproduces(const Kit& kit) {
  if (!kit.options.deterministic) return;
  auto model = kit.load();
  GenerateConfig sampling = kit.config();
  sampling.temperature = 0.8F;
  sampling.seed = 7;
  const auto first = kit.answer(*model, sampling, "seed");
  require(first == kit.answer(*model, sampling, "seed"), "the same seed gives another answer");
  if (!kit.options.samples) return;
  for (std::uint64_t seed = 8; seed < 24; ++seed) {
    sampling.temperature = 1.5F;
    sampling.seed = seed;
    if (Kit::text_of(kit.answer(*model, sampling)) != Kit::text_of(first)) return;
  }
  require(false, "16 other seeds give the same answer");
}

void logit_bias_forbids_and_forces(const Kit& kit) {
  if (!kit.options.samples || !kit.options.knows_ids) return;
  auto model = kit.load();
  const auto plain = kit.answer(*model, kit.config(1));
  require(!plain.empty(), "no token");
  GenerateConfig biased = kit.config(1);
  biased.logit_bias = {{plain.front().id, -HUGE_VALF}};
  const auto other = kit.answer(*model, biased, "logit_bias");
  require(!other.empty() && other.front().id != plain.front().id,
          "a token that logit_bias forbids was given out");
  biased.logit_bias = {{other.front().id, 1000.0F}};
  const auto forced = kit.answer(*model, biased, "logit_bias");
  require(!forced.empty() && forced.front().id == other.front().id,
          "a token with a bias of 1000 was not chosen");
}

void grammar_is_followed(const Kit& kit) {
  auto model = kit.load();
  GenerateConfig config = kit.config(16);
  config.ignore_eos = false;
  config.grammar = "root ::= \"yes\"";
  const std::string text = Kit::text_of(kit.answer(*model, config, "grammar"));
  if (kit.options.samples) require(text == "yes", "\"" + text + "\" does not follow the grammar");
}

struct Field {
  const char* name;
  GenerateConfig set;
};

std::vector<Field> fields() {
  std::vector<Field> out;
  const auto add = [&](const char* name, const std::function<void(GenerateConfig&)>& change) {
    Field field{name, {}};
    field.set.max_tokens = 2;
    change(field.set);
    out.push_back(std::move(field));
  };
  add("temperature", [](auto& c) { c.temperature = 0.7F; });
  add("top_k", [](auto& c) { c.temperature = 1, c.top_k = 3; });
  add("top_p", [](auto& c) { c.temperature = 1, c.top_p = 0.9F; });
  add("min_p", [](auto& c) { c.temperature = 1, c.min_p = 0.1F; });
  add("typical_p", [](auto& c) { c.temperature = 1, c.typical_p = 0.9F; });
  add("repeat_penalty", [](auto& c) { c.repeat_penalty = 1.3F; });
  add("frequency_penalty", [](auto& c) { c.frequency_penalty = 0.5F; });
  add("presence_penalty", [](auto& c) { c.presence_penalty = 0.5F; });
  add("seed", [](auto& c) { c.seed = 0xffffffffffffffffU; });
  add("logit_bias", [](auto& c) { c.logit_bias = {{1, 0.5F}}; });
  add("stop", [](auto& c) { c.stop = {"\x01"}; });
  add("stop_tokens", [](auto& c) { c.stop_tokens = {0}; });
  add("logprobs", [](auto& c) { c.logprobs = 2; });
  add("ignore_eos", [](auto& c) { c.ignore_eos = true; });
  add("truncate_prompt", [](auto& c) { c.truncate_prompt = true; });
  return out;
}

void fields_are_honoured_or_refused_by_name(const Kit& kit) {
  auto model = kit.load();
  std::string refused;
  for (const Field& field : fields()) {
    TokenStream stream = model->generate(kit.options.prompt, field.set);
    while (stream.next()) {
    }
    if (!stream.error()) continue;
    require(refuses(*stream.error(), field.name),
            std::string(field.name) + ": " + stream.error()->to_string());
    refused += (refused.empty() ? "" : ", ") + std::string(field.name);
  }
  if (!refused.empty()) throw Refused{refused};
}

void fields_of_other_calls_are_refused(const Kit& kit) {
  if (!kit.options.samples) return;
  auto model = kit.load();
  const std::pair<const char*, GenerateConfig> wrong[] = {
      {"return_logits", make_generate_config({with_return_logits()})},
      {"tools", make_generate_config({with_tools("[]")})},
      {"template_variables", make_generate_config({with_template_variables("{}")})}};
  for (const auto& [name, config] : wrong) {
    TokenStream stream = model->generate(kit.options.prompt, config);
    require(!stream.next(), std::string(name) + " was passed over");
    require(stream.error() && refuses(*stream.error(), name),
            std::string(name) + " is not refused by its name");
  }
}

void impossible_values_are_refused_by_name(const Kit& kit) {
  auto model = kit.load();
  std::vector<std::pair<const char*, GenerateConfig>> wrong = {
      {"max_tokens", make_generate_config({with_max_tokens(-1)})}};
  if (kit.options.samples) {
    wrong.insert(wrong.end(),
                 {{"temperature", make_generate_config({with_temperature(-1)})},
                  {"temperature", make_generate_config({with_temperature(std::nanf(""))})},
                  {"temperature", make_generate_config({with_temperature(HUGE_VALF)})},
                  {"top_k", make_generate_config({with_top_k(-1)})},
                  {"top_p", make_generate_config({with_top_p(1.5F)})},
                  {"min_p", make_generate_config({with_min_p(-0.5F)})},
                  {"typical_p", make_generate_config({with_typical_p(2)})},
                  {"repeat_penalty", make_generate_config({with_repeat_penalty(-1)})},
                  {"stop", make_generate_config({with_stop({""})})},
                  {"logprobs", make_generate_config({with_logprobs(-1)})},
                  {"logit_bias", make_generate_config({with_logit_bias({{-1, 1.0F}})})},
                  {"stop_tokens", make_generate_config({with_stop_tokens({-2})})}});
  }
  for (const auto& [name, config] : wrong) {
    TokenStream stream = model->generate(kit.options.prompt, config);
    require(!stream.next(), std::string("a token came in spite of an impossible ") + name);
    require(stream.error() && (stream.error()->code == ErrorCode::invalid_argument ||
                               refuses(*stream.error(), name)),
            std::string(name) + " is not refused as invalid_argument");
    require(stream.error()->to_string().find(name) != std::string::npos,
            std::string("the error does not name ") + name + ": " + stream.error()->to_string());
  }
}

}  // namespace

void check_fields(Kit& kit) {
  kit.check("stop_token_ends_before_it", stop_token_ends_before_it);
  kit.check("stop_text_ends_before_it", stop_text_ends_before_it);
  kit.check("seed_reproduces", seed_reproduces);
  kit.check("logit_bias_forbids_and_forces", logit_bias_forbids_and_forces);
  kit.check("grammar_is_followed", grammar_is_followed);
  kit.check("fields_are_honoured_or_refused_by_name", fields_are_honoured_or_refused_by_name);
  kit.check("fields_of_other_calls_are_refused", fields_of_other_calls_are_refused);
  kit.check("impossible_values_are_refused_by_name", impossible_values_are_refused_by_name);
}

}  // namespace inference::testkit
