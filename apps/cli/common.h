// What the verbs share.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <stop_token>
#include <string>
#include <vector>

#include "inference/inference.h"
#include "model/formats/json.h"

namespace inference::cli {

/// Members keep the order in which they were written.
using OutJson = nlohmann::ordered_json;

inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
inline constexpr int kWrongUsage = 2;

/// A verb adds its flags to the program and says what to run; the result is the exit status.
using Action = std::function<int()>;
struct Program {
  CLI::App& app;
  Action& action;
};

/// "error: …" on stderr, one line; gives kFailed.
int report(const Error& error);

/// One JSON document and a newline on stdout. Bytes that are no UTF-8 become U+FFFD.
void print_json(const OutJson& json, int indent = -1);

/// Flags that load a model.
struct ModelFlags {
  std::string model;
  std::string backend;
  std::string backend_library;
  std::string adapter;
  std::string kv_type = "auto";
  int threads = 0;
  int context = 0;
  int slots = 0;  ///< answers at once; set by verbs that run several
  std::string memory_limit;
  int draft = 0;
};
void add_model_flags(CLI::App& verb, ModelFlags& flags);
/// The same without the positional MODEL, for verbs that name their models otherwise.
void add_loading_flags(CLI::App& verb, ModelFlags& flags);
Result<LoadConfig> load_config(const ModelFlags& flags);
/// Loads with a progress bar on a terminal. The model's name may be one that `models` lists.
Result<std::unique_ptr<TextModel>> load(const ModelFlags& flags);

/// What --kv-type takes.
std::vector<std::string> kv_type_names();
KvType kv_type_named(const std::string& name);

/// A path as it is, or the path of the model that `models` lists under that name.
Result<std::string> resolve_model(const std::string& name);
/// Where models are looked for: $INFERENCE_MODELS, else the user's cache.
std::string models_folder();
/// The name a discovered model can be called by.
std::string model_name(const DiscoveredModel& model);

/// Calls `each(line number from 0, line)` for the lines of stdin until one fails.
Status for_each_line(const std::function<Status(std::size_t, const std::string&)>& each);

/// The token ids in {"ids": [...]}; `expected` says what a line without them should have been.
Result<std::vector<TokenId>> token_ids(const model::Json& json, const char* expected);

/// Ctrl-C requests a stop while one of these lives; the second one ends the program.
class InterruptGuard {
 public:
  InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  ~InterruptGuard();
  std::stop_token token() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Bytes for people: "12.3 MiB".
std::string show_bytes(std::uint64_t bytes);
/// "8GiB", "500MB", "1048576".
Result<std::uint64_t> parse_bytes(const std::string& text);

}  // namespace inference::cli
