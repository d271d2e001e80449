#include "consumers/scoring/data_files.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace inference::scoring {

Result<std::string> read_data_file(const std::string& path) {
  constexpr std::size_t kMost = std::size_t{16} << 20;
  const auto close = [](std::FILE* file) { std::fclose(file); };
  const std::unique_ptr<std::FILE, decltype(close)> file(std::fopen(path.c_str(), "rbe"), close);
  if (!file)
    return fail(errno == ENOENT ? ErrorCode::not_found : ErrorCode::io_error, std::strerror(errno),
                path);
  std::string out;
  char buffer[65536];
  while (const std::size_t size = std::fread(buffer, 1, sizeof buffer, file.get())) {
    out.append(buffer, size);
    if (out.size() > kMost)
      return fail(ErrorCode::invalid_argument, "the file is larger than 16 MiB", path);
  }
  if (std::ferror(file.get()) != 0) return fail(ErrorCode::io_error, std::strerror(errno), path);
  return out;
}

}  // namespace inference::scoring
