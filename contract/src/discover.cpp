#include "inference/discover.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "peek.h"

namespace inference {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t kMaxConfigBytes = 16U << 20;

std::optional<std::string> read_small_file(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored) || fs::file_size(path, ignored) > kMaxConfigBytes)
    return std::nullopt;
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  if (!in) return std::nullopt;
  return out.str();
}

/// "name-00002-of-00005.gguf": the number of this part, 1 for a file that is not split.
int part_number(const std::string& name) {
  constexpr std::size_t kSuffix = sizeof("-00001-of-00001.gguf") - 1;
  if (name.size() <= kSuffix) return 1;
  const std::string tail = name.substr(name.size() - kSuffix);
  const auto digits = [&](std::size_t at) {
    return std::all_of(tail.begin() + static_cast<std::ptrdiff_t>(at),
                       tail.begin() + static_cast<std::ptrdiff_t>(at + 5),
                       [](char c) { return c >= '0' && c <= '9'; });
  };
  if (tail[0] != '-' || !digits(1) || tail.substr(6, 4) != "-of-" || !digits(10)) return 1;
  return std::stoi(tail.substr(1, 5));
}

std::string absolute_path(const fs::path& path) {
  std::error_code error;
  const fs::path full = fs::absolute(path, error);
  return (error ? path : full).lexically_normal().string();
}

void add_folder(const fs::path& folder, std::vector<DiscoveredModel>& out) {
  std::error_code error;
  int weights = 0;
  for (fs::directory_iterator entry(folder, fs::directory_options::skip_permission_denied, error),
       end;
       !error && entry != end; entry.increment(error))
    if (entry->path().extension() == ".safetensors") ++weights;
  std::error_code ignored;
  if (weights == 0 || !fs::exists(folder / "config.json", ignored)) return;
  DiscoveredModel model;
  model.path = absolute_path(folder);
  if (model.path.size() > 1 && model.path.ends_with('/')) model.path.pop_back();
  model.num_files = weights;
  model.format = ModelFormat::safetensors;
  const auto config = read_small_file(folder / "config.json");
  if (const auto facts = config ? peek_config(*config) : std::nullopt) {
    model.model_type = facts->model_type;
    model.quant_bits = facts->quant_bits;
    model.quant_group = facts->quant_group;
  }
  out.push_back(std::move(model));
}

void add_gguf(const fs::path& file, std::vector<DiscoveredModel>& out) {
  if (part_number(file.filename().string()) != 1) return;
  DiscoveredModel model;
  model.path = absolute_path(file);
  model.format = ModelFormat::gguf;
  model.num_files = 1;
  if (const auto facts = peek_gguf(file.string())) {
    model.model_type = facts->facts.model_type;
    model.quant_bits = facts->facts.quant_bits;
    model.quant_group = facts->facts.quant_group;
    model.num_files = std::max(1, facts->split_count);
  }
  out.push_back(std::move(model));
}

}  // namespace

std::string_view to_string(ModelFormat format) noexcept {
  return format == ModelFormat::gguf ? "gguf" : "safetensors";
}

Result<std::vector<DiscoveredModel>> discover(const std::string& dir) {
  const fs::path root(dir);
  std::error_code error;
  fs::directory_iterator entry(root, error);
  if (error) {
    const ErrorCode code = error == std::errc::permission_denied ? ErrorCode::permission_denied
                           : error == std::errc::no_such_file_or_directory ? ErrorCode::not_found
                           : error == std::errc::not_a_directory ? ErrorCode::invalid_argument
                                                                 : ErrorCode::io_error;
    return fail(code, "cannot list the folder: " + error.message(), dir);
  }
  std::vector<DiscoveredModel> out;
  add_folder(root, out);
  for (const fs::directory_iterator end; entry != end; entry.increment(error)) {
    if (error) return fail(ErrorCode::io_error, "cannot list the folder: " + error.message(), dir);
    std::error_code ignored;
    if (entry->is_directory(ignored)) {
      add_folder(entry->path(), out);
    } else if (entry->path().extension() == ".gguf") {
      add_gguf(entry->path(), out);
    }
  }
  std::ranges::sort(out, {}, &DiscoveredModel::path);
  return out;
}

}  // namespace inference
