#include "consumers/scoring/batch_run.h"

#include <algorithm>

namespace inference::scoring {
namespace {

Result<std::int64_t> begin_run(store::Store& store, const RunPlan& plan) {
  const auto unfinished = store.unfinished_run(plan.kind, plan.name);
  if (!unfinished) return std::unexpected(unfinished.error());
  if (unfinished->has_value()) {
    const store::Run& run = **unfinished;
    if (plan.restart) {
      if (Status ok = store.delete_run(run.id); !ok) return std::unexpected(ok.error());
    } else if (run.config == plan.config) {
      return run.id;
    } else {
      return fail(ErrorCode::invalid_argument,
                  "run " + std::to_string(run.id) +
                      " is not finished and had other settings or another input; use the same ones "
                      "to go on, or "
                      "--restart to throw it away",
                  plan.name);
    }
  }
  return store.create_run(
      {.kind = plan.kind, .name = plan.name, .model = plan.model, .config = plan.config});
}

Status write(store::Store& store, std::int64_t run, std::span<const std::size_t> indices,
             std::vector<ItemRows>& rows) {
  auto batch = store.begin();
  if (!batch) return std::unexpected(batch.error());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto item = static_cast<std::int64_t>(indices[i]);
    rows[i].response.run = run;
    rows[i].response.item = item;
    if (Status ok = batch->put(rows[i].response); !ok) return ok;
    for (store::Score& score : rows[i].scores) {
      score.run = run;
      score.item = item;
      if (Status ok = batch->put(score); !ok) return ok;
    }
  }
  return batch->commit();
}

}  // namespace

Result<RunOutcome> run_in_batches(store::Store& store, const RunPlan& plan, const BatchWork& work,
                                  const std::stop_token& stop,
                                  const std::function<void(const RunProgress&)>& on_progress) {
  const auto run = begin_run(store, plan);
  if (!run) return std::unexpected(run.error());
  const auto there = store.items_with_responses(*run);
  if (!there) return std::unexpected(there.error());
  std::vector<std::size_t> left;
  for (std::size_t i = 0; i < plan.items; ++i)
    if (!std::ranges::binary_search(*there, static_cast<std::int64_t>(i))) left.push_back(i);
  RunOutcome out{*run, plan.items - left.size(), plan.items, plan.items - left.size()};
  for (std::size_t at = 0; at < left.size();) {
    if (on_progress) on_progress({out.done, out.total, out.done - out.found});
    if (stop.stop_requested()) {
      if (Status ok = store.end_run(*run, store::RunState::interrupted); !ok)
        return std::unexpected(ok.error());
      return out;
    }
    const std::size_t size = std::min(std::max<std::size_t>(plan.batch, 1), left.size() - at);
    const std::span indices = std::span(left).subspan(at, size);
    auto rows = work(indices);
    if (!rows) return std::unexpected(rows.error());
    if (Status ok = write(store, *run, indices, *rows); !ok) return std::unexpected(ok.error());
    at += size;
    out.done += size;
  }
  if (on_progress) on_progress({out.done, out.total, out.done - out.found});
  return out;
}

Status finish_run(store::Store& store, std::int64_t run, std::span<const store::Metric> metrics) {
  auto batch = store.begin();
  if (!batch) return std::unexpected(batch.error());
  for (store::Metric metric : metrics) {
    metric.run = run;
    if (Status ok = batch->put(metric); !ok) return ok;
  }
  if (Status ok = batch->set_state(run, store::RunState::finished, "{}"); !ok) return ok;
  return batch->commit();
}

}  // namespace inference::scoring
