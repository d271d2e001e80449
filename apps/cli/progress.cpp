#include "apps/cli/progress.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "apps/cli/terminal.h"

namespace inference::cli {

std::string show_duration(double seconds) {
  const auto whole = std::llround(std::clamp(seconds, 0.0, 1e9));
  char buffer[48];
  if (whole < 60)
    std::snprintf(buffer, sizeof buffer, "%lld s", whole);
  else if (whole < 3600)
    std::snprintf(buffer, sizeof buffer, "%lld:%02lld min", whole / 60, whole % 60);
  else
    std::snprintf(buffer, sizeof buffer, "%lld:%02lld h", whole / 3600, whole / 60 % 60);
  return buffer;
}

RateBar::RateBar(std::string label, std::string unit)
    : label_(std::move(label)), unit_(std::move(unit)) {}

void RateBar::show(double fraction, std::uint64_t done) {
  if (!error_is_terminal()) return;
  const std::lock_guard lock(mutex_);
  constexpr auto kBetween = std::chrono::milliseconds(200);
  const auto now = Clock::now();
  fraction_ = std::clamp(fraction, 0.0, 1.0);
  done_ = done;
  if (first_fraction_ < 0) first_fraction_ = done == 0 ? fraction_ : 0;
  if (shown_ && now - drawn_ < kBetween) return;
  drawn_ = now;
  shown_ = true;
  draw(false);
}

void RateBar::say(const std::string& text) {
  const std::lock_guard lock(mutex_);
  std::fprintf(stderr, "%s%s\n", shown_ ? "\r\033[K" : "", text.c_str());
  if (shown_) draw(false);
}

void RateBar::draw(bool last) {
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  const double rate = seconds > 0 ? static_cast<double>(done_) / seconds : 0;
  const double part = fraction_ - first_fraction_;
  std::string time = "-";
  if (last)
    time = show_duration(seconds);
  else if (part > 0)
    time = show_duration(seconds * (1 - fraction_) / part) + " left";
  constexpr int kWidth = 24;
  const auto filled = static_cast<std::size_t>(fraction_ * kWidth);
  std::fprintf(stderr, "\r\033[K%s [%s%s] %3d %%  %llu %s, %.1f/s, %s%s", label_.c_str(),
               std::string(filled, '#').c_str(), std::string(kWidth - filled, ' ').c_str(),
               static_cast<int>(fraction_ * 100), static_cast<unsigned long long>(done_),
               unit_.c_str(), rate, time.c_str(), last ? "\n" : "");
  std::fflush(stderr);
}

RateBar::~RateBar() {
  if (shown_) draw(true);
}

}  // namespace inference::cli
