// backends: who is there, and what a model of theirs really does.
#include <algorithm>
#include <iomanip>
#include <iostream>

#include "apps/cli/terminal.h"
#include "apps/cli/verbs.h"
#include "inference/testing/capabilities.h"

namespace inference::cli {
namespace {

struct Options {
  std::string model;
  std::string backend;
  bool json = false;
};

OutJson to_json(const std::vector<testkit::Capability>& capabilities) {
  OutJson out = OutJson::object();
  for (const testkit::Capability& capability : capabilities) {
    if (!capability.works) {
      out[capability.name] = {{"available", false}, {"reason", capability.reason}};
    } else if (capability.measured.empty()) {
      out[capability.name] = true;
    } else {
      out[capability.name] = {{"available", true}, {"measured", capability.measured}};
    }
  }
  return out;
}

/// What a backend makes of the model; a backend that cannot load it says why.
OutJson check(Backend& backend, const std::string& path) {
  const auto model = backend.load_model(path);
  if (!model) return {{"error", model.error().to_string()}};
  return {{"capabilities", to_json(testkit::measure_capabilities(**model))}};
}

bool takes(const Backend& backend, const std::string& path) {
  const auto* address = dynamic_cast<const AddressBackend*>(&backend);
  return address != nullptr && address->is_address(path);
}

void print_capabilities(const OutJson& capabilities) {
  std::size_t width = 0;
  for (const auto& [name, value] : capabilities.items()) width = std::max(width, name.size());
  for (const auto& [name, value] : capabilities.items()) {
    const bool works = value.is_boolean() || value["available"].get<bool>();
    std::cout << "  " << std::left << std::setw(static_cast<int>(width)) << name << "  "
              << (works ? "yes" : "no");
    if (value.contains("measured")) std::cout << "   " << value["measured"].get<std::string>();
    if (value.contains("reason")) std::cout << "    " << value["reason"].get<std::string>();
    std::cout << '\n';
  }
}

void print_table(const OutJson& backends) {
  for (const auto& entry : backends) {
    std::cout << entry["name"].get<std::string>() << "\t"
              << (entry["available"].get<bool>() ? "available" : entry["reason"].get<std::string>())
              << (entry["default"].get<bool>() ? "\tdefault" : "") << "\n";
    if (entry.contains("error")) std::cout << "  " << entry["error"].get<std::string>() << "\n";
    if (entry.contains("capabilities")) print_capabilities(entry["capabilities"]);
  }
}

int run(const Options& options) {
  const auto chosen = default_backend();
  const std::string chosen_name = chosen ? (*chosen)->name() : std::string();
  std::string path;
  if (!options.model.empty()) {
    auto resolved = resolve_model(options.model);
    if (!resolved) return report(resolved.error());
    path = std::move(*resolved);
  }
  if (!options.backend.empty())
    if (const auto named = get_backend(options.backend); !named) return report(named.error());
  OutJson out = OutJson::array();
  bool checked = false;
  OutJson last_error;
  for (const auto& [name, backend] : all_backends()) {
    if (!options.backend.empty() && name != options.backend) continue;
    const Status available = backend->available();
    OutJson entry = {{"name", name},
                     {"available", available.has_value()},
                     {"reason", available ? "" : available.error().message},
                     {"default", name == chosen_name}};
    if (!path.empty() && (available || takes(*backend, path))) {
      entry.update(check(*backend, path));
      checked = checked || entry.contains("capabilities");
      if (entry.contains("error")) last_error = entry["error"];
    }
    out.push_back(std::move(entry));
  }
  if (!path.empty() && !checked)
    return report({ErrorCode::unavailable,
                   last_error.is_string() ? last_error.get<std::string>()
                                          : "no backend that is available takes this model",
                   options.model});
  if (options.json) {
    print_json(out, 1);
  } else {
    print_table(out);
  }
  return kDone;
}

}  // namespace

void add_backends(const Program& program) {
  auto* verb =
      program.app.add_subcommand("backends", "lists the backends and whether they can run here");
  auto options = std::make_shared<Options>();
  verb->add_option("--check", options->model,
                   "load this model with each backend and measure what it really does");
  verb->add_option("--backend", options->backend, "only this backend");
  verb->add_flag("--json", options->json, "as a JSON array");
  verb->callback([=, &action = program.action] { action = [options] { return run(*options); }; });
}

}  // namespace inference::cli
