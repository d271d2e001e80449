// How far long work is, on a terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace inference::cli {

/// A line on stderr with a bar, the rate and the time left, if that is a terminal; gone when
/// destroyed.
class RateBar {
 public:
  /// "prompts" counts what `done` counts.
  RateBar(std::string label, std::string unit);
  RateBar(const RateBar&) = delete;
  RateBar& operator=(const RateBar&) = delete;
  ~RateBar();
  /// `fraction` of all work, `done` units of it by this process. Drawn a few times a second.
  void show(double fraction, std::uint64_t done);

 private:
  using Clock = std::chrono::steady_clock;
  std::string label_;
  std::string unit_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point drawn_;
  double first_fraction_ = -1;  // what was done before
  bool shown_ = false;
};

/// "45 s", "3:07 min", "2:05 h".
std::string show_duration(double seconds);

}  // namespace inference::cli
