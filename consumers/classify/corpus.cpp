#include "consumers/classify/corpus.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <utility>

#include "consumers/classify/corpus_line.h"
#include "consumers/classify/corpus_state.h"
#include "consumers/classify/domains.h"
#include "consumers/classify/labeler.h"
#include "consumers/classify/skip_list.h"
#include "consumers/jsonl/line_writer.h"

namespace inference::classify {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr auto kBetweenCheckpoints = std::chrono::seconds(1);
constexpr const char* kKind = "corpus";

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void count_skip(CorpusStats& stats, const SkippedLine& line) {
  ++stats.skipped;
  if (stats.skipped_lines.size() < CorpusStats::kListed) stats.skipped_lines.push_back(line);
}

/// A line that waits for its class.
struct Waiting {
  std::string line;
  std::string prompt;
  std::uint64_t number = 0;
};

class CorpusRun {
 public:
  CorpusRun(TextModel& model, store::Store* store, CorpusOptions options,
            const CorpusEvents& events)
      : model_(model), store_(store), options_(std::move(options)), events_(events) {}

  Status prepare();
  Status run(const std::stop_token& stop);
  CorpusResult result() const { return result_; }
  bool complete() const { return result_.finished; }

 private:
  Status check_options() const;
  Status check_files() const;
  Status refuse_existing(bool unfinished) const;
  Status open_output();
  Status begin_run();
  Status go_on(const store::Run& run);
  Status match_output(Checkpoint& from);
  Result<bool> gather(std::vector<Waiting>& batch);
  Status classify(std::vector<Waiting>& batch);
  Result<std::vector<std::optional<Labelled>>> label_each(std::vector<Waiting>& batch);
  Status write_skips();
  Status save(bool end);
  bool in_shard(std::uint64_t line) const {
    return (line - 1) % options_.shards == options_.shard - 1;
  }

  TextModel& model_;
  store::Store* store_;
  CorpusOptions options_;
  const CorpusEvents& events_;
  PromptTemplate template_ = PromptTemplate::for_labels({});
  LineFields fields_;
  std::string output_name_;  // by which the store knows the run
  std::string config_;
  std::int64_t run_id_ = 0;
  std::optional<Labeler> labeler_;
  std::optional<jsonl::LineReader> reader_;
  std::optional<jsonl::LineWriter> writer_;
  SkipList skip_list_;
  std::vector<SkippedLine> skips_;  // of the lines that were read since done_
  bool refused_by_model_ = false;   // one of them was
  Checkpoint done_;                 // up to and with the last batch that was written
  Checkpoint next_;                 // with the lines that were read since
  double seconds_before_ = 0;
  Clock::time_point start_ = Clock::now();
  Clock::time_point saved_ = Clock::now();
  CorpusResult result_;
};

Status CorpusRun::check_options() const {
  const auto bad = [](const char* field, const std::string& message) -> Status {
    return fail(ErrorCode::invalid_argument, message, field);
  };
  if (options_.batch_size < 1 || options_.batch_size > 4096)
    return bad("batch_size",
               "is " + std::to_string(options_.batch_size) + ", allowed are 1 to 4096");
  if (options_.shards < 1 || options_.shard < 1 || options_.shard > options_.shards)
    return bad("shard", "is " + std::to_string(options_.shard) + "/" +
                            std::to_string(options_.shards) + ", expected 1/n to n/n");
  if (options_.field.empty()) return bad("field", "is empty");
  if (options_.field == options_.prompt_field || options_.field == options_.probability_field ||
      options_.prompt_field == options_.probability_field)
    return bad("field", "the fields' names must differ");
  if (options_.output == "-" && options_.resume)
    return bad("resume", "needs an output file; what went to a pipe is gone");
  if (options_.input == "-" && options_.output != "-" && options_.resume)
    return bad("resume", "needs an input file; standard input cannot be read again");
  if (options_.output != "-" && store_ == nullptr)
    return bad("store", "an output file needs a store, which remembers how far it is");
  return check_files();
}

/// No file is two things.
Status CorpusRun::check_files() const {
  const auto same = [](const std::string& a, const std::string& b) {
    std::error_code ignored;
    if (a.empty() || b.empty() || a == "-" || b == "-") return false;
    return fs::equivalent(a, b, ignored) || full_path(a) == full_path(b);
  };
  if (same(options_.input, options_.output))
    return fail(ErrorCode::invalid_argument, "is the input; name another file for the output",
                options_.output);
  if (same(options_.input, options_.skipped) || same(options_.output, options_.skipped))
    return fail(ErrorCode::invalid_argument,
                "is the input or the output; name another file for the skipped lines",
                options_.skipped);
  if (options_.skipped == "-")
    return fail(ErrorCode::invalid_argument, "the skipped lines need a file", options_.skipped);
  return {};
}

Status CorpusRun::prepare() {
  if (options_.labels.labels.empty())
    options_.labels.labels.assign(four_domains().begin(), four_domains().end());
  if (Status ok = check_options(); !ok) return ok;
  if (options_.prompt_template.empty()) {
    template_ = PromptTemplate::for_labels(options_.labels.labels);
  } else {
    auto parsed = PromptTemplate::parse(options_.prompt_template);
    if (!parsed) return std::unexpected(std::move(parsed.error()));
    template_ = std::move(*parsed);
  }
  fields_ = {options_.prompt_field, options_.field, options_.probability_field};
  auto reader = jsonl::LineReader::open(options_.input);
  if (!reader) return std::unexpected(std::move(reader.error()));
  reader_.emplace(std::move(*reader));
  options_.input = full_path(options_.input);
  options_.skipped = full_path(options_.skipped);
  config_ = run_config(options_, template_.source(), reader_->size().value_or(0));
  for (const std::string& label : options_.labels.labels) done_.stats.counts[label] = 0;
  done_.stats.counts[std::string(kUnknown)] = 0;
  if (Status ok = open_output(); !ok || complete()) return ok;
  next_ = done_;
  result_.resumed_lines = done_.stats.total;
  seconds_before_ = done_.stats.seconds;
  auto labeler = Labeler::create(model_, options_, template_);
  if (!labeler) return std::unexpected(std::move(labeler.error()));
  labeler_.emplace(std::move(*labeler));
  start_ = saved_ = Clock::now();
  if (events_.on_begin) events_.on_begin();
  return {};
}

/// Where the output begins: anew, or where an earlier process left it.
Status CorpusRun::open_output() {
  if (options_.output == "-") {
    auto writer = jsonl::LineWriter::open("-", jsonl::LineWriter::Mode::replace);
    if (!writer) return std::unexpected(std::move(writer.error()));
    writer_.emplace(std::move(*writer));
    if (Status ok = refuse_existing(false); !ok) return ok;
    return skip_list_.open(options_.skipped, 0);
  }
  std::error_code ignored;
  output_name_ = full_path(options_.output);
  const auto unfinished = store_->unfinished_run(kKind, output_name_);
  if (!unfinished) return std::unexpected(unfinished.error());
  if (options_.resume && *unfinished) return go_on(**unfinished);
  const bool exists = fs::exists(options_.output, ignored);
  if (options_.resume && exists) {
    const auto runs = store_->runs(kKind);
    if (!runs) return std::unexpected(runs.error());
    for (auto run = runs->rbegin(); run != runs->rend(); ++run) {
      if (run->name != output_name_ || run->state != store::RunState::finished) continue;
      if (Status ok = same_config(run->config, config_); !ok) return ok;
      auto last = parse_checkpoint(run->checkpoint);
      if (!last) return std::unexpected(std::move(last.error()));
      result_.stats = last->stats;
      result_.resumed_lines = last->stats.total;
      result_.finished = true;
      return {};
    }
    return fail(ErrorCode::not_found,
                "exists, and the store knows no unfinished run of it; write it anew with --replace "
                "or name another file",
                options_.output);
  }
  if (Status ok = refuse_existing(unfinished->has_value()); !ok) return ok;
  if (*unfinished)
    if (Status ok = store_->end_run((**unfinished).id, store::RunState::failed,
                                    R"({"error":"begun anew"})");
        !ok)
      return ok;
  return begin_run();
}

Status CorpusRun::refuse_existing(bool unfinished) const {
  if (options_.replace) return {};
  for (const std::string& file : {options_.output, options_.skipped}) {
    std::error_code ignored;
    if (file.empty() || file == "-" || !fs::is_regular_file(file, ignored)) continue;
    return fail(ErrorCode::invalid_argument,
                unfinished ? "holds an unfinished run; go on with --resume or begin anew with "
                             "--replace"
                           : "exists already; write it anew with --replace or name another file",
                file);
  }
  return {};
}

/// The run is in the store before its output exists, so that whatever exists can be gone on with.
Status CorpusRun::begin_run() {
  const auto id = store_->create_run({.kind = kKind,
                                      .name = output_name_,
                                      .model = options_.model,
                                      .config = config_,
                                      .checkpoint = to_json(done_)});
  if (!id) return std::unexpected(id.error());
  run_id_ = *id;
  auto writer = jsonl::LineWriter::open(options_.output, jsonl::LineWriter::Mode::replace);
  if (!writer) {
    (void)store_->end_run(run_id_, store::RunState::failed);
    return std::unexpected(std::move(writer.error()));
  }
  writer_.emplace(std::move(*writer));
  Status ok = skip_list_.open(options_.skipped, 0);
  if (!ok) {
    (void)store_->end_run(run_id_, store::RunState::failed);
    std::error_code ignored;
    if (fs::is_regular_file(options_.output, ignored)) fs::remove(options_.output, ignored);
  }
  return ok;
}

Status CorpusRun::go_on(const store::Run& run) {
  if (Status ok = same_config(run.config, config_); !ok) return ok;
  auto checkpoint = parse_checkpoint(run.checkpoint);
  if (!checkpoint) return std::unexpected(std::move(checkpoint.error()));
  run_id_ = run.id;
  // The file is held from here on, so that no second process goes on with it too.
  std::error_code ignored;
  const std::uintmax_t there = fs::exists(options_.output, ignored)
                                   ? fs::file_size(options_.output, ignored)
                                   : std::uintmax_t{0};
  auto holder = jsonl::LineWriter::open(options_.output, jsonl::LineWriter::Mode::go_on,
                                        std::max<std::uintmax_t>(there, checkpoint->output_bytes));
  if (!holder) return std::unexpected(std::move(holder.error()));
  if (Status ok = skip_list_.open(options_.skipped, checkpoint->skipped_bytes); !ok) return ok;
  if (Status ok = match_output(*checkpoint); !ok) return ok;
  if (Status ok = skip_list_.cut(checkpoint->skipped_bytes); !ok) return ok;
  if (Status ok = holder->cut(checkpoint->output_bytes); !ok) return ok;
  writer_.emplace(std::move(*holder));
  done_ = std::move(*checkpoint);
  auto reader = jsonl::LineReader::open(options_.input, done_.input);
  if (!reader) return std::unexpected(std::move(reader.error()));
  reader_.emplace(std::move(*reader));
  return {};
}

/// Lines that were written after the last checkpoint count as done as far as they belong to the
/// lines that follow in the input; the first one that does not is where the process was killed.
Status CorpusRun::match_output(Checkpoint& from) {
  auto input = jsonl::LineReader::open(options_.input, from.input);
  if (!input) return std::unexpected(std::move(input.error()));
  auto output =
      jsonl::LineReader::open(options_.output, {.offset = from.output_bytes, .number = 1});
  if (!output) return std::unexpected(std::move(output.error()));
  Checkpoint at = from;
  while (true) {
    const auto made = output->next();
    if (!made) return std::unexpected(made.error());
    if (!*made || !(*made)->ended || (*made)->too_long) return {};
    while (true) {
      const auto line = input->next();
      if (!line) return std::unexpected(line.error());
      if (!*line) return {};
      at.input = input->position();
      if (!in_shard((*line)->number)) continue;
      ++at.stats.total;
      if (auto text = text_of_line(**line, fields_); !text.text) {
        const SkippedLine skipped{(*line)->number, std::move(text.reason)};
        count_skip(at.stats, skipped);
        skip_list_.add(skipped);
        continue;
      }
      const auto label = label_in((*made)->text, (*line)->text, fields_);
      if (!label) return {};
      ++at.stats.counts[*label];
      break;
    }
    at.output_bytes = (*made)->end;
    at.skipped_bytes = skip_list_.size();
    from = at;
  }
}

/// In the order of the input, so that the list does not depend on where a batch began.
Status CorpusRun::write_skips() {
  std::ranges::sort(skips_, {}, &SkippedLine::line);
  for (const SkippedLine& line : skips_) {
    if (events_.on_skip) events_.on_skip(line);
    count_skip(next_.stats, line);
    skip_list_.add(line);
  }
  skips_.clear();
  Status ok = skip_list_.flush();
  next_.skipped_bytes = skip_list_.size();
  return ok;
}

/// Reads on until the batch is full; false at the end of the input.
Result<bool> CorpusRun::gather(std::vector<Waiting>& batch) {
  // A stop is looked for after this many lines that give no prompt.
  constexpr std::uint64_t kMostLines = 4096;
  for (std::uint64_t lines = 0; batch.size() < options_.batch_size && lines < kMostLines; ++lines) {
    const auto line = reader_->next();
    if (!line) return std::unexpected(line.error());
    if (!*line) return false;
    next_.input = reader_->position();
    if (!in_shard((*line)->number)) continue;
    ++next_.stats.total;
    LineText text = text_of_line(**line, fields_);
    if (!text.text) {
      skips_.push_back({(*line)->number, std::move(text.reason)});
      continue;
    }
    batch.push_back({std::string((*line)->text), template_.fill(*text.text), (*line)->number});
  }
  return true;
}

/// A prompt that the model cannot take is its line's fault; the others get their class.
Result<std::vector<std::optional<Labelled>>> CorpusRun::label_each(std::vector<Waiting>& batch) {
  std::vector<std::string> prompts;
  for (Waiting& one : batch) prompts.push_back(std::move(one.prompt));
  std::vector<std::optional<Labelled>> out;
  if (auto together = labeler_->label(prompts)) {
    for (Labelled& one : *together) out.emplace_back(std::move(one));
    return out;
  } else if (const ErrorCode code = together.error().code;
             code != ErrorCode::context_overflow && code != ErrorCode::invalid_argument) {
    return std::unexpected(std::move(together.error()));
  }
  for (std::size_t i = 0; i < batch.size(); ++i) {
    auto alone = labeler_->label(std::span(&prompts[i], 1));
    if (alone) {
      out.emplace_back(std::move(alone->front()));
      continue;
    }
    const ErrorCode code = alone.error().code;
    if (code != ErrorCode::context_overflow && code != ErrorCode::invalid_argument)
      return std::unexpected(std::move(alone.error()));
    skips_.push_back({batch[i].number, alone.error().message});
    refused_by_model_ = true;
    out.emplace_back(std::nullopt);
  }
  return out;
}

Status CorpusRun::classify(std::vector<Waiting>& batch) {
  if (!batch.empty()) {
    const auto labels = label_each(batch);
    if (!labels) return std::unexpected(labels.error());
    std::string lines;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const auto& label = (*labels)[i];
      if (!label) continue;
      lines += classified_line(batch[i].line, fields_, label->label, label->probability);
      ++next_.stats.counts[label->label];
    }
    if (Status ok = writer_->write(lines); !ok) return ok;
    result_.session_prompts += batch.size();
  }
  if (Status ok = write_skips(); !ok) return ok;
  next_.output_bytes = writer_->size();
  done_ = next_;
  return {};
}

/// What the store knows is never ahead of what is on the disk.
Status CorpusRun::save(bool end) {
  done_.stats.seconds = seconds_before_ + seconds_since(start_);
  next_.stats.seconds = done_.stats.seconds;
  saved_ = Clock::now();
  if (run_id_ == 0) return {};
  if (Status ok = writer_->sync(); !ok) return ok;
  if (Status ok = skip_list_.sync(); !ok) return ok;
  auto batch = store_->begin();
  if (!batch) return std::unexpected(std::move(batch.error()));
  if (Status ok = batch->set_checkpoint(run_id_, to_json(done_)); !ok) return ok;
  if (end) {
    const auto state = result_.finished ? store::RunState::finished : store::RunState::interrupted;
    CorpusResult summary = result_;
    summary.stats = done_.stats;
    summary.session_seconds = seconds_since(start_);
    if (Status ok = batch->set_state(run_id_, state, to_json(summary)); !ok) return ok;
  }
  return batch->commit();
}

Status CorpusRun::run(const std::stop_token& stop) {
  std::vector<Waiting> batch;
  Status failed;
  while (!stop.stop_requested()) {
    batch.clear();
    const auto more = gather(batch);
    failed = more ? classify(batch) : std::unexpected(more.error());
    if (!failed) break;
    if (!*more) {
      result_.finished = true;
      break;
    }
    // What the model refused cannot be seen in the input, so a run that goes on must be told.
    if (std::exchange(refused_by_model_, false) || Clock::now() - saved_ >= kBetweenCheckpoints)
      if (failed = save(false); !failed) break;
    if (events_.on_progress) {
      const std::uint64_t bytes = reader_->size().value_or(0);
      const double fraction =
          bytes > 0 ? static_cast<double>(done_.input.offset) / static_cast<double>(bytes) : 0;
      events_.on_progress(fraction, result_.session_prompts);
    }
  }
  const Status saved = save(true);
  result_.stats = done_.stats;
  result_.session_seconds = seconds_since(start_);
  if (!failed) return failed;
  return saved;
}

}  // namespace

Result<CorpusResult> classify_corpus(TextModel& model, store::Store* store,
                                     const CorpusOptions& options, std::stop_token stop,
                                     const CorpusEvents& events) {
  CorpusRun run(model, store, options, events);
  if (Status ok = run.prepare(); !ok) return std::unexpected(std::move(ok.error()));
  if (!run.complete())
    if (Status ok = run.run(stop); !ok) return std::unexpected(std::move(ok.error()));
  return run.result();
}

}  // namespace inference::classify
