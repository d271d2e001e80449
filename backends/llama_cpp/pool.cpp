#include "backends/llama_cpp/pool.h"

#include <algorithm>
#include <atomic>
#include <system_error>

namespace inference::backends {

struct ServerPool::Member {
  std::shared_ptr<ServerIdentity> identity;  ///< shared with the transport's check
  std::shared_ptr<HttpTransport> transport;
  std::atomic<int> running{0};
  // Below: under the pool's mutex.
  bool up = false;
  int slots = 1;
  int missed = 0;  ///< looks in a row without an answer
  Error reason{ErrorCode::unavailable, "not asked yet", {}};
  std::stop_source lost;
};

namespace {

/// Counts an operation while it lasts.
template <class Member>
class Running {
 public:
  explicit Running(std::shared_ptr<Member> member) : member_(std::move(member)) {
    ++member_->running;
  }
  ~Running() { --member_->running; }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

 private:
  std::shared_ptr<Member> member_;
};

}  // namespace

Result<std::shared_ptr<ServerPool>> ServerPool::open(const std::vector<ServerEndpoint>& endpoints,
                                                     PoolOptions options) {
  std::shared_ptr<ServerPool> pool(new ServerPool(options));
  std::string reasons;
  Error first;
  for (const ServerEndpoint& endpoint : endpoints) {
    auto member = std::make_shared<Member>();
    member->identity = std::make_shared<ServerIdentity>(endpoint.model);
    auto transport = HttpTransport::create(endpoint, check_of(member->identity));
    if (!transport) return std::unexpected(std::move(transport.error()));
    member->transport = std::move(*transport);
    pool->members_.push_back(member);
    if (pool->look_at(*member, {})) continue;
    if (reasons.empty()) first = member->reason;
    reasons += (reasons.empty() ? "" : "; ") + member->reason.to_string();
  }
  if (!pool->info_) {
    if (endpoints.size() <= 1) return std::unexpected(std::move(first));
    return fail(ErrorCode::unavailable, "no server of the pool can be used (" + reasons + ")");
  }
  pool->opened_ = true;
  try {
    pool->watcher_ =
        std::jthread([&self = *pool](const std::stop_token& stop) { self.watch(stop); });
  } catch (const std::system_error& error) {
    return fail(ErrorCode::internal, std::string("no thread to watch servers: ") + error.what());
  }
  return pool;
}

ServerPool::~ServerPool() {
  close();
}

void ServerPool::close() {
  watcher_.request_stop();
}

Status ServerPool::agrees(const ServerInfo& info) const {
  if (!info_) return {};
  const auto differs = [&](const std::string& what) -> Status {
    return fail(ErrorCode::invalid_argument, what + " differs from the pool's other servers");
  };
  if (info.kind != info_->kind) return differs("the kind of server");
  if (info.model != info_->model) return differs("the model \"" + info.model + "\"");
  if (info.facts != info_->facts) return differs("the weights of \"" + info.model + "\"");
  if (info.vocab_size != info_->vocab_size) return differs("the vocabulary");
  if (info.chat_template != info_->chat_template) return differs("the chat template");
  return {};
}

/// Asks a server what it is; true when it can be used. Its connection is kept for prompts then.
bool ServerPool::look_at(Member& member, const std::stop_token& stop) {
  Status ok = member.transport->check_now(
      [&](HttpTransport& link, std::chrono::milliseconds limit, const std::stop_token& wanted) {
        auto answer = member.identity->ask(link, limit, wanted);
        return answer ? admit(member, std::move(*answer))
                      : std::unexpected(std::move(answer.error()));
      },
      options_.answer, stop);
  if (ok) return true;
  const std::lock_guard lock(mutex_);
  member.up = false;
  member.reason = std::move(ok.error());
  if (member.reason.where.empty()) member.reason.where = member.transport->name();
  return false;
}

/// Takes a server into use that has said what it is, if that is what the pool needs.
Status ServerPool::admit(Member& member, ServerIdentity::Answer answer) {
  const std::lock_guard lock(mutex_);
  const ServerInfo& info = answer.info;
  if (Status ok = agrees(info); !ok) return ok;
  if (opened_ && info.context_length < info_->context_length)
    return fail(ErrorCode::invalid_argument, "the context of " +
                                                 std::to_string(info.context_length) +
                                                 " is smaller than what the pool has promised");
  member.slots = info.slots;
  member.missed = 0;
  member.up = true;
  if (!info_) {
    info_ = info;
  } else if (!opened_) {
    info_->slots += info.slots;
    info_->context_length = std::min(info_->context_length, info.context_length);
  }
  member.identity->accept(std::move(answer));
  return {};
}

ServerInfo ServerPool::info() const {
  const std::lock_guard lock(mutex_);
  return *info_;
}

std::shared_ptr<ServerPool::Member> ServerPool::choose() {
  std::shared_ptr<Member> best;
  // Equals are taken at random: in turn, two operations that alternate would never mix.
  turn_ = turn_ * 6364136223846793005U + 1442695040888963407U;  // Knuth's MMIX generator
  const std::size_t first = static_cast<std::size_t>(turn_ >> 33) % members_.size();
  for (std::size_t i = 0; i < members_.size(); ++i) {
    const auto& member = members_[(first + i) % members_.size()];
    if (!member->up) continue;
    // running / slots, compared without division
    if (!best || member->running * best->slots < best->running * member->slots) best = member;
  }
  return best;
}

Result<ServerLease> ServerPool::lease(const std::stop_token& stop) {
  for (int round = 0; round < 2; ++round) {
    {
      const std::lock_guard lock(mutex_);
      if (auto member = choose()) {
        ServerLease out;
        out.transport = member->transport;
        out.lost = member->lost.get_token();
        out.hold = std::make_shared<Running<Member>>(std::move(member));
        return out;
      }
    }
    if (round > 0) break;
    for (const auto& member : members_) {
      if (stop.stop_requested()) return fail(ErrorCode::cancelled, "stopped by the caller");
      if (look_at(*member, stop)) break;
    }
  }
  const std::lock_guard lock(mutex_);
  if (members_.size() == 1) return std::unexpected(members_.front()->reason);
  std::string reasons;
  for (const auto& member : members_)
    reasons += (reasons.empty() ? "" : "; ") + member->reason.to_string();
  return fail(ErrorCode::unavailable, "no server of the pool answers (" + reasons + ")");
}

Error ServerPool::failed(const ServerLease& lease, Error error) {
  const std::lock_guard lock(mutex_);
  bool others = false;
  for (const auto& member : members_) {
    if (member->transport == lease.transport) {
      // A server that is busy is there; others are asked first, that is all.
      member->up = false;
      member->reason = error;
    } else {
      others = others || member->up;
    }
  }
  wake_.notify_all();
  const bool connection = error.code == ErrorCode::timeout ||
                          error.code == ErrorCode::corrupt_data ||
                          error.code == ErrorCode::io_error;
  if (others && connection) error.code = ErrorCode::unavailable;
  return error;
}

void ServerPool::watch(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::vector<std::shared_ptr<Member>> due;
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, stop, options_.interval, [] { return false; });
      for (const auto& member : members_)
        if (!member->up || member->running > 0) due.push_back(member);
    }
    for (const auto& member : due) {
      if (stop.stop_requested()) return;
      bool up = false;
      {
        const std::lock_guard lock(mutex_);
        up = member->up;
      }
      if (!up) {
        if (member->running == 0) look_at(*member, stop);
        if (member->running == 0) continue;
      }
      const Status healthy = check_health(*member->transport, options_.answer, stop);
      const std::lock_guard lock(mutex_);
      if (healthy) {
        member->missed = 0;
        continue;
      }
      member->up = false;
      member->reason = healthy.error();
      if (++member->missed < options_.lost_after) continue;
      member->missed = 0;
      // The running operations end; later ones get a new token.
      std::stop_source lost = std::exchange(member->lost, std::stop_source());
      lost.request_stop();
    }
  }
}

std::vector<std::string> ServerPool::describe() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> out;
  for (const auto& member : members_)
    out.push_back(member->transport->name() + ": " +
                  (member->up ? "up, " + std::to_string(member->running) + " running"
                              : "not used, " + member->reason.message));
  return out;
}

ServerHooks pool_hooks(std::shared_ptr<ServerPool> pool) {
  ServerHooks hooks;
  hooks.lease = [pool](const std::stop_token& stop) { return pool->lease(stop); };
  hooks.on_failure = [pool](const ServerLease& lease, Error error) {
    return pool->failed(lease, std::move(error));
  };
  hooks.on_close = [pool] { pool->close(); };
  hooks.owner = std::move(pool);
  return hooks;
}

}  // namespace inference::backends
