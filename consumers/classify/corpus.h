// A corpus of JSON lines, each of which gets its class.
//
// Lines go through in order, in constant memory; a line comes out as it went in, every byte of it,
// with one field more at its end. The output is made of whole lines at any moment; together with a
// checkpoint in the store it says where to go on, so that a run that was killed repeats at most the
// batch in flight.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "consumers/classify/label_classifier.h"
#include "consumers/store/store.h"
#include "inference/text_model.h"

namespace inference::classify {

enum class Method : std::uint8_t {
  token,   ///< the most probable next token names the class (see domains.h)
  labels,  ///< whole labels are scored (see label_classifier.h)
};
/// "token" or "labels".
std::string_view to_string(Method method) noexcept;

struct CorpusOptions {
  std::string input;                    ///< a file of lines, or "-" for standard input
  std::string output = "-";             ///< "-": standard output, which cannot be gone on with
  std::string model;                    ///< its name, as the run remembers it
  std::string field = "domain_1b";      ///< that is added
  std::string prompt_field = "prompt";  ///< that holds the text
  std::string prompt_template = {};     ///< with {text} or %s; "": one that asks for a label
  Method method = Method::token;
  LabelOptions labels = {};            ///< labels empty: the four domains
  bool correct_prior = false;          ///< Method::labels: divide by what content-free prompts get
  std::string probability_field = {};  ///< Method::labels: also add the class's probability
  std::size_t batch_size = 8;          ///< prompts that the model gets at once
  std::uint64_t shard = 1;             ///< of the lines 1, 2, ... this process takes every
  std::uint64_t shards = 1;            ///< `shards`-th, beginning with number `shard`
  std::string skipped = {};            ///< a file that lists every skipped line; "": none
  bool resume = false;                 ///< go on with an unfinished run of the same output
  bool replace = false;                ///< files that exist are written anew
};

struct SkippedLine {
  std::uint64_t line = 0;
  std::string reason;

  friend bool operator==(const SkippedLine&, const SkippedLine&) = default;
};

struct CorpusStats {
  static constexpr std::size_t kListed = 100;  ///< skipped lines that are remembered

  std::uint64_t total = 0;                      ///< lines seen, of this shard
  std::uint64_t skipped = 0;                    ///< of these, without a class
  std::map<std::string, std::uint64_t> counts;  ///< lines per class
  std::vector<SkippedLine> skipped_lines;       ///< the first kListed, in order
  double seconds = 0;                           ///< of all sessions of the run

  std::uint64_t classified() const { return total - skipped; }
};

struct CorpusResult {
  CorpusStats stats;
  bool finished = false;              ///< false: stopped in order, the run can go on
  std::uint64_t resumed_lines = 0;    ///< lines that were there already
  std::uint64_t session_prompts = 0;  ///< that the model saw in this session
  double session_seconds = 0;
};

struct CorpusEvents {
  /// The work begins: an error from here on leaves a run that can go on.
  std::function<void()> on_begin = {};
  /// After each batch: the share of the input that is done, and prompts of this session.
  std::function<void(double fraction, std::uint64_t prompts)> on_progress = {};
  /// Lines that this session skips, in order, when the batch that they were read with is written.
  std::function<void(const SkippedLine&)> on_skip = {};
};

/// Classifies the input. `store` may be null where the output is "-". A requested stop lets the
/// batch in flight end and is no error (finished is false then). An error leaves the output with
/// whole lines and the run resumable.
Result<CorpusResult> classify_corpus(TextModel& model, store::Store* store,
                                     const CorpusOptions& options, std::stop_token stop = {},
                                     const CorpusEvents& events = {});

/// The numbers as JSON: total, skipped, per class, seconds, prompts per second, skipped lines.
std::string to_json(const CorpusResult& result);

}  // namespace inference::classify
