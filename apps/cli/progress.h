// How far long work is, on a terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace inference::cli {

/// A line on stderr with a bar, the rate and the time left, if that is a terminal. When it is
/// destroyed, the last state stays, with the time that it took. Used from several threads.
class RateBar {
 public:
  /// "prompts" counts what `done` counts.
  RateBar(std::string label, std::string unit);
  RateBar(const RateBar&) = delete;
  RateBar& operator=(const RateBar&) = delete;
  ~RateBar();
  /// `fraction` of all work, `done` units of it by this process. Drawn a few times a second.
  void show(double fraction, std::uint64_t done);
  /// A line of text on stderr, terminal or not; the bar goes on below it.
  void say(const std::string& text);

 private:
  void draw(bool last);
  using Clock = std::chrono::steady_clock;
  std::string label_;
  std::string unit_;
  Clock::time_point start_ = Clock::now();
  std::mutex mutex_;  ///< guards what follows
  Clock::time_point drawn_;
  double fraction_ = 0;
  std::uint64_t done_ = 0;
  double first_fraction_ = -1;  // what was done before
  bool shown_ = false;
};

/// What a verb says when Ctrl-C was heard.
inline constexpr const char* kFinishingBatch =
    "finishing the batch in flight; Ctrl-C again leaves at once";

/// "45 s", "3:07 min", "2:05 h".
std::string show_duration(double seconds);

}  // namespace inference::cli
