#include "consumers/classify/reliability.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "consumers/classify/label_classifier.h"

namespace inference::classify {
namespace {

template <class... Values>
std::string formatted(const char* format, Values... values) {
  char buffer[256];
  std::snprintf(buffer, sizeof buffer, format, values...);
  return buffer;
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '&')
      out += "&amp;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

}  // namespace

Reliability reliability(std::span<const Judged> answers) {
  Reliability out;
  for (const Judged& answer : answers) {
    const double place = std::clamp(answer.confidence, 0.0, 1.0) * Reliability::kBins;
    auto& bin = out.bins[std::min(static_cast<std::size_t>(place), Reliability::kBins - 1)];
    ++bin.count;
    bin.confidence += answer.confidence;
    bin.accuracy += answer.correct ? 1 : 0;
    out.accuracy += answer.correct ? 1 : 0;
    ++out.count;
  }
  if (out.count == 0) return out;
  out.accuracy /= static_cast<double>(out.count);
  for (auto& bin : out.bins) {
    if (bin.count == 0) continue;
    const auto count = static_cast<double>(bin.count);
    bin.confidence /= count;
    bin.accuracy /= count;
    out.ece += count / static_cast<double>(out.count) * std::abs(bin.accuracy - bin.confidence);
  }
  return out;
}

std::string reliability_text(const Reliability& diagram) {
  std::string out = "confidence   n      said   right\n";
  constexpr double kWidth = 30;
  for (std::size_t i = 0; i < Reliability::kBins; ++i) {
    const auto& bin = diagram.bins[i];
    out += formatted("%.1f to %.1f  %-6llu", static_cast<double>(i) / Reliability::kBins,
                     static_cast<double>(i + 1) / Reliability::kBins,
                     static_cast<unsigned long long>(bin.count));
    if (bin.count == 0) {
      out += " -\n";
      continue;
    }
    out += formatted(" %.3f  %.3f  ", bin.confidence, bin.accuracy);
    // '#' up to the accuracy, '|' where the confidence says it should end.
    std::string bar(static_cast<std::size_t>(kWidth) + 1, ' ');
    std::fill_n(bar.begin(), std::lround(bin.accuracy * kWidth), '#');
    bar[static_cast<std::size_t>(std::lround(bin.confidence * kWidth))] = '|';
    bar.erase(bar.find_last_not_of(' ') + 1);
    out += bar + "\n";
  }
  return out + formatted("accuracy %.4f, expected calibration error %.4f, %llu answers\n",
                         diagram.accuracy, diagram.ece,
                         static_cast<unsigned long long>(diagram.count));
}

std::string reliability_svg(const Reliability& diagram, const std::string& title) {
  constexpr double kSide = 240;
  constexpr double kLeft = 40;
  constexpr double kTop = 30;
  const auto y = [&](double share) { return kTop + kSide * (1 - share); };
  std::string out = formatted(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 300 320\" width=\"300\" "
      "height=\"320\" font-family=\"sans-serif\" font-size=\"11\">\n");
  out += "<text x=\"160\" y=\"18\" text-anchor=\"middle\" font-size=\"13\">" + escaped(title) +
         "</text>\n";
  for (std::size_t i = 0; i < Reliability::kBins; ++i) {
    const auto& bin = diagram.bins[i];
    if (bin.count == 0) continue;
    const double width = kSide / Reliability::kBins;
    const double x = kLeft + width * static_cast<double>(i);
    out += formatted(
        "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"#4a7fb5\"><title>%llu "
        "answers, said %.3f, right %.3f</title></rect>\n",
        x + 1, y(bin.accuracy), width - 2, kSide * bin.accuracy,
        static_cast<unsigned long long>(bin.count), bin.confidence, bin.accuracy);
    out += formatted(
        "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#c0392b\" "
        "stroke-width=\"2\"/>\n",
        x + 1, x + width - 1, y(bin.confidence), y(bin.confidence));
  }
  out += formatted(
      "<path d=\"M%.0f %.0fV%.0fH%.0f\" fill=\"none\" stroke=\"#333\"/>\n<line x1=\"%.0f\" "
      "y1=\"%.0f\" x2=\"%.0f\" y2=\"%.0f\" stroke=\"#888\" stroke-dasharray=\"4 3\"/>\n",
      kLeft, kTop, kTop + kSide, kLeft + kSide, kLeft, kTop + kSide, kLeft + kSide, kTop);
  for (const double share : {0.0, 0.5, 1.0}) {
    out += formatted("<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"middle\">%.1f</text>\n",
                     kLeft + kSide * share, kTop + kSide + 14, share);
    out += formatted("<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"end\">%.1f</text>\n", kLeft - 5,
                     y(share) + 4, share);
  }
  out += formatted(
      "<text x=\"160\" y=\"300\" text-anchor=\"middle\">confidence; ECE %.4f, accuracy %.4f, n "
      "%llu</text>\n",
      diagram.ece, diagram.accuracy, static_cast<unsigned long long>(diagram.count));
  return out + "</svg>\n";
}

double negative_log_likelihood(std::span<const ScoredItem> items, double temperature) {
  double sum = 0;
  for (const ScoredItem& item : items) {
    const double most = *std::ranges::max_element(item.scores);
    double total = 0;
    for (const double score : item.scores) total += std::exp((score - most) / temperature);
    sum += std::log(total) - (item.scores[item.truth] - most) / temperature;
  }
  return items.empty() ? 0 : sum / static_cast<double>(items.size());
}

double fit_temperature(std::span<const ScoredItem> items) {
  if (items.empty()) return 1;
  // The loss is convex in 1/T and so has one valley over ln T; golden section finds its bottom.
  const double ratio = (std::sqrt(5.0) - 1) / 2;
  const auto loss = [&](double log_t) { return negative_log_likelihood(items, std::exp(log_t)); };
  double low = std::log(0.02);
  double high = std::log(50.0);
  double a = high - ratio * (high - low);
  double b = low + ratio * (high - low);
  double at_a = loss(a);
  double at_b = loss(b);
  constexpr double kClose = 1e-6;
  while (high - low > kClose) {
    if (at_a <= at_b) {
      high = b;
      b = std::exchange(a, b - ratio * (b - low));
      at_b = std::exchange(at_a, loss(a));
    } else {
      low = a;
      a = std::exchange(b, a + ratio * (high - a));
      at_a = std::exchange(at_b, loss(b));
    }
  }
  return std::exp((low + high) / 2);
}

}  // namespace inference::classify
