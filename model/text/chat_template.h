// Chat templates: Jinja as models use it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "inference/error.h"
#include "model/formats/json.h"
#include "model/text/tokenizer.h"

namespace inference::model {

/// Bounds on one rendering, so that a hostile template ends with an error.
struct TemplateLimits {
  std::size_t max_steps = 2'000'000;   ///< evaluated nodes
  std::size_t max_depth = 500;         ///< nested calls and expressions
  std::size_t max_output = 16u << 20;  ///< bytes, of the output and of any string on the way
};

/// A rendered conversation. `literal` are the byte ranges that came from the caller's variables
/// (messages, tools, …) and not from the template: no control token may be recognised there.
struct RenderedChat {
  std::string text;
  std::vector<ByteRange> literal;
};

/// A parsed template; immutable, usable from several threads at once.
class ChatTemplate {
 public:
  /// corrupt_data with line number for a syntax error. `source` names it in errors.
  static Result<ChatTemplate> parse(std::string_view text, std::string source,
                                    TemplateLimits limits = {});

  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  /// Renders with `variables` (an object: messages, tools, add_generation_prompt, bos_token, …).
  /// Whitespace rules as transformers sets them: trim_blocks, lstrip_blocks, keep no trailing
  /// newline. `trusted` names variables whose text counts as the template's own (bos_token,
  /// eos_token). A raise_exception() in the template is invalid_argument with the template's
  /// message.
  Result<RenderedChat> render(const Json& variables,
                              const std::vector<std::string>& trusted = {
                                  "bos_token", "eos_token", "unk_token", "pad_token"}) const;

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// What a model's files say about chatting: its template and the special tokens it can name.
struct ChatFormat {
  std::optional<ChatTemplate> chat_template;          ///< empty: the model has none
  std::map<std::string, std::string> special_tokens;  ///< "bos_token" -> "<s>", …
};
/// From a GGUF file (`tokenizer.chat_template`), a model folder (chat_template.jinja,
/// tokenizer_config.json, chat_template.json), a tokenizer_config.json, or a .jinja file. A
/// tokenizer_config.json with several named templates uses "default" ("tool_use" where tools are
/// given is the caller's choice via `name`).
Result<ChatFormat> load_chat_format(const std::string& path, std::string_view name = "default");
Result<ChatFormat> load_chat_format(const GgufFile& file);

}  // namespace inference::model
