// quantize: a model file with smaller weights.
#include <filesystem>
#include <iostream>

#include "apps/cli/terminal.h"
#include "apps/cli/verbs.h"
#include "engine/convert/quantize.h"

namespace inference::cli {
namespace {

struct Options {
  std::string in;
  std::string out;
  std::string type;
  bool json = false;
};

std::string type_names() {
  std::string out;
  for (const engine::Recipe& recipe : engine::recipes())
    out += (out.empty() ? "" : ", ") + std::string(recipe.name);
  return out;
}

int run(const Options& options) {
  const engine::Recipe* recipe = engine::find_recipe(options.type);
  if (recipe == nullptr) {
    std::cerr << "error: --type is \"" << options.type << "\"; known are " << type_names() << '\n';
    return kWrongUsage;
  }
  const auto in = resolve_model(options.in);
  if (!in) return report(in.error());
  engine::QuantizeOptions quantize;
  {
    ProgressBar bar("quantising");
    quantize.on_progress = [&bar](double fraction) { bar.show(fraction); };
    if (const Status ok = engine::quantize_file(*in, options.out, *recipe, quantize); !ok)
      return report(ok.error());
  }
  std::error_code ignored;
  const auto before = std::filesystem::file_size(*in, ignored);
  const auto after = std::filesystem::file_size(options.out, ignored);
  if (options.json) {
    print_json({{"type", recipe->name}, {"bytes_before", before}, {"bytes", after}});
  } else {
    std::cout << options.out << ": " << recipe->name << ", " << show_bytes(after) << " (was "
              << show_bytes(before) << ")\n";
  }
  return kDone;
}

}  // namespace

void add_quantize(const Program& program) {
  auto* verb = program.app.add_subcommand("quantize", "writes a GGUF model with smaller weights");
  auto options = std::make_shared<Options>();
  verb->add_option("in", options->in, "a .gguf file, best in F16 or F32")->required();
  verb->add_option("out", options->out, "the file to write")->required();
  verb->add_option("--type", options->type, type_names())->required();
  verb->add_flag("--json", options->json, "as {\"type\", \"bytes_before\", \"bytes\"}");
  verb->callback([=, &action = program.action] { action = [options] { return run(*options); }; });
}

}  // namespace inference::cli
