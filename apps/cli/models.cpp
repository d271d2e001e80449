// models: what discover() finds.
#include <iostream>

#include "apps/cli/verbs.h"

namespace inference::cli {
namespace {

int run(const std::string& folder, bool json) {
  const auto found = discover(folder);
  if (!found) return report(found.error());
  if (json) {
    OutJson out = OutJson::array();
    for (const DiscoveredModel& model : *found)
      out.push_back({{"name", model_name(model)},
                     {"path", model.path},
                     {"model_type", model.model_type},
                     {"quant_bits", model.quant_bits},
                     {"quant_group", model.quant_group},
                     {"num_files", model.num_files},
                     {"format", to_string(model.format)}});
    print_json(out, 1);
    return kDone;
  }
  if (found->empty()) std::cerr << "no models in " << folder << "\n";
  for (const DiscoveredModel& model : *found)
    std::cout << model_name(model) << "\t" << (model.model_type.empty() ? "?" : model.model_type)
              << "\t" << to_string(model.format) << "\t"
              << (model.quant_bits > 0 ? std::to_string(model.quant_bits) + " bit" : "float")
              << "\t" << model.path << "\n";
  return kDone;
}

}  // namespace

void add_models(const Program& program) {
  auto* verb = program.app.add_subcommand("models", "lists the models in a folder");
  auto folder = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  verb->add_option("dir", *folder,
                   "where to look; default: $INFERENCE_MODELS, else ~/.cache/inference/models");
  verb->add_flag("--json", *json, "as a JSON array");
  verb->callback([=, &action = program.action] {
    action = [=] { return run(folder->empty() ? models_folder() : *folder, *json); };
  });
}

}  // namespace inference::cli
