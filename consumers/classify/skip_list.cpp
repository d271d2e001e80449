#include "consumers/classify/skip_list.h"

#include <utility>

#include "consumers/jsonl/text.h"

namespace inference::classify {

Status SkipList::open(const std::string& path, std::uint64_t size) {
  if (path.empty()) return {};
  auto writer = jsonl::LineWriter::open(path, jsonl::LineWriter::Mode::go_on, size);
  if (!writer) return std::unexpected(std::move(writer.error()));
  writer_.emplace(std::move(*writer));
  return {};
}

void SkipList::add(const SkippedLine& line) {
  if (!writer_) return;
  constexpr std::size_t kEnough = std::size_t{64} << 10;
  waiting_ += "{\"line\":" + std::to_string(line.line) +
              ",\"reason\":" + jsonl::json_string(line.reason) + "}\n";
  if (waiting_.size() >= kEnough && failed_) failed_ = flush();
}

Status SkipList::flush() {
  if (!failed_ || waiting_.empty()) return failed_;
  const std::string lines = std::exchange(waiting_, {});
  return writer_->write(lines);
}

Status SkipList::cut(std::uint64_t size) {
  if (!writer_) return {};
  if (Status ok = flush(); !ok) return ok;
  return writer_->size() == size ? Status{} : writer_->cut(size);
}

Status SkipList::sync() {
  return writer_ ? writer_->sync() : Status{};
}

std::uint64_t SkipList::size() const {
  return writer_ ? writer_->size() + waiting_.size() : 0;
}

}  // namespace inference::classify
