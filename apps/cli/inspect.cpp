// inspect: what a model file holds and how much memory it needs.
#include <filesystem>
#include <iostream>

#include "apps/cli/verbs.h"
#include "engine/quant/quant.h"
#include "engine/runtime/engine.h"
#include "model/formats/gguf.h"
#include "model/formats/safetensors.h"
#include "platform/system.h"

namespace inference::cli {
namespace {

struct Options {
  std::string file;
  std::string tensor;
  std::string out;
  int context = 0;
  int slots = 0;
  std::string kv_type = "auto";
  bool json = false;
};

constexpr std::uint64_t kShownElements = 32;

/// Long lists are shown by their length and first elements.
template <class T>
OutJson list_json(const std::vector<T>& all) {
  if (all.size() <= kShownElements) return OutJson(all);
  return {{"length", all.size()},
          {"first", std::vector<T>(all.begin(), all.begin() + kShownElements)}};
}

OutJson value_json(const model::GgufValue& value) {
  if (const model::GgufArray* array = value.as_array()) {
    if (const auto texts = array->strings())
      return list_json(std::vector<std::string>(texts->begin(), texts->end()));
    if (const auto numbers = array->integers()) return list_json(*numbers);
    return list_json(array->floats().value_or(std::vector<double>{}));
  }
  if (const auto text = value.as_string()) return std::string(*text);
  if (const auto flag = value.as_bool()) return *flag;
  if (const auto number = value.as_integer()) return *number;
  if (const auto* large = std::get_if<std::uint64_t>(&value.value)) return *large;
  return value.as_float().value_or(0);
}

struct File {
  std::string format;
  OutJson metadata = OutJson::object();
  std::unique_ptr<model::TensorSource> tensors;
};

Result<File> open(const std::string& path) {
  File out;
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored) || path.ends_with(".safetensors") ||
      path.ends_with(".safetensors.index.json")) {
    auto file = model::SafetensorsFile::open(path);
    if (!file) return std::unexpected(std::move(file.error()));
    out.format = "safetensors";
    for (const auto& [key, value] : file->metadata()) out.metadata[key] = value;
    out.tensors = std::make_unique<model::SafetensorsFile>(std::move(*file));
    return out;
  }
  auto file = model::GgufFile::open(path);
  if (!file) return std::unexpected(std::move(file.error()));
  out.format = "gguf";
  for (const auto& [key, value] : file->metadata())
    out.metadata[std::string(key)] = value_json(value);
  out.tensors = std::make_unique<model::GgufFile>(std::move(*file));
  return out;
}

int write_tensor(const Options& options, const File& file) {
  const model::TensorView* tensor = file.tensors->find(options.tensor);
  if (tensor == nullptr)
    return report({ErrorCode::not_found, "no tensor \"" + options.tensor + "\"", options.file});
  std::vector<float> values(tensor->element_count());
  if (const Status ok = engine::dequantize(tensor->dtype, tensor->bytes, values); !ok)
    return report(ok.error());
  const Status ok =
      platform::write_file_atomically(options.out, values.data(), values.size() * sizeof(float));
  return ok ? kDone : report(ok.error());
}

OutJson plan_json(const engine::MemoryPlan& plan) {
  return {{"weights_mapped_bytes", plan.weights_mapped},
          {"weights_packed_bytes", plan.weights_packed},
          {"kv_cache_bytes", plan.kv_cache},
          {"sequences", plan.sequences},
          {"scratch_bytes", plan.scratch},
          {"program_bytes", plan.program},
          {"total_bytes", plan.total()}};
}

int run(const Options& options) {
  const auto path = resolve_model(options.file);
  if (!path) return report(path.error());
  const auto file = open(*path);
  if (!file) return report(file.error());
  if (!options.tensor.empty() && !options.out.empty()) return write_tensor(options, *file);
  engine::EngineOptions engine_options;
  engine_options.context_len = options.context;
  engine_options.max_sequences = options.slots;
  engine_options.kv_type = kv_type_named(options.kv_type);
  const auto plan = engine::Engine::plan(*path, engine_options);
  OutJson out = {{"path", *path},
                 {"format", file->format},
                 {"metadata", file->metadata},
                 {"tensors", OutJson::array()}};
  for (const model::TensorView& tensor : file->tensors->tensors()) {
    if (!options.tensor.empty() && tensor.name != options.tensor) continue;
    out["tensors"].push_back({{"name", tensor.name},
                              {"type", model::to_string(tensor.dtype)},
                              {"shape", tensor.shape},
                              {"bytes", tensor.bytes.size()}});
  }
  // A file that is no model this engine runs can still be looked into.
  out["memory"] = plan ? plan_json(*plan) : OutJson{{"error", plan.error().to_string()}};
  if (options.json) {
    print_json(out, 1);
    return kDone;
  }
  std::cout << *path << " (" << file->format << ")\n\nmetadata\n";
  for (const auto& [key, value] : file->metadata.items())
    std::cout << "  " << key << " = "
              << value.dump(-1, ' ', false, OutJson::error_handler_t::replace) << "\n";
  std::cout << "\ntensors\n";
  for (const auto& tensor : out["tensors"])
    std::cout << "  " << tensor["name"].get<std::string>() << "  "
              << tensor["type"].get<std::string>() << "  " << tensor["shape"].dump() << "\n";
  std::cout << "\nmemory\n";
  if (plan) {
    std::cout << "  weights  " << show_bytes(plan->weights_mapped + plan->weights_packed) << " ("
              << show_bytes(plan->weights_packed) << " repacked)\n  KV cache " << plan->sequences
              << " x " << show_bytes(plan->kv_cache) << "\n  scratch  " << show_bytes(plan->scratch)
              << "\n  program  " << show_bytes(plan->program) << " with the tokenizer\n  total    "
              << show_bytes(plan->total()) << "\n";
  } else {
    std::cout << "  " << plan.error().to_string() << "\n";
  }
  return kDone;
}

}  // namespace

void add_inspect(const Program& program) {
  auto* verb = program.app.add_subcommand(
      "inspect", "shows metadata, tensors and the memory plan of a model file");
  auto options = std::make_shared<Options>();
  verb->add_option("file", options->file, "a .gguf or .safetensors file, or a model folder")
      ->required();
  auto* tensor = verb->add_option("--tensor", options->tensor, "this tensor alone");
  verb->add_option("--f32", options->out, "write the tensor's values here as little-endian float32")
      ->needs(tensor);
  verb->add_option("--context", options->context, "plan for this many tokens")
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--kv-type", options->kv_type, "plan for keys and values stored like this")
      ->check(CLI::IsMember(kv_type_names()))
      ->capture_default_str();
  verb->add_option("--slots", options->slots, "plan for this many sequences at once")
      ->check(CLI::NonNegativeNumber);
  verb->add_flag("--json", options->json, "as a JSON object");
  verb->callback([=, &action = program.action] { action = [options] { return run(*options); }; });
}

}  // namespace inference::cli
