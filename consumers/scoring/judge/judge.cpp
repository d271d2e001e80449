#include "consumers/scoring/judge/judge.h"

#include "consumers/scoring/chat.h"
#include "consumers/scoring/judge/reply.h"

namespace inference::scoring {
namespace {

constexpr int kAttempts = 2;

bool refuses_grammar(const Error& error) {
  return error.code == ErrorCode::unsupported &&
         (error.where == "grammar" || error.message.find("grammar") != std::string::npos);
}

std::string reminder(const Error& why, const Rubric& rubric) {
  std::string out =
      "That cannot be used: " + why.message + ". Reply with one JSON object only, with ";
  for (std::size_t i = 0; i < rubric.dimensions.size(); ++i)
    out += (i > 0 ? ", \"" : "\"") + rubric.dimensions[i] + "\"";
  return out + ", each a whole number from " + std::to_string(rubric.lowest) + " to " +
         std::to_string(rubric.highest) + ".";
}

}  // namespace

std::optional<bool> Judge::constrained() const {
  const Grammar grammar = grammar_;
  if (grammar == Grammar::unknown) return std::nullopt;
  return grammar == Grammar::used;
}

Result<bool> Judge::find_constrained(const std::stop_token& stop) {
  if (const auto known = constrained()) return *known;
  GenerateConfig config;
  config.max_tokens = 1;
  config.grammar = "root ::= \"1\"";
  const Message question[] = {{"user", "Reply with the number one."}};
  const auto reply = ask(model_, question, config, stop);
  if (!reply && !refuses_grammar(reply.error())) return std::unexpected(reply.error());
  grammar_ = reply ? Grammar::used : Grammar::refused;
  return reply.has_value();
}

Result<std::string> Judge::reply_to(const std::vector<Message>& messages, const Rubric& rubric,
                                    const std::stop_token& stop) {
  GenerateConfig config;
  config.max_tokens = options_.max_tokens;
  if (grammar_ != Grammar::refused) {
    config.grammar = rubric.grammar();
    auto reply = ask(model_, messages, config, stop);
    if (reply) grammar_ = Grammar::used;
    if (reply || !refuses_grammar(reply.error())) return reply;
    grammar_ = Grammar::refused;
    config.grammar.clear();
  }
  return ask(model_, messages, config, stop);
}

Result<Verdict> Judge::grade(const Rubric& rubric, const std::map<std::string, std::string>& values,
                             const std::stop_token& stop) {
  std::vector<Message> messages{{"user", rubric.fill(values)}};
  Verdict out;
  while (out.attempts < kAttempts) {
    ++out.attempts;
    auto reply = reply_to(messages, rubric, stop);
    if (!reply) {
      if (reply.error().code == ErrorCode::cancelled) return std::unexpected(reply.error());
      out.error = (out.attempts > 1 ? out.error + "; then: " : "") + reply.error().to_string();
      return out;
    }
    out.reply = std::move(*reply);
    auto numbers = read_reply(out.reply, rubric);
    if (numbers) {
      out.values = std::move(*numbers);
      out.error.clear();
      return out;
    }
    out.error = "unusable: " + numbers.error().message;
    // Greedy decoding would say the same again, so the second request says what was wrong.
    messages.push_back({"assistant", out.reply});
    messages.push_back({"user", reminder(numbers.error(), rubric)});
  }
  return out;
}

}  // namespace inference::scoring
