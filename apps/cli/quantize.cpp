// quantize: a model as GGUF with smaller weights.
#include <iostream>

#include "apps/cli/terminal.h"
#include "apps/cli/verbs.h"
#include "engine/convert/quantize.h"
#include "platform/mapped_file.h"

namespace inference::cli {
namespace {

struct Options {
  std::string in;
  std::string out;
  std::string type;
  std::string importance;
  std::string split;
  int threads = 0;
  bool json = false;
};

std::string type_names() {
  std::string out;
  for (const engine::Recipe& recipe : engine::recipes())
    out += (out.empty() ? "" : ", ") + std::string(recipe.name);
  return out;
}

/// What llama-imatrix wrote, or any text: then the model is run over it.
Result<engine::Importance> importance(const Options& options, const std::string& model,
                                      const std::stop_token& stop) {
  const auto file = platform::MappedFile::open(options.importance);
  if (!file) return std::unexpected(file.error());
  const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()),
                              file->bytes().size());
  if (text.starts_with("GGUF")) return engine::read_importance(options.importance);
  ProgressBar bar("measuring");
  return engine::measure_importance(
      model, text,
      {.threads = options.threads, .stop = stop, .on_progress = [&bar](double fraction) {
         bar.show(fraction);
       }});
}

OutJson report_json(const engine::Recipe& recipe, const engine::QuantizeReport& report) {
  OutJson types = OutJson::object();
  for (const auto& [type, count] : report.types) types[std::string(model::to_string(type))] = count;
  return {{"type", recipe.name},
          {"bytes_before", report.bytes_before},
          {"bytes", report.bytes},
          {"files", report.files},
          {"tensors", std::move(types)},
          {"left_out", report.left_out},
          {"without_importance", report.unknown}};
}

void print_report(const engine::Recipe& recipe, const engine::QuantizeReport& report) {
  for (const std::string& file : report.files) std::cout << file << "\n";
  std::cout << recipe.name << ", " << show_bytes(report.bytes) << " of weights (were "
            << show_bytes(report.bytes_before) << "):";
  for (const auto& [type, count] : report.types)
    std::cout << ' ' << count << ' ' << model::to_string(type);
  std::cout << '\n';
  for (const std::string& what : report.left_out)
    std::cerr << "note: left out, GGUF has no place for it here: " << what << '\n';
}

int run(const Options& options) {
  const engine::Recipe* recipe = engine::find_recipe(options.type);
  if (recipe == nullptr) {
    std::cerr << "error: --type is \"" << options.type << "\"; known are " << type_names() << '\n';
    return kWrongUsage;
  }
  engine::QuantizeOptions quantize;
  if (!options.split.empty()) {
    const auto bytes = parse_bytes(options.split);
    if (!bytes) {
      report({bytes.error().code, bytes.error().message, "--split-max-size"});
      return kWrongUsage;
    }
    quantize.split_bytes = *bytes;
  }
  const auto in = resolve_model(options.in);
  if (!in) return report(in.error());
  const InterruptGuard interrupt;
  std::optional<engine::Importance> known;
  if (!options.importance.empty()) {
    auto made = importance(options, *in, interrupt.token());
    if (!made) return report(made.error());
    known = std::move(*made);
    quantize.importance = &*known;
  }
  quantize.threads = options.threads;
  quantize.stop = interrupt.token();
  Result<engine::QuantizeReport> done;
  {
    ProgressBar bar("quantising");
    quantize.on_progress = [&bar](double fraction) { bar.show(fraction); };
    done = engine::quantize_model(*in, options.out, *recipe, quantize);
  }
  if (!done) return report(done.error());
  if (options.json) {
    print_json(report_json(*recipe, *done));
  } else {
    print_report(*recipe, *done);
  }
  return kDone;
}

}  // namespace

void add_quantize(const Program& program) {
  auto* verb = program.app.add_subcommand("quantize", "writes a GGUF model with smaller weights");
  auto options = std::make_shared<Options>();
  verb->add_option("in", options->in,
                   "a .gguf file or a folder of safetensors, best in BF16, F16 or F32")
      ->required();
  verb->add_option("out", options->out, "the file to write")->required();
  verb->add_option("--type", options->type, type_names())->required();
  verb->add_option("--imatrix", options->importance,
                   "a text to measure the weights' importance with, or what llama-imatrix wrote");
  verb->add_option("--split-max-size", options->split,
                   "write files of at most this size, e.g. 2G, named OUT-00001-of-00003.gguf");
  verb->add_option("--threads", options->threads, "compute threads; 0: one per core")
      ->check(CLI::Range(0, 1024));
  verb->add_flag("--json", options->json,
                 R"(as {"type", "bytes_before", "bytes", "files", "tensors", "left_out", …})");
  verb->callback([=, &action = program.action] { action = [options] { return run(*options); }; });
}

}  // namespace inference::cli
