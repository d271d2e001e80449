#include "backends/rocm/server_flags.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "backends/rocm/server_environment.h"
#include "model/formats/gguf.h"
#include "platform/child_process.h"
#include "platform/system.h"

namespace inference::backends {
namespace {

constexpr int kMostSlots = 256;  // llama.cpp's LLAMA_MAX_SEQ
constexpr int kUsualSlots = 4;
constexpr int kUsualTokens = 32'768;
constexpr int kAllLayers = 9'999;

/// Not to be set beside LoadConfig: who may reach the server, what it may run or write, what it
/// serves. Each with all its spellings.
constexpr std::string_view kDenied[] = {"--host",
                                        "--port",
                                        "--reuse-port",
                                        "--path",
                                        "--api-prefix",
                                        "--api-key",
                                        "--api-key-file",
                                        "--ssl-key-file",
                                        "--ssl-cert-file",
                                        "--cors-origins",
                                        "--cors-methods",
                                        "--cors-headers",
                                        "--cors-credentials",
                                        "--rpc",
                                        "--tools",
                                        "--tools-runtime",
                                        "--mcp-servers-config",
                                        "--mcp-servers-json",
                                        "-ag",
                                        "--agent",
                                        "--ui",
                                        "--webui",
                                        "--ui-config",
                                        "--webui-config",
                                        "--ui-config-file",
                                        "--webui-config-file",
                                        "--ui-mcp-proxy",
                                        "--webui-mcp-proxy",
                                        "--slots",
                                        "--props",
                                        "--slot-save-path",
                                        "--media-path",
                                        "--log-file",
                                        "--log-prompts-dir",
                                        "-v",
                                        "--verbose",
                                        "--log-verbose",
                                        "-lv",
                                        "--verbosity",
                                        "--log-verbosity",
                                        "-m",
                                        "--model",
                                        "-mu",
                                        "--model-url",
                                        "-hf",
                                        "-hfr",
                                        "--hf-repo",
                                        "-hff",
                                        "--hf-file",
                                        "-hft",
                                        "--hf-token",
                                        "-hfv",
                                        "--hf-repo-v",
                                        "--models-dir",
                                        "--models-preset",
                                        "--models-max",
                                        "--models-autoload",
                                        "-dr",
                                        "--docker-repo",
                                        "-a",
                                        "--alias",
                                        "-c",
                                        "--ctx-size",
                                        "-np",
                                        "--parallel",
                                        "-kvu",
                                        "--kv-unified",
                                        "-ngl",
                                        "--gpu-layers",
                                        "--n-gpu-layers",
                                        "-t",
                                        "--threads",
                                        "-tb",
                                        "--threads-batch",
                                        "-ctk",
                                        "--cache-type-k",
                                        "-ctv",
                                        "--cache-type-v",
                                        "--lora",
                                        "--lora-scaled",
                                        "--lora-init-without-apply",
                                        "--context-shift",
                                        "--embedding",
                                        "--embeddings",
                                        "--rerank",
                                        "--reranking",
                                        "--sleep-idle-seconds",
                                        "-h",
                                        "--help",
                                        "--usage",
                                        "--version",
                                        "-cl",
                                        "--cache-list",
                                        "--completion-bash",
                                        "--list-devices",
                                        "--server-base",
                                        "-lcs",
                                        "--lookup-cache-static",
                                        "-lcd",
                                        "--lookup-cache-dynamic",
                                        "-f",
                                        "--file",
                                        "--spec-draft-hf",
                                        "-hfd",
                                        "-hfrd",
                                        "--hf-repo-draft",
                                        "--mmproj-url",
                                        "-mmu",
                                        "--video-ffmpeg-dir"};

std::unexpected<Error> refuse(ErrorCode code, const char* field, const std::string& why) {
  return fail(code, why, std::string("rocm: LoadConfig::") + field);
}

std::string kv_type_name(KvType type) {
  switch (type) {
    case KvType::automatic:
      return {};
    case KvType::f32:
      return "f32";
    case KvType::f16:
      return "f16";
    case KvType::bf16:
      return "bf16";
    case KvType::q8_0:
      return "q8_0";
  }
  return {};
}

/// An adapter's path as one element of the server's comma-separated list.
Result<std::string> adapter_file(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error))
    return refuse(ErrorCode::not_found, "adapter_path", "\"" + path + "\" is no file");
  if (path.find_first_of(",\"\n\\") != std::string::npos)
    return refuse(ErrorCode::unsupported, "adapter_path",
                  "llama-server takes no path with a comma, quote, backslash or line break: \"" +
                      path + "\"");
  return std::filesystem::absolute(path).lexically_normal().string();
}

Status check_config(const ServedModel& model, const LoadConfig& config) {
  if (config.context_len < 0)
    return refuse(ErrorCode::invalid_argument, "context_len", "is negative");
  if (config.context_len > model.context_length)
    return refuse(ErrorCode::invalid_argument, "context_len",
                  "is " + std::to_string(config.context_len) + ", the model was trained with " +
                      std::to_string(model.context_length));
  if (config.gpu_layers < -1)
    return refuse(ErrorCode::invalid_argument, "gpu_layers", "is less than -1");
  if (config.parallel_slots < 0 || config.parallel_slots > kMostSlots)
    return refuse(ErrorCode::invalid_argument, "parallel_slots",
                  "must be 0 to " + std::to_string(kMostSlots));
  if (config.threads < 0 || config.threads > 4'096)
    return refuse(ErrorCode::invalid_argument, "threads", "must be 0 to 4096");
  if (config.memory_limit > 0)
    return refuse(ErrorCode::unsupported, "memory_limit", "llama-server has no such limit");
  if (config.draft_tokens > 0)
    return refuse(ErrorCode::unsupported, "draft_tokens",
                  "llama-server's drafts change which tokens come; leave it at 0");
  if (config.draft_tokens < -1)
    return refuse(ErrorCode::invalid_argument, "draft_tokens", "is less than -1");
  return {};
}

}  // namespace

std::vector<std::string> server_environment() {
  std::vector<std::string> out = platform::environment_with({});
  std::erase_if(out, [](const std::string& entry) {
    return entry.starts_with("LLAMA_") || entry.starts_with("AIP_") ||
           entry.starts_with("HF_TOKEN") || entry.starts_with("HUGGING_FACE_HUB_TOKEN");
  });
  return out;
}

Result<ServedModel> read_served_model(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error))
    return fail(ErrorCode::unsupported, "rocm loads .gguf files, and this is a folder", path);
  const auto file = model::GgufFile::open(path);
  if (!file) return std::unexpected(file.error());
  const auto architecture = file->get_string("general.architecture");
  if (!architecture) return std::unexpected(architecture.error());
  const auto context = file->get_integer(std::string(*architecture) + ".context_length");
  if (!context) return std::unexpected(context.error());
  if (*context < 1 || *context > (1 << 30))
    return fail(ErrorCode::corrupt_data, "context_length is " + std::to_string(*context), path);
  return ServedModel{std::filesystem::absolute(path).lexically_normal().string(),
                     static_cast<int>(*context)};
}

Result<std::vector<std::string>> server_flags(const ServedModel& model, const LoadConfig& config) {
  if (auto good = check_config(model, config); !good)
    return std::unexpected(std::move(good.error()));
  const int context = config.context_len > 0 ? config.context_len : model.context_length;
  const int slots = config.parallel_slots > 0 ? config.parallel_slots
                                              : std::clamp(kUsualTokens / context, 1, kUsualSlots);
  const std::string threads =
      std::to_string(config.threads > 0 ? config.threads : platform::available_cores());
  const int layers = config.gpu_layers < 0 ? kAllLayers : config.gpu_layers;
  std::vector<std::string> out = {
      "--model", model.path,
      // The server divides what it is given among its slots.
      "--ctx-size", std::to_string(static_cast<long long>(context) * slots), "--parallel",
      std::to_string(slots), "--n-gpu-layers", std::to_string(layers), "--threads", threads,
      "--threads-batch", threads, "--no-context-shift", "--offline", "--no-webui"};
  if (const std::string kv = kv_type_name(config.kv_type); !kv.empty()) {
    out.insert(out.end(), {"--cache-type-k", kv, "--cache-type-v", kv});
    if (config.kv_type == KvType::q8_0) out.insert(out.end(), {"--flash-attn", "on"});
  }
  if (!config.adapter_path.empty()) {
    auto adapter = adapter_file(config.adapter_path);
    if (!adapter) return std::unexpected(std::move(adapter.error()));
    out.insert(out.end(), {"--lora", *adapter});
  }
  return out;
}

Result<std::vector<std::string>> extra_server_flags(std::string_view text) {
  std::vector<std::string> out;
  const auto space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  for (std::size_t at = 0; at < text.size();) {
    if (space(text[at])) {
      ++at;
      continue;
    }
    std::size_t end = at;
    while (end < text.size() && !space(text[end])) ++end;
    out.emplace_back(text.substr(at, end - at));
    at = end;
  }
  for (const std::string& flag : out) {
    if (flag.front() != '-') continue;
    // The server takes '_' for '-', and "--no-x" is the other side of "--x".
    std::string name = flag.substr(0, flag.find('='));
    std::replace(name.begin() + (name.starts_with("--") ? 2 : 0), name.end(), '_', '-');
    if (name.starts_with("--no-")) name = "--" + name.substr(5);
    if (name.starts_with("-no-")) name = "-" + name.substr(4);
    if (std::find(std::begin(kDenied), std::end(kDenied), name) != std::end(kDenied))
      return fail(ErrorCode::invalid_argument,
                  "the flag " + name +
                      " is not for users: it decides who reaches the server, "
                      "what it runs or writes, or what LoadConfig says",
                  "INFERENCE_ROCM_FLAGS");
  }
  return out;
}

}  // namespace inference::backends
