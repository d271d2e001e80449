// Any text as a file that scoring reads: phrases, rubrics, probes, items. The first byte chooses.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "consumers/scoring/item.h"
#include "consumers/scoring/judge/rubric.h"
#include "consumers/scoring/patterns.h"
#include "consumers/scoring/probes/content_probes.h"
#include "consumers/scoring/probes/probe.h"

namespace {

/// A file in memory that has a path.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view text) : fd_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    (void)!::write(fd_, text.data(), text.size());
  }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  ~MemoryFile() { (void)::close(fd_); }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace inference::scoring;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 5) {
    case 0:
      (void)Patterns::parse(text, "fuzz");
      break;
    case 1:
      if (const auto rubric = parse_rubric(text, "fuzz")) {
        (void)rubric->fill({{"response", "{prompt}"}});
        (void)rubric->grammar();
      }
      break;
    case 2:
      (void)load_probes(MemoryFile(text).path());
      break;
    case 3:
      (void)load_content_probes(MemoryFile(text).path());
      break;
    default:
      (void)read_items(MemoryFile(text).path());
  }
  return 0;
}
