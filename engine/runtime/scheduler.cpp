#include "engine/runtime/scheduler.h"

#include <algorithm>
#include <new>

namespace inference::engine {
namespace {

/// Rows of prompts in a pass that also decodes: others wait no longer for their next token.
constexpr std::size_t kPromptRowsBesideDecodes = 64;

}  // namespace

/// One input of a request and how far it is.
struct Scheduler::Item {
  Request* request = nullptr;
  SequenceInput* input = nullptr;
  std::size_t done = 0;   ///< tokens whose keys and values are stored
  std::size_t taken = 0;  ///< tokens of the pass that is being made
  std::uint64_t served = 0;
  bool settled = false;
  std::vector<TokenId> again = {};  ///< LongRoPE: the history, to be computed anew first

  SequenceImpl& sequence() const { return static_cast<SequenceImpl&>(*input->sequence); }
  std::span<const TokenId> tokens() const { return again.empty() ? input->tokens : again; }
  std::size_t left() const { return tokens().size() - done; }
};

struct Scheduler::Request {
  std::vector<Item> items;
  std::stop_token stop;
  AttentionObserver* observer = nullptr;
  bool ended = false;
  Status status = {};

  bool complete() const {
    return std::ranges::all_of(items, [](const Item& item) { return item.left() == 0; });
  }
};

Scheduler::Scheduler(Decoder& decoder, std::size_t slots, std::function<bool(bool)> make_room)
    : decoder_(decoder), slots_(slots), make_room_(std::move(make_room)) {}

Status Scheduler::run(std::span<SequenceInput> inputs, const std::stop_token& stop,
                      AttentionObserver* observer) {
  Request request;
  request.stop = stop;
  request.observer = observer;
  for (SequenceInput& input : inputs)
    request.items.push_back({.request = &request, .input = &input});
  std::unique_lock lock(mutex_);
  queue_.push_back(&request);
  changed_.notify_all();
  while (!request.ended) {
    if (led_) {
      changed_.wait(lock);
      continue;
    }
    led_ = true;
    try {
      lead(lock, request);
    } catch (const std::bad_alloc&) {
      finish(request, fail(ErrorCode::out_of_memory, "no memory left for a forward pass"));
    }
    led_ = false;
    changed_.notify_all();
  }
  return std::move(request.status);
}

void Scheduler::finish(Request& request, Status status) {
  request.status = std::move(status);
  request.ended = true;
  std::erase(queue_, &request);
}

/// Runs passes until the leader's own request has ended.
void Scheduler::lead(std::unique_lock<std::mutex>& lock, const Request& own) {
  while (!own.ended) {
    drop_stopped();
    if (own.ended) return;
    await_others(lock);
    const std::vector<Item*> items = choose();
    if (!items.empty()) pass(lock, items);
    const std::size_t before = queue_.size();
    for (std::size_t i = queue_.size(); i-- > 0;) {
      Request& request = *queue_[i];
      if (request.complete()) finish(request, {});
    }
    last_requests_ = before - queue_.size();
    changed_.notify_all();
  }
}

/// Callers whose requests the last pass ended are likely to be back at once with their next token;
/// a pass with all of them costs little more than one with few.
void Scheduler::await_others(std::unique_lock<std::mutex>& lock) {
  using namespace std::chrono_literals;
  if (queue_.size() >= last_requests_) return;
  const auto patience = std::min<std::chrono::steady_clock::duration>(last_pass_ / 4, 2ms);
  changed_.wait_for(lock, patience, [&] { return queue_.size() >= last_requests_; });
}

void Scheduler::drop_stopped() {
  for (std::size_t i = queue_.size(); i-- > 0;)
    if (queue_[i]->stop.stop_requested())
      finish(*queue_[i], fail(ErrorCode::cancelled, "stopped by the caller"));
}

/// Who takes part in the next pass and with how many tokens: the longest unserved first; single
/// tokens before prompts, and prompts share the rest evenly.
std::vector<Scheduler::Item*> Scheduler::choose() {
  std::vector<Item*> waiting;
  for (Request* request : queue_)
    for (Item& item : request->items)
      if (item.left() > 0) waiting.push_back(&item);
  std::ranges::stable_sort(waiting, {}, &Item::served);
  // Who watches a pass has it alone.
  for (Item* item : waiting)
    if (item->request->observer != nullptr) {
      item->taken = std::min(kSliceRows, item->left());
      return {item};
    }
  if (waiting.size() > slots_) waiting.resize(slots_);
  std::ranges::stable_partition(waiting, [](const Item* item) { return item->left() == 1; });
  std::size_t prompts = 0;
  std::vector<Item*> chosen;
  for (Item* item : waiting) {
    if (item->left() == 1 && chosen.size() < kSliceRows) {
      item->taken = 1;
      chosen.push_back(item);
    } else {
      ++prompts;
    }
  }
  std::size_t rows = kSliceRows - chosen.size();
  if (!chosen.empty()) rows = std::min(rows, kPromptRowsBesideDecodes);
  for (Item* item : waiting) {
    if (item->left() == 1) continue;
    item->taken = std::min(item->left(), (rows + prompts - 1) / prompts);
    if (item->taken == 0) break;
    chosen.push_back(item);
    rows -= item->taken;
    --prompts;
  }
  return chosen;
}

/// What is needed before an item's first pass.
Status Scheduler::prepare(Item& item) {
  if (item.settled) return {};
  item.settled = true;
  SequenceImpl& sequence = item.sequence();
  sequence.share();
  // Frequencies may depend on whether the sequence is long (LongRoPE). When it crosses the border,
  // the keys that are stored are computed anew, as the reference would.
  const int from = decoder_.long_from();
  if (from == 0) return {};
  const bool now_long = sequence.length() + static_cast<int>(item.input->tokens.size()) > from;
  if (sequence.length() > 0 && sequence.long_positions != now_long) {
    item.again = std::move(sequence.ids);
    sequence.ids.clear();
    item.taken = std::min(item.taken, item.again.size());
  }
  sequence.long_positions = now_long;
  return {};
}

Status Scheduler::reserve(SequenceImpl& sequence, int tokens) {
  while (sequence.cache.needs_page(sequence.length(), tokens) && make_room_(false)) {
  }
  while (true) {
    Status ok = sequence.cache.reserve(sequence.length(), tokens);
    if (ok || !make_room_(true)) return ok;
  }
}

struct Scheduler::Row {
  Item* item;
  std::size_t token;
};

void Scheduler::pass(std::unique_lock<std::mutex>& lock, std::span<Item* const> items) {
  std::vector<DecoderRow> rows;
  std::vector<Row> origin;
  std::vector<Item*> running;
  AttentionObserver* observer = nullptr;
  ++passes_;
  for (Item* item : items) {
    if (item->request->ended) continue;
    SequenceImpl& sequence = item->sequence();
    Status ok = prepare(*item);
    if (ok) ok = reserve(sequence, sequence.length() + static_cast<int>(item->taken));
    if (!ok) {  // its request fails, the others go on
      std::erase_if(running, [&](const Item* other) { return other->request == item->request; });
      finish(*item->request, std::move(ok));
      continue;
    }
    item->served = passes_;
    running.push_back(item);
  }
  for (Item* item : running) {
    SequenceImpl& sequence = item->sequence();
    observer = item->request->observer;
    for (std::size_t i = 0; i < item->taken; ++i) {
      const std::size_t token = item->done + i;
      const bool last = token + 1 == item->tokens().size();
      const LogitsWanted wanted = item->again.empty() ? item->input->wanted : LogitsWanted::none;
      rows.push_back({item->tokens()[token], sequence.length() + static_cast<int>(i),
                      &sequence.cache, sequence.long_positions,
                      (wanted == LogitsWanted::all && token >= item->input->logits_from) ||
                          (wanted == LogitsWanted::last && last),
                      !item->input->sink && item->input->best_sink});
      origin.push_back({item, token});
    }
  }
  if (rows.empty()) return;

  // Those in the pass wait for it, so nobody else touches their sequences.
  lock.unlock();
  const auto start = std::chrono::steady_clock::now();
  Status status;
  try {
    decoder_.run(
        rows,
        [&](std::size_t row, std::span<const float> logits, std::int64_t best) {
          const auto& [item, token] = origin[row];
          if (item->input->sink) {
            item->input->sink(token, logits);
          } else if (item->input->best_sink) {
            item->input->best_sink(token, static_cast<TokenId>(best));
          }
        },
        observer);
    for (Item* item : running) {
      const auto tokens = item->tokens().subspan(item->done, item->taken);
      auto& ids = item->sequence().ids;
      ids.insert(ids.end(), tokens.begin(), tokens.end());
    }
  } catch (const std::bad_alloc&) {
    status = fail(ErrorCode::out_of_memory, "no memory left for a forward pass");
  }
  lock.lock();
  last_pass_ = std::chrono::steady_clock::now() - start;
  for (Item* item : running) {
    if (!status && !item->request->ended) finish(*item->request, status);
    item->done += item->taken;
    if (!item->again.empty() && item->left() == 0) {
      item->again.clear();
      item->done = 0;
    }
  }
}

}  // namespace inference::engine
