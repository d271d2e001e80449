// backends: who is there, and what a model of theirs really does.
#include <algorithm>
#include <iostream>

#include "apps/cli/terminal.h"
#include "apps/cli/verbs.h"
#include "inference/testing/capabilities.h"

namespace inference::cli {
namespace {

struct Options {
  std::string model;
  std::string backend;
  std::string library;
  bool json = false;
};

/// A column of text as wide as its widest entry (names of ours: ASCII).
class Column {
 public:
  void fit(const std::string& entry) { width_ = std::max(width_, entry.size()); }
  std::string left(std::string entry) const {
    entry.resize(std::max(width_, entry.size()), ' ');
    return entry;
  }

 private:
  std::size_t width_ = 0;
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
  ProgressBar bar("measuring " + backend.name());
  bar.show(0);
  const auto model = backend.load_model(path);
  if (!model) return {{"error", model.error().to_string()}};
  return {{"capabilities", to_json(testkit::measure_capabilities(**model))}};
}

bool takes(const Backend& backend, const std::string& path) {
  const auto* address = dynamic_cast<const AddressBackend*>(&backend);
  return address != nullptr && address->is_address(path);
}

std::string text(const OutJson& entry, const char* name) {
  return entry[name].get<std::string>();
}

void print_backends(const OutJson& backends) {
  Column names;
  for (const auto& entry : backends) names.fit(text(entry, "name"));
  for (const auto& entry : backends)
    std::cout << names.left(text(entry, "name")) << "  "
              << (entry["available"].get<bool>() ? "available" : text(entry, "reason"))
              << (entry["default"].get<bool>() ? " (default)" : "") << '\n';
}

bool works(const OutJson& capability) {
  return capability.is_boolean() || capability["available"].get<bool>();
}

/// One row per capability, one column per backend.
void print_capabilities(const std::vector<const OutJson*>& checked) {
  const OutJson& rows = (*checked.front())["capabilities"];
  Column names;
  for (const auto& [name, value] : rows.items()) names.fit(name);
  constexpr std::size_t kAnswer = 3;  // "yes"
  std::cout << '\n' << names.left("");
  for (const OutJson* backend : checked) {
    Column column;
    column.fit(std::string(kAnswer, ' '));
    std::cout << "  " << column.left(text(*backend, "name"));
  }
  std::cout << '\n';
  for (const auto& [name, value] : rows.items()) {
    std::cout << names.left(name);
    std::size_t gap = 2;
    for (const OutJson* backend : checked) {
      const std::string answer = works((*backend)["capabilities"][name]) ? "yes" : "no";
      std::cout << std::string(gap, ' ') << answer;
      gap = 2 + std::max(text(*backend, "name").size(), kAnswer) - answer.size();
    }
    std::cout << '\n';
  }
}

/// Numbers behind a "yes", reasons behind a "no".
void print_details(const OutJson& backend) {
  const OutJson& capabilities = backend["capabilities"];
  Column names;
  for (const auto& [name, value] : capabilities.items())
    if (value.is_object()) names.fit(name);
  std::cout << '\n' << text(backend, "name") << '\n';
  for (const auto& [name, value] : capabilities.items())
    if (value.is_object())
      std::cout << "  " << names.left(name) << "  "
                << (works(value) ? text(value, "measured") : "no: " + text(value, "reason"))
                << '\n';
}

void print_table(const OutJson& backends) {
  print_backends(backends);
  std::vector<const OutJson*> checked;
  for (const auto& entry : backends)
    if (entry.contains("capabilities")) checked.push_back(&entry);
  if (checked.empty()) return;
  print_capabilities(checked);
  for (const OutJson* entry : checked) print_details(*entry);
  for (const auto& entry : backends)
    if (entry.contains("error"))
      std::cout << '\n'
                << text(entry, "name") << "\n  cannot load it: " << text(entry, "error") << '\n';
}

int run(Options options) {
  if (!options.library.empty()) {
    const auto name = load_backend_library(options.library);
    if (!name) return report(name.error());
    if (options.backend.empty()) options.backend = *name;
  }
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
  verb->add_option("--backend-library", options->library,
                   "a shared library with a backend, which then is the one that is looked at");
  verb->add_flag("--json", options->json, "as a JSON array");
  verb->callback([=, &action = program.action] { action = [options] { return run(*options); }; });
}

}  // namespace inference::cli
