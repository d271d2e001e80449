#include "backends/rocm/server_program.h"

#include <sys/stat.h>

#include <charconv>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <tuple>

#include "backends/rocm/server_environment.h"
#include "platform/child_process.h"
#include "platform/system.h"

namespace inference::backends {
namespace {

constexpr std::chrono::seconds kVersionLimit{10};
constexpr std::size_t kMostVersionBytes = 64 * 1024;

/// What tells one file from the one that replaced it.
using FileKey = std::tuple<std::string, std::uint64_t, std::uint64_t, std::int64_t, std::int64_t>;

std::optional<FileKey> key_of(const std::string& path) {
  struct stat facts{};
  if (::stat(path.c_str(), &facts) != 0) return std::nullopt;
  return FileKey{path, facts.st_ino, static_cast<std::uint64_t>(facts.st_size),
                 static_cast<std::int64_t>(facts.st_mtime),
#if defined(__linux__)
                 static_cast<std::int64_t>(facts.st_mtim.tv_nsec)
#else
                 0
#endif
  };
}

long number_at(std::string_view text, std::size_t at) {
  long value = 0;
  const auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), value);
  return error == std::errc() && value >= 0 ? value : -1;
}

Result<ServerProgram> ask_version(const std::string& path) {
  platform::ChildOptions options;
  options.program = path;
  options.arguments = {"--version"};
  options.environment = server_environment();
  options.limits.wall = kVersionLimit;
  options.limits.output_bytes = kMostVersionBytes;
  options.grace = std::chrono::milliseconds(200);
  auto result = platform::run_child(std::move(options));
  if (!result) return std::unexpected(std::move(result.error()));
  if (!result->exit.success())
    return fail(ErrorCode::unsupported,
                "is no llama-server: with --version it " + result->exit.to_string(), path);
  return parse_server_version(path, result->output + result->error);
}

}  // namespace

Result<ServerProgram> parse_server_version(const std::string& path, const std::string& text) {
  constexpr std::string_view kVersion = "version: ";
  constexpr std::string_view kBuild = "(build ";
  const std::size_t at = text.starts_with(kVersion) ? 0 : text.find("\n" + std::string(kVersion));
  if (at == std::string::npos)
    return fail(ErrorCode::unsupported, "is no llama-server: --version does not say one", path);
  const std::size_t from = text.find(kVersion, at);
  const std::string line = text.substr(from, text.find('\n', from) - from);
  const std::size_t build = line.find(kBuild);
  const long number =
      number_at(line, build != std::string::npos ? build + kBuild.size() : kVersion.size());
  ServerProgram out{path, {}, number};
  for (const char c : line)
    if (c >= ' ' && c <= '~' && out.version.size() < 100) out.version += c;
  if (number < 0)
    return fail(ErrorCode::unsupported, "is no llama-server: it says \"" + out.version + "\"",
                path);
  if (number > 0 && number < kOldestServerBuild)
    return fail(ErrorCode::unsupported,
                "is llama-server build " + std::to_string(number) + "; build " +
                    std::to_string(kOldestServerBuild) + " or newer is needed",
                path);
  return out;
}

Result<std::string> find_llama_server() {
  if (const auto named = platform::environment("LLAMA_SERVER"); named && !named->empty()) {
    auto found = named->find('/') == std::string::npos
                     ? Result<std::string>(fail(ErrorCode::not_found, "is no path", *named))
                     : platform::find_program(*named);
    if (found) return std::filesystem::absolute(*found).lexically_normal().string();
    return fail(ErrorCode::unavailable,
                "LLAMA_SERVER names \"" + *named + "\", which is no program that can be run",
                "rocm");
  }
  if (auto found = platform::find_program("llama-server")) return found;
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error)
    if (auto found = platform::find_program((self.parent_path() / "llama-server").string()))
      return found;
  return fail(ErrorCode::unavailable,
              "llama-server is neither in PATH nor beside this program; install llama.cpp built "
              "for ROCm, or name it with LLAMA_SERVER",
              "rocm");
}

Result<ServerProgram> check_llama_server(const std::string& path) {
  static std::mutex mutex;
  static std::map<FileKey, ServerProgram> known;
  const auto key = key_of(path);
  if (key) {
    const std::lock_guard lock(mutex);
    if (const auto found = known.find(*key); found != known.end()) return found->second;
  }
  auto program = ask_version(path);
  if (program && key) {
    const std::lock_guard lock(mutex);
    if (known.size() > 16) known.clear();
    known.emplace(*key, *program);
  }
  return program;
}

}  // namespace inference::backends
