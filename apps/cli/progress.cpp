#include "apps/cli/progress.h"

#include <algorithm>
#include <cstdio>

#include "apps/cli/terminal.h"

namespace inference::cli {

std::string show_duration(double seconds) {
  const auto whole = static_cast<long long>(std::clamp(seconds, 0.0, 1e9) + 0.5);
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
  constexpr auto kBetween = std::chrono::milliseconds(200);
  const auto now = Clock::now();
  fraction = std::clamp(fraction, 0.0, 1.0);
  if (first_fraction_ < 0) first_fraction_ = done == 0 ? fraction : 0;
  if (shown_ && now - drawn_ < kBetween && fraction < 1) return;
  drawn_ = now;
  shown_ = true;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  const double part = fraction - first_fraction_;
  const std::string left =
      part > 0 ? show_duration(seconds * (1 - fraction) / part) + " left" : std::string("-");
  constexpr int kWidth = 24;
  const auto filled = static_cast<std::size_t>(fraction * kWidth);
  std::fprintf(stderr, "\r\033[K%s [%s%s] %3d %%  %llu %s, %.1f/s, %s", label_.c_str(),
               std::string(filled, '#').c_str(), std::string(kWidth - filled, ' ').c_str(),
               static_cast<int>(fraction * 100), static_cast<unsigned long long>(done),
               unit_.c_str(), rate, left.c_str());
  std::fflush(stderr);
}

RateBar::~RateBar() {
  if (shown_) std::fprintf(stderr, "\r\033[K");
}

}  // namespace inference::cli
