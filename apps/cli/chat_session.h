// A chat in the terminal.
#pragma once

#include <string>
#include <vector>

#include "inference/inference.h"

namespace inference::cli {

/// Tokens per second, on stderr.
void print_stats(const GenerateMetrics& metrics);

class ChatSession {
 public:
  ChatSession(TextModel& model, GenerateConfig config, std::string system, bool raw, bool stats);
  /// Until /bye or the end of input; gives the exit status.
  int run();

 private:
  bool command(const std::string& line);  ///< false: leave
  void answer(const std::string& text);
  void reset();
  void save(const std::string& path) const;
  void load(const std::string& path);

  TextModel& model_;
  GenerateConfig config_;
  std::string system_;
  bool raw_;
  bool stats_;
  std::vector<Message> messages_;
};

}  // namespace inference::cli
