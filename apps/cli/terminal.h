// The terminal: progress, lines of input, interrupts.
#pragma once

#include <optional>
#include <string>

namespace inference::cli {

bool input_is_terminal();
bool output_is_terminal();
bool error_is_terminal();

/// A bar on stderr, if that is a terminal; gone when destroyed.
class ProgressBar {
 public:
  explicit ProgressBar(std::string label);
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  ~ProgressBar();
  void show(double fraction);

 private:
  std::string label_;
  int shown_ = -1;
};

/// Reads lines with editing and history. Lines that arrive together (a paste) are one entry.
class LineEditor {
 public:
  explicit LineEditor(std::string history_file);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;
  /// Empty optional at the end of input.
  std::optional<std::string> read(const std::string& prompt);

 private:
  std::string history_file_;
};

}  // namespace inference::cli
