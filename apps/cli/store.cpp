// store: the file of runs and results: what is in it, as text and back.
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <filesystem>
#include <iostream>

#include "apps/cli/verbs.h"
#include "consumers/store/store.h"
#include "consumers/store/transfer.h"
#include "platform/atomic_file.h"
#include "platform/posix/errno_error.h"

namespace inference::cli {
namespace {

struct Options {
  std::string store;
  std::string file = "-";
  std::string format;  ///< "": by the file's name
  std::string table;
  std::optional<std::int64_t> run;
  std::vector<std::int64_t> runs;
  bool renumber = false;
  bool replace = false;
  bool json = false;
};

Result<store::Store> open(const Options& options, bool read_only) {
  return store::Store::open(options.store.empty() ? store::default_path() : options.store,
                            {.read_only = read_only});
}

bool is_csv(const Options& options) {
  if (!options.format.empty()) return options.format == "csv";
  return !options.table.empty() || options.file.ends_with(".csv");
}

/// "2026-01-31 12:00:00", UTC.
std::string show_time(std::int64_t milliseconds) {
  const std::time_t seconds = static_cast<std::time_t>(milliseconds / 1000);
  std::tm parts{};
  char text[32] = "-";
  if (milliseconds > 0 && ::gmtime_r(&seconds, &parts) != nullptr)
    (void)std::strftime(text, sizeof text, "%F %T", &parts);
  return text;
}

// --- list

Result<OutJson> run_json(const store::Store& store, const store::Run& run) {
  const auto counts = store::row_counts(store, run.id);
  if (!counts) return std::unexpected(counts.error());
  OutJson rows = OutJson::object();
  for (const auto& [table, count] : *counts) rows[table] = count;
  return OutJson{{"run", run.id},
                 {"kind", run.kind},
                 {"state", store::to_string(run.state)},
                 {"name", run.name},
                 {"model", run.model},
                 {"started", run.started},
                 {"finished", run.finished},
                 {"rows", rows}};
}

void print_run(const OutJson& run) {
  std::cout << run["run"] << '\t' << run["kind"].get<std::string>() << '\t'
            << run["state"].get<std::string>() << '\t' << show_time(run["started"]);
  for (const auto& [table, count] : run["rows"].items())
    if (count > 0) std::cout << '\t' << count << ' ' << table;
  std::cout << '\t' << run["name"].get<std::string>() << '\t' << run["model"].get<std::string>()
            << '\n';
}

Result<int> list(const Options& options) {
  const auto store = open(options, true);
  if (!store) return std::unexpected(store.error());
  const auto runs = store->runs();
  const auto calibrations = store->calibrations();
  if (!runs || !calibrations) return std::unexpected((runs ? calibrations.error() : runs.error()));
  OutJson out = {
      {"store", store->path()}, {"runs", OutJson::array()}, {"calibrations", OutJson::array()}};
  for (const store::Run& run : *runs) {
    auto json = run_json(*store, run);
    if (!json) return std::unexpected(std::move(json.error()));
    out["runs"].push_back(std::move(*json));
  }
  for (const store::Calibration& one : *calibrations)
    out["calibrations"].push_back({{"model", one.model},
                                   {"name", one.name},
                                   {"temperature", one.temperature},
                                   {"created", one.created}});
  if (options.json) {
    print_json(out);
    return kDone;
  }
  for (const OutJson& run : out["runs"]) print_run(run);
  for (const store::Calibration& one : *calibrations)
    std::cout << "calibration\t" << one.temperature << '\t' << show_time(one.created) << '\t'
              << one.model << '\t' << one.name << '\n';
  if (runs->empty() && calibrations->empty()) std::cerr << store->path() << " is empty\n";
  return kDone;
}

// --- export

/// Where an export goes: a file that appears when it is complete, a device, or standard output.
class Out {
 public:
  static Result<Out> open(const Options& options, const std::string& store) {
    Out out;
    if (options.file == "-") return out;
    std::error_code ignored;
    if (std::filesystem::equivalent(options.file, store, ignored))
      return fail(ErrorCode::invalid_argument, "is the store itself; name another file",
                  options.file);
    if (!options.replace && std::filesystem::is_regular_file(options.file, ignored))
      return fail(ErrorCode::invalid_argument,
                  "exists already; write it anew with --replace or name another file",
                  options.file);
    auto file = platform::AtomicFile::create(options.file);
    if (!file) return std::unexpected(std::move(file.error()));
    out.file_.emplace(std::move(*file));
    return out;
  }
  Status write(std::string_view text) {
    constexpr std::size_t kEnough = std::size_t{256} << 10;
    waiting_ += text;
    return waiting_.size() < kEnough ? Status{} : flush();
  }
  Status commit() {
    if (Status ok = flush(); !ok) return ok;
    return file_ ? file_->commit() : Status{};
  }

 private:
  Status flush() {
    const std::string text = std::exchange(waiting_, {});
    if (file_) return file_->write(std::as_bytes(std::span(text)));
    for (std::size_t done = 0; done < text.size();) {
      const ssize_t n = ::write(STDOUT_FILENO, text.data() + done, text.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return platform::errno_error("cannot write", "standard output");
      done += static_cast<std::size_t>(n);
    }
    return {};
  }
  std::optional<platform::AtomicFile> file_;
  std::string waiting_;
};

void say(const Options& options, std::ostream& to, const char* what, std::uint64_t rows,
         const std::string& store) {
  if (options.json)
    to << OutJson({{"store", store}, {"file", options.file}, {"rows", rows}})
              .dump(-1, ' ', false, OutJson::error_handler_t::replace)
       << '\n';
  else
    to << rows << (rows == 1 ? " row " : " rows ") << what << ' ' << store << '\n';
}

Result<int> export_rows(const Options& options) {
  const auto store = open(options, true);
  if (!store) return std::unexpected(store.error());
  auto out = Out::open(options, store->path());
  if (!out) return std::unexpected(out.error());
  const store::TextSink sink = [&](std::string_view text) { return out->write(text); };
  const auto rows = is_csv(options) ? store::export_csv(*store, options.table, sink, options.run)
                                    : store::export_jsonl(*store, sink, options.run);
  if (!rows) return std::unexpected(rows.error());
  if (Status ok = out->commit(); !ok) return std::unexpected(std::move(ok.error()));
  // On a terminal that shows the rows themselves a number behind them helps nobody.
  if (options.file != "-" || options.json)
    say(options, options.file == "-" ? std::cerr : std::cout, "exported from", *rows,
        store->path());
  return kDone;
}

// --- import and delete

Result<int> import_rows(const Options& options) {
  const auto source = store::read_file(options.file);
  if (!source) return std::unexpected(source.error());
  auto store = open(options, false);
  if (!store) return std::unexpected(store.error());
  auto rows = is_csv(options)
                  ? store::import_csv(*store, options.table, *source)
                  : store::import_jsonl(*store, *source, {.renumber = options.renumber});
  if (!rows) {
    Error& error = rows.error();
    const bool names_more = !error.where.empty() && error.where != store->path() &&
                            error.where != options.file && error.where != "standard input";
    error.message = (names_more ? error.where + ": " : std::string()) + error.message +
                    "; nothing was imported";
    error.where = options.file == "-" ? "standard input" : options.file;
    return std::unexpected(std::move(error));
  }
  say(options, std::cout, "imported into", *rows, store->path());
  return kDone;
}

Result<int> delete_runs(const Options& options) {
  // A store that is not there is not made for it.
  if (const auto there = open(options, true); !there) return std::unexpected(there.error());
  auto store = open(options, false);
  if (!store) return std::unexpected(store.error());
  for (const std::int64_t run : options.runs)
    if (const auto found = store->run(run); !found) return std::unexpected(found.error());
  for (const std::int64_t run : options.runs)
    if (Status ok = store->delete_run(run); !ok) return std::unexpected(std::move(ok.error()));
  if (options.json)
    print_json({{"store", store->path()}, {"deleted", options.runs}});
  else
    std::cout << options.runs.size() << (options.runs.size() == 1 ? " run" : " runs")
              << " deleted from " << store->path() << '\n';
  return kDone;
}

// --- flags

using Work = Result<int> (*)(const Options&);

CLI::App* add_form(CLI::App& verb, Action& action, const std::shared_ptr<Options>& options,
                   const char* name, const char* help, Work work) {
  CLI::App* form = verb.add_subcommand(name, help);
  form->add_option("--store", options->store,
                   "the file of runs and results (default: in the user's data folder)");
  form->add_flag("--json", options->json, "the answer as one JSON document");
  form->callback([=, &action] {
    action = [=] {
      const auto status = work(*options);
      return status ? *status : report(status.error());
    };
  });
  return form;
}

void add_transfer_flags(CLI::App& form, Options& options) {
  form.add_option("--format", options.format,
                  "jsonl (every table) or csv (one table); default: by the file's name")
      ->check(CLI::IsMember({"jsonl", "csv"}));
  form.add_option("--table", options.table, "the table of a CSV file")
      ->check(CLI::IsMember(store::table_names()));
  form.parse_complete_callback([&] {
    if (is_csv(options) && options.table.empty())
      throw CLI::ValidationError("--table", "a CSV file has one table; name it");
    if (!is_csv(options) && !options.table.empty())
      throw CLI::ValidationError("--table", "goes with CSV; a JSONL file has every table");
    if (is_csv(options) && options.renumber)
      throw CLI::ValidationError("--renumber", "needs JSONL, where runs and rows come together");
  });
}

}  // namespace

void add_store(const Program& program) {
  auto* verb = program.app.add_subcommand(
      "store", "the file of runs and results: what is in it, export, import");
  auto options = std::make_shared<Options>();
  verb->require_subcommand(1);
  add_form(*verb, program.action, options, "list", "the runs and calibrations that there are",
           &list);

  auto* out =
      add_form(*verb, program.action, options, "export",
               "rows as JSON lines or CSV; importing them gives the same store", &export_rows);
  out->add_option("file", options->file, "where the rows go; - is standard output")
      ->capture_default_str();
  out->add_option("--run", options->run, "one run's rows alone");
  out->add_flag("--replace", options->replace, "write an existing file anew");
  add_transfer_flags(*out, *options);

  auto* in =
      add_form(*verb, program.action, options, "import",
               "adds exported rows to a store: all of them or, with an error, none", &import_rows);
  in->add_option("file", options->file, "what was exported; - is standard input")->required();
  in->add_flag("--renumber", options->renumber,
               "give the runs new numbers, so that they join others");
  add_transfer_flags(*in, *options);

  add_form(*verb, program.action, options, "delete", "removes runs with everything of them",
           &delete_runs)
      ->add_option("run", options->runs, "numbers of runs, as `store list` shows them")
      ->required();
}

}  // namespace inference::cli
