#include "consumers/store/csv.h"

namespace inference::store {

std::string csv_record(const std::vector<std::string>& fields) {
  std::string out;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const std::string& field = fields[i];
    if (i > 0) out += ',';
    // A single empty field would be an empty line, which some readers skip.
    const bool quote = field.find_first_of(",\"\r\n") != std::string::npos ||
                       (fields.size() == 1 && field.empty());
    if (!quote) {
      out += field;
      continue;
    }
    out += '"';
    for (const char c : field) {
      if (c == '"') out += '"';
      out += c;
    }
    out += '"';
  }
  return out + "\r\n";
}

std::string CsvReader::place() const {
  return "line " + std::to_string(begins_) + " (record " + std::to_string(record_) + ")";
}

std::unexpected<Error> CsvReader::broken(const std::string& what) const {
  return fail(ErrorCode::corrupt_data, place() + ": " + what);
}

/// Goes on behind the character that peek() gave.
void CsvReader::take() {
  line_ += piece_[at_++] == '\n' ? 1 : 0;
}

Result<std::optional<char>> CsvReader::peek() {
  while (at_ == piece_.size() && !ended_) {
    auto piece = source_();
    if (!piece) return std::unexpected(std::move(piece.error()));
    ended_ = piece->empty();
    piece_ = *piece;
    at_ = 0;
  }
  if (at_ == piece_.size()) return std::nullopt;
  return piece_[at_];
}

/// What stands between two quotes; the first one is taken already.
Status CsvReader::read_quoted(std::string& field) {
  while (true) {
    const auto c = peek();
    if (!c) return std::unexpected(c.error());
    if (!*c) return broken("a quoted field does not end");
    take();
    if (**c != '"') {
      field += **c;
      continue;
    }
    const auto after = peek();
    if (!after) return std::unexpected(after.error());
    if (!*after || **after != '"') return {};
    take();
    field += '"';
  }
}

Result<std::optional<std::vector<std::string>>> CsvReader::next() {
  const auto first = peek();
  if (!first) return std::unexpected(first.error());
  if (!*first) return std::nullopt;
  ++record_;
  begins_ = line_;
  std::vector<std::string> fields(1);
  bool quoted = false;  // the field has ended with a quote
  while (true) {
    const auto c = peek();
    if (!c) return std::unexpected(c.error());
    if (!*c) return fields;
    take();
    switch (**c) {
      case ',':
        fields.emplace_back();
        quoted = false;
        break;
      case '\n':
        return fields;
      case '\r': {
        const auto feed = peek();
        if (!feed) return std::unexpected(feed.error());
        if (!*feed || **feed != '\n') return broken("a carriage return stands alone");
        take();
        return fields;
      }
      case '"':
        if (quoted || !fields.back().empty())
          return broken("a quote stands inside a field without quotes");
        if (Status ok = read_quoted(fields.back()); !ok)
          return std::unexpected(std::move(ok.error()));
        quoted = true;
        break;
      default:
        if (quoted) return broken("text stands behind a closing quote");
        fields.back() += **c;
    }
  }
}

}  // namespace inference::store
