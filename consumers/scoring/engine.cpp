#include "consumers/scoring/engine.h"

#include <chrono>

#include "consumers/scoring/chat.h"
#include "consumers/scoring/pool.h"

namespace inference::scoring {
namespace {

struct Answer {
  Result<std::string> text;
  double seconds = 0;
};

Answer answer(TextModel& model, const std::string& prompt, const GenerateConfig& config) {
  const auto start = std::chrono::steady_clock::now();
  const Message message{"user", prompt};
  auto text = ask(model, std::span(&message, 1), config, {});
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
  return {std::move(text), time.count()};
}

store::Response response_row(const Item& item) {
  store::Response out;
  out.item_id = item.id;
  out.domain = item.domain;
  out.prompt = item.prompt;
  out.response = item.response.value_or("");
  out.model = item.model;
  out.elapsed_seconds = item.elapsed_seconds;
  out.extra = item.extra;
  return out;
}

/// Answers the items of a batch that have none; an error is kept beside its item.
void generate_missing(std::vector<Item>& items, std::vector<std::string>& errors,
                      const EngineOptions& options) {
  std::vector<std::size_t> missing;
  for (std::size_t i = 0; i < items.size(); ++i)
    if (!items[i].response) missing.push_back(i);
  in_parallel(missing.size(), options.concurrency, [&](std::size_t m) {
    Item& item = items[missing[m]];
    Answer made = answer(*options.generator, item.prompt, options.generate);
    item.model = options.generator_name;
    item.elapsed_seconds = made.seconds;
    if (made.text)
      item.response = std::move(*made.text);
    else
      errors[missing[m]] = made.text.error().to_string();
  });
}

struct Task {
  std::size_t item;
  std::size_t suite;
  Result<std::vector<Measure>> measures = std::vector<Measure>();
};

/// In the order of items and suites, whatever the pool did first.
Result<std::vector<Task>> run_suites(std::span<const Item> items,
                                     std::span<const std::unique_ptr<Suite>> suites,
                                     std::size_t concurrency) {
  std::vector<Task> tasks;
  for (std::size_t i = 0; i < items.size(); ++i)
    for (std::size_t s = 0; s < suites.size(); ++s)
      if (suites[s]->applies(items[i])) tasks.push_back({i, s});
  std::vector<Task*> pooled;
  for (Task& task : tasks) {
    if (suites[task.suite]->asks_model())
      pooled.push_back(&task);
    else
      task.measures = suites[task.suite]->score(items[task.item], {});
  }
  in_parallel(pooled.size(), concurrency, [&](std::size_t p) {
    Task& task = *pooled[p];
    task.measures = suites[task.suite]->score(items[task.item], {});
  });
  for (const Task& task : tasks)
    if (!task.measures) return std::unexpected(task.measures.error());
  return tasks;
}

}  // namespace

BatchWork score_work(std::span<const Item> items, std::span<const std::unique_ptr<Suite>> suites,
                     const EngineOptions& options) {
  return [items, suites,
          options](std::span<const std::size_t> indices) -> Result<std::vector<ItemRows>> {
    std::vector<Item> batch;
    for (const std::size_t index : indices) batch.push_back(items[index]);
    std::vector<std::string> errors(batch.size());
    if (options.generator != nullptr) generate_missing(batch, errors, options);
    auto tasks = run_suites(batch, suites, options.concurrency);
    if (!tasks) return std::unexpected(tasks.error());
    std::vector<ItemRows> out(batch.size());
    for (std::size_t i = 0; i < batch.size(); ++i) {
      out[i].response = response_row(batch[i]);
      out[i].response.error = errors[i];
    }
    for (Task& task : *tasks)
      for (Measure& measure : *task.measures) {
        store::Score score;
        score.suite = suites[task.suite]->name();
        score.metric = std::move(measure.metric);
        score.value = measure.value;
        score.raw = std::move(measure.raw);
        score.error = std::move(measure.error);
        out[task.item].scores.push_back(std::move(score));
      }
    return out;
  };
}

BatchWork probe_work(std::span<const Probe> probes, TextModel& model, const std::string& model_name,
                     const EngineOptions& options) {
  return [probes, &model, model_name,
          options](std::span<const std::size_t> indices) -> Result<std::vector<ItemRows>> {
    std::vector<ItemRows> out(indices.size());
    in_parallel(indices.size(), options.concurrency, [&](std::size_t i) {
      const Probe& probe = probes[indices[i]];
      const Answer made = answer(model, probe.prompt, options.generate);
      store::Response& response = out[i].response;
      response.item_id = probe.id;
      response.domain = probe.category;
      response.prompt = probe.prompt;
      response.model = model_name;
      response.elapsed_seconds = made.seconds;
      store::Score score;
      score.suite = "probes";
      score.metric = "passed";
      if (!made.text) {
        response.error = score.error = made.text.error().to_string();
      } else {
        response.response = *made.text;
        const auto outcome = check_probe(probe, *made.text);
        if (outcome) {
          score.value = outcome->passed ? 1 : 0;
          score.raw = outcome->answer;
        } else {
          score.error = outcome.error().to_string();
        }
      }
      out[i].scores.push_back(std::move(score));
    });
    return out;
  };
}

}  // namespace inference::scoring
