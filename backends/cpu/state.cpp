#include "backends/cpu/state.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <new>
#include <system_error>
#include <thread>

#include "model/formats/gguf.h"
#include "model/formats/json.h"
#include "model/text/chat_input.h"
#include "platform/system.h"

namespace inference::backends {
namespace {

namespace fs = std::filesystem;

Status check_config(const LoadConfig& config) {
  const auto refuse = [](const char* field, const std::string& message) -> Status {
    return fail(ErrorCode::unsupported, std::string(field) + " " + message, field);
  };
  if (config.gpu_layers > 0)
    return refuse("gpu_layers", "is " + std::to_string(config.gpu_layers) +
                                    "; the cpu backend has no accelerator");
  if (!config.adapter_path.empty())
    return refuse("adapter_path", "is set; the cpu backend applies no adapters");
  constexpr int kMostSlots = 1024;
  if (config.parallel_slots < 0 || config.parallel_slots > kMostSlots)
    return fail(ErrorCode::invalid_argument,
                "parallel_slots is " + std::to_string(config.parallel_slots) +
                    ", allowed are 0 to " + std::to_string(kMostSlots),
                "parallel_slots");
  constexpr int kMostDraftTokens = 64;
  if (config.draft_tokens < -1 || config.draft_tokens > kMostDraftTokens)
    return fail(ErrorCode::invalid_argument,
                "draft_tokens is " + std::to_string(config.draft_tokens) + ", allowed are -1 to " +
                    std::to_string(kMostDraftTokens),
                "draft_tokens");
  return {};
}

/// generation_config.json names the ends of an answer: one id or several.
Status add_generation_ends(const std::string& folder, int vocab_size, std::vector<TokenId>& out) {
  constexpr std::size_t kMostBytes = 1U << 20;
  const std::string path = (fs::path(folder) / "generation_config.json").string();
  const auto json = model::parse_json_file(path, kMostBytes);
  if (!json)
    return json.error().code == ErrorCode::not_found ? Status{} : std::unexpected(json.error());
  const model::Json* value = json->find("eos_token_id");
  if (value == nullptr || value->is_null()) return {};
  const model::Json::Array one = {*value};
  for (const model::Json& id : value->as_array() != nullptr ? *value->as_array() : one) {
    const auto number = id.as_integer();
    if (!number || *number < 0 || *number >= vocab_size)
      return fail(ErrorCode::corrupt_data,
                  "eos_token_id is no id in the vocabulary of " + std::to_string(vocab_size), path);
    out.push_back(static_cast<TokenId>(*number));
  }
  return {};
}

bool is_folder(const CpuState& state) {
  return !state.path.ends_with(".gguf");
}

/// The tokenizer and the chat format: nothing that needs the engine.
Status load_text(CpuState& state) {
  if (is_folder(state)) {
    auto tokenizer = model::load_tokenizer(state.path);
    if (!tokenizer) return std::unexpected(std::move(tokenizer.error()));
    state.tokenizer = std::move(*tokenizer);
    auto chat = model::load_chat_format(state.path);
    if (!chat) return std::unexpected(std::move(chat.error()));
    state.chat = std::move(*chat);
  } else {
    auto file = model::GgufFile::open(state.path);
    if (!file) return std::unexpected(std::move(file.error()));
    auto tokenizer = model::load_tokenizer_gguf(*file);
    if (!tokenizer) return std::unexpected(std::move(tokenizer.error()));
    state.tokenizer = std::move(*tokenizer);
    auto chat = model::load_chat_format(*file);
    if (!chat) return std::unexpected(std::move(chat.error()));
    state.chat = std::move(*chat);
  }
  return {};
}

Status collect_end_tokens(CpuState& state) {
  const auto ends = state.tokenizer->end_tokens();
  state.end_tokens.assign(ends.begin(), ends.end());
  if (is_folder(state)) {
    const std::string place = fs::path(state.path).has_extension()
                                  ? fs::path(state.path).parent_path().string()
                                  : state.path;
    if (auto ok = add_generation_ends(place, state.engine->info().vocab_size, state.end_tokens);
        !ok)
      return ok;
  }
  std::ranges::sort(state.end_tokens);
  return {};
}

/// Work on a thread of its own, or, where the system has none left, at once.
class Concurrent {
 public:
  explicit Concurrent(std::function<Status()> work) : work_(std::move(work)) {
    try {
      thread_ = std::jthread([this] { run(); });
    } catch (const std::system_error&) {
      run();
    }
  }
  Status get() {
    if (thread_.joinable()) thread_.join();
    return result_;
  }

 private:
  void run() {
    try {
      result_ = work_();
    } catch (const std::bad_alloc&) {
      result_ = fail(ErrorCode::out_of_memory, "no memory left to load the model");
    }
  }
  std::function<Status()> work_;
  Status result_;
  std::jthread thread_;  // last: it ends before what it uses
};

}  // namespace

void CpuState::record(const GenerateMetrics& metrics) {
  const std::lock_guard lock(mutex_);
  last_ = metrics;
}

GenerateMetrics CpuState::last_metrics() const {
  const std::lock_guard lock(mutex_);
  return last_;
}

Error closed_error(const CpuState& state) {
  return {ErrorCode::closed, "the model is closed", state.path};
}

Status run_pass(CpuState& state, std::span<engine::SequenceInput> inputs,
                const std::stop_token& stop, engine::AttentionObserver* observer) {
  if (state.closed) return std::unexpected(closed_error(state));
  Status status = state.engine->forward(inputs, stop, observer);
  if (!status && status.error().code == ErrorCode::cancelled && state.closed)
    return std::unexpected(closed_error(state));
  return status;
}

Result<std::shared_ptr<CpuState>> load_state(const std::string& path, const LoadConfig& config) {
  if (auto ok = check_config(config); !ok) return std::unexpected(ok.error());
  engine::EngineOptions options;
  options.context_len = config.context_len;
  options.threads = config.threads;
  options.max_sequences = config.parallel_slots;
  options.kv_type = config.kv_type;
  options.memory_limit = config.memory_limit;
  options.on_progress = config.on_progress;
  auto state = std::make_shared<CpuState>();
  state->path = path;
  // Tables of a quarter of a million tokens take as long as the weights do.
  auto text = Concurrent([&] { return load_text(*state); });
  auto engine = engine::Engine::load(path, options);
  const Status text_ok = text.get();
  if (!engine) return std::unexpected(std::move(engine.error()));
  if (!text_ok) return std::unexpected(text_ok.error());
  state->engine = std::move(*engine);
  state->draft_tokens = config.draft_tokens;
  if (config.parallel_slots > 0) state->batch = static_cast<std::size_t>(config.parallel_slots);
  if (auto ok = collect_end_tokens(*state); !ok) return std::unexpected(ok.error());
  return state;
}

Result<std::vector<TokenId>> fit_prompt(const CpuState& state, std::vector<TokenId> ids,
                                        bool truncate) {
  const auto context = static_cast<std::size_t>(state.engine->info().context_length);
  if (ids.empty()) return fail(ErrorCode::invalid_argument, "the prompt has no tokens", state.path);
  if (ids.size() <= context) return ids;
  if (!truncate)
    return fail(ErrorCode::context_overflow,
                "the prompt has " + std::to_string(ids.size()) + " tokens, the context " +
                    std::to_string(context),
                state.path);
  // The newest tokens stay, and the mark of the beginning if there is one.
  const auto bos = state.tokenizer->bos();
  const bool keep_first = bos && ids.front() == *bos && context > 1;
  ids.erase(ids.begin() + (keep_first ? 1 : 0),
            ids.begin() + static_cast<std::ptrdiff_t>(ids.size() - context + (keep_first ? 1 : 0)));
  return ids;
}

namespace {

/// A tokenizer may know more tokens than the model has rows for.
Status check_ids(const CpuState& state, const std::vector<TokenId>& ids) {
  const int vocab = state.engine->info().vocab_size;
  for (const TokenId id : ids)
    if (id >= vocab)
      return fail(ErrorCode::corrupt_data,
                  "the tokenizer gave id " + std::to_string(id) + ", the model has " +
                      std::to_string(vocab) + " tokens",
                  state.path);
  return {};
}

}  // namespace

Result<std::vector<TokenId>> encode_prompt(const CpuState& state, std::string_view prompt,
                                           bool truncate) {
  auto ids =
      state.tokenizer->encode(prompt, {.add_special = true, .parse_special = true, .literal = {}});
  if (!ids) return ids;
  if (auto ok = check_ids(state, *ids); !ok) return std::unexpected(ok.error());
  return fit_prompt(state, std::move(*ids), truncate);
}

Result<std::vector<TokenId>> encode_chat(const CpuState& state, std::span<const Message> messages,
                                         const GenerateConfig& config) {
  if (!state.chat.chat_template)
    return fail(ErrorCode::unsupported,
                "the model has no chat template; generate() continues plain text", state.path);
  const auto variables =
      model::chat_variables(messages, config.tools, config.template_variables, state.chat);
  if (!variables) return std::unexpected(variables.error());
  const auto rendered = state.chat.chat_template->render(*variables);
  if (!rendered) return std::unexpected(rendered.error());
  auto ids = state.tokenizer->encode(
      rendered->text, {.add_special = false, .parse_special = true, .literal = rendered->literal});
  if (!ids) return ids;
  if (auto ok = check_ids(state, *ids); !ok) return std::unexpected(ok.error());
  return fit_prompt(state, std::move(*ids), config.truncate_prompt);
}

}  // namespace inference::backends
