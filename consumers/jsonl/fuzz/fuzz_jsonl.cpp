// Any bytes as a file of lines: nothing is lost, and every position can be gone on from.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "consumers/jsonl/line_reader.h"
#include "consumers/jsonl/text.h"
#include "model/formats/json.h"

namespace {

using namespace inference::jsonl;

void read_all(const std::string& path, std::string_view text, std::size_t longest) {
  auto reader = LineReader::open(path, {}, longest);
  if (!reader) std::abort();
  std::uint64_t end = 0;
  for (std::uint64_t number = 1;; ++number) {
    const auto line = reader->next();
    if (!line) std::abort();
    if (!*line) break;
    const Line& l = **line;
    if (l.number != number || l.begin != end || l.end <= l.begin || l.end > text.size())
      std::abort();
    end = l.end;
    const std::string_view whole = text.substr(l.begin, l.end - l.begin - (l.ended ? 1 : 0));
    if (l.too_long ? whole.size() <= longest : l.text != whole) std::abort();
    auto again = LineReader::open(path, {.offset = l.begin, .number = l.number}, longest);
    const auto same = again ? again->next() : std::unexpected(again.error());
    if (!same || !*same || (**same).end != l.end) std::abort();
    if (l.number > 64) return;  // the rest is alike
  }
  if (end != text.size()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const int fd = ::memfd_create("fuzz", MFD_CLOEXEC);
  if (::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()))
    read_all("/proc/self/fd/" + std::to_string(fd), text, 1 + data[0]);
  (void)::close(fd);

  const auto string = inference::model::parse_json(json_string(text), "fuzz");
  if (!string || string->as_string() == nullptr) std::abort();
  if (valid_utf8(text) && *string->as_string() != text) std::abort();
  const auto object = inference::model::parse_json(text, "fuzz", {.keep_duplicate_keys = true});
  if (object && object->is_object()) {
    const auto more = inference::model::parse_json(with_member(text, "added", "1"), "fuzz",
                                                   {.keep_duplicate_keys = true});
    if (!more || more->as_object()->size() != object->as_object()->size() + 1) std::abort();
  }
  return 0;
}
