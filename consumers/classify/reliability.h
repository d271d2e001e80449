// Whether probabilities mean what they say: of the answers given with 80 %, are 80 % right?
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace inference::classify {

/// One answer: the probability of the class that was chosen, and whether it was right.
struct Judged {
  double confidence = 0;  ///< in [0, 1]
  bool correct = false;
};

struct Reliability {
  static constexpr std::size_t kBins = 10;
  struct Bin {
    std::uint64_t count = 0;
    double confidence = 0;  ///< mean
    double accuracy = 0;
  };
  std::array<Bin, kBins>
      bins;  ///< of equal width; bin i holds [i/10, (i+1)/10), the last one 1 too
  std::uint64_t count = 0;
  double accuracy = 0;
  double ece = 0;  ///< expected calibration error: mean of |accuracy - confidence|, by count
};
Reliability reliability(std::span<const Judged> answers);

/// One row a bin with bars, for a terminal.
std::string reliability_text(const Reliability& diagram);
/// An <svg> element: bars of accuracy over confidence, and the diagonal where they should end.
std::string reliability_svg(const Reliability& diagram, const std::string& title);

/// Scores of one item (natural logarithms, any constant added) and the class that is right.
struct ScoredItem {
  std::vector<double> scores;
  std::size_t truth = 0;
};
/// Mean of -ln P(truth) under softmax(scores / temperature).
double negative_log_likelihood(std::span<const ScoredItem> items, double temperature);
/// The temperature in [0.02, 50] with the least of it (arXiv 1706.04599); 1 without items.
double fit_temperature(std::span<const ScoredItem> items);

}  // namespace inference::classify
