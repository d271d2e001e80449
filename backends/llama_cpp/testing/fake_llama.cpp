#include "backends/llama_cpp/testing/fake_llama.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace inference::testkit {
namespace {

using nlohmann::json;

constexpr int kVocab = 256;
constexpr int kEnd = 0;

json error_json(int code, const std::string& message, const std::string& type) {
  return {{"error", {{"code", code}, {"message", message}, {"type", type}}}};
}

/// The next letter; with a temperature, one that the seed picks.
int next_token(const json& request, const std::vector<int>& history) {
  const int last = history.empty() ? 'a' - 1 : history.back();
  int next = last >= 'a' && last < 'z' ? last + 1 : 'a';
  if (!request.value("grammar", std::string()).empty())  // "yes", whatever it says
    return last == 'y' ? 'e' : last == 'e' ? 's' : last == 's' ? kEnd : 'y';
  if (request.value("temperature", 0.0) > 0)
    next = 'a' + static_cast<int>((request.value("seed", 0ULL) * 7919 + history.size() * 31) % 26);
  double best = 0;
  if (request.contains("logit_bias"))
    for (const json& pair : request["logit_bias"]) {
      const int id = pair[0];
      if (pair[1].is_boolean()) {
        if (id == next) next = next == 'z' ? 'a' : next + 1;
      } else if (pair[1].get<double>() > std::max(best, 50.0)) {
        best = pair[1];
        next = id;
      }
    }
  return next;
}

/// The unbiased choice has 0.9, the rest share what is left.
json probabilities(const json& request, const std::vector<int>& history, int sampled) {
  const int count = request.value("n_probs", 0);
  if (count <= 0) return nullptr;
  json plain = request;
  plain.erase("logit_bias");
  plain["temperature"] = 0;
  const int likely = next_token(plain, history);
  const auto entry = [&](int id) {
    const double p = id == likely ? 0.9 : 0.1 / (kVocab - 1);
    return json{{"id", id}, {"token", "?"}, {"bytes", {id}}, {"logprob", std::log(p)}};
  };
  json top = json::array({entry(likely)});
  for (int id = 0; id < kVocab && static_cast<int>(top.size()) < count; ++id)
    if (id != likely) top.push_back(entry(id));
  json own = entry(sampled);
  own["top_logprobs"] = std::move(top);
  return json::array({std::move(own)});
}

json timings(std::size_t prompt, std::size_t made) {
  return {{"cache_n", 0},
          {"prompt_n", prompt},
          {"prompt_ms", 1.5},
          {"prompt_per_second", 100.0},
          {"predicted_n", made},
          {"predicted_ms", 2.5},
          {"predicted_per_second", 400.0}};
}

std::string event(const json& data) {
  const std::string text = "data: " + data.dump() + "\n\n";
  char size[16];
  std::snprintf(size, sizeof size, "%zx\r\n", text.size());
  return size + text + "\r\n";
}

constexpr const char* kStreamHead =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
constexpr const char* kStreamEnd = "0\r\n\r\n";
constexpr std::chrono::seconds kForever{30};

}  // namespace

FakeLlama::FakeLlama() : FakeLlama(Options{}) {}

FakeLlama::FakeLlama(Options options) : options_(std::move(options)) {
  server_ = std::make_unique<TcpServer>(
      [this](Connection& connection, const Request& request) {
        try {
          return handle(connection, request);
        } catch (const json::exception& thrown) {
          return connection.reply(400, "application/json",
                                  error_json(400, thrown.what(), "invalid_request_error").dump());
        }
      },
      options_.unix_socket, options_.port);
}

void FakeLlama::break_next(Fault fault, int times, int at) {
  fault_at_ = at;
  fault_ = fault;
  fault_times_ = times;
}

Fault FakeLlama::take_fault() {
  return fault_times_.fetch_sub(1) > 0 ? fault_.load() : Fault::none;
}

bool FakeLlama::handle(Connection& connection, const Request& request) {
  const auto reply = [&](int status, const json& body) {
    return connection.reply(status, "application/json; charset=utf-8", body.dump());
  };
  const auto& target = request.target;
  if (loading_) return reply(503, error_json(503, "Loading model", "unavailable_error"));
  if (target == "/health" && !options_.openai_only) return reply(200, {{"status", "ok"}});
  if (!options_.api_key.empty() && target != "/v1/models") {
    const auto key = request.headers.find("authorization");
    if (key == request.headers.end() || key->second != "Bearer " + options_.api_key)
      return reply(401, error_json(401, "Invalid API Key", "authentication_error"));
  }
  if (target == "/v1/models") {
    json entry = {{"id", options_.model}, {"object", "model"}};
    if (!options_.openai_only)
      entry["meta"] = {{"n_vocab", kVocab}, {"n_embd", 8}, {"size", options_.weights}};
    return reply(200, {{"object", "list"}, {"data", {entry}}});
  }
  if (target == "/v1/completions") return complete_openai(connection, request, false);
  if (target == "/v1/chat/completions") return complete_openai(connection, request, true);
  if (options_.openai_only) return reply(404, error_json(404, "File Not Found", "not_found_error"));
  if (target == "/props")
    return reply(200, {{"default_generation_settings", {{"n_ctx", options_.context}}},
                       {"total_slots", options_.slots},
                       {"model_path", "/models/" + options_.model + ".gguf"},
                       {"chat_template",
                        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"},
                       {"bos_token", ""},
                       {"eos_token", ""}});
  if (target == "/tokenize") {
    const json body = json::parse(request.body);
    json tokens = json::array();
    for (const char c : body.value("content", std::string())) {
      const int id = static_cast<unsigned char>(c);
      if (body.value("with_pieces", false)) {
        tokens.push_back({{"id", id}, {"piece", json::array({id})}});
      } else {
        tokens.push_back(id);
      }
    }
    return reply(200, {{"tokens", tokens}});
  }
  if (target == "/detokenize") {
    const json body = json::parse(request.body);
    std::string text;
    for (const int id : body.at("tokens")) text += static_cast<char>(id);
    return connection.reply(
        200, "application/json",
        json{{"content", text}}.dump(-1, ' ', false, json::error_handler_t::replace));
  }
  if (target == "/completion") return complete(connection, request);
  return reply(404, error_json(404, "File Not Found", "not_found_error"));
}

/// A fault instead of a reply; false: the connection is over.
bool FakeLlama::break_before(Connection& connection, Fault fault) {
  switch (fault) {
    case Fault::reset:
      connection.reset_on_close();
      return false;
    case Fault::status_500:
    case Fault::status_503: {
      const int status = fault == Fault::status_500 ? 500 : 503;
      return connection.reply(status, "application/json",
                              error_json(status, "broken on purpose", "server_error").dump());
    }
    case Fault::hang_before_head:
      connection.wait(kForever);
      return false;
    case Fault::garbage_reply:
      connection.write("\x16\x03\x01 this is no HTTP\r\n\r\n");
      return false;
    case Fault::wrong_type:
      return connection.reply(200, "text/html", "<html>captive portal</html>");
    default:
      return false;
  }
}

/// A fault inside the stream; the connection is over afterwards.
bool FakeLlama::break_in(Connection& connection, Fault fault) {
  switch (fault) {
    case Fault::hang_in_stream:
      connection.wait(kForever);
      break;
    case Fault::close_in_event:
      connection.write("11\r\ndata: {\"content\":\r\n");
      break;
    case Fault::garbage_event:
      connection.write("10\r\ndata: {\"con\x01nt\n\n\r\n");
      connection.write(kStreamEnd);
      break;
    case Fault::huge_line: {
      const std::string block(1 << 16, 'x');
      connection.write("10000\r\n" + block + "\r\n");
      while (connection.write("10000\r\n" + block + "\r\n")) {
      }
      break;
    }
    case Fault::slow_drip:
      while (connection.write("1\r\nd\r\n") && connection.wait(std::chrono::milliseconds(20))) {
      }
      break;
    case Fault::wrong_fields:
      connection.write(event(
          {{"content", "?"}, {"tokens", {kVocab + 5}}, {"stop", false}, {"tokens_predicted", 1}}));
      connection.write(kStreamEnd);
      break;
    case Fault::error_event:
      connection.write(event(error_json(500, "the GPU is on fire", "server_error")));
      connection.write(kStreamEnd);
      break;
    case Fault::close_in_stream:
      connection.write(kStreamEnd);  // a whole body, without the final event
      break;
    default:
      break;
  }
  return false;
}

bool FakeLlama::complete(Connection& connection, const Request& request) {
  const json body = json::parse(request.body);
  std::vector<int> history = body.at("prompt").get<std::vector<int>>();
  ++completions_;
  const Fault fault = take_fault();
  const bool in_stream =
      fault >= Fault::hang_in_stream && fault != Fault::garbage_reply && fault != Fault::wrong_type;
  if (fault != Fault::none && !in_stream) return break_before(connection, fault);
  const std::size_t prompt = history.size();
  if (prompt >= static_cast<std::size_t>(options_.context))
    return connection.reply(
        400, "application/json",
        error_json(400, "exceeds the context", "exceed_context_size_error").dump());
  struct Count {
    std::atomic<int>& running;
    explicit Count(std::atomic<int>& counter) : running(counter) { ++running; }
    ~Count() { --running; }
  } const counted(running_);
  const int most =
      std::min(body.value("n_predict", 0), options_.context - static_cast<int>(prompt));
  const bool stream = body.value("stream", false);
  if (stream && !connection.write(kStreamHead)) return false;
  json last;
  std::string text;
  std::vector<int> tokens;
  const char* type = "limit";
  for (int made = 1; made <= most; ++made) {
    if (in_stream && made > fault_at_) return break_in(connection, fault);
    if (!connection.wait(std::chrono::milliseconds(delay_ms_.load()))) {
      ++left_;
      return false;
    }
    const int id = next_token(body, history);
    json part = {{"index", 0},
                 {"content", std::string(1, static_cast<char>(id))},
                 {"tokens", {id}},
                 {"stop", false},
                 {"id_slot", -1},
                 {"tokens_predicted", made},
                 {"tokens_evaluated", prompt}};
    if (json probs = probabilities(body, history, id); !probs.is_null())
      part["completion_probabilities"] = std::move(probs);
    if (id == kEnd) part["content"] = "";
    history.push_back(id);
    tokens.push_back(id);
    text += static_cast<char>(id);
    if (stream && !connection.write(event(part))) {
      ++left_;
      return false;
    }
    last = std::move(part);
    if (id == kEnd) {
      type = "eos";
      break;
    }
  }
  if (in_stream) return break_in(connection, fault);
  json end = {{"index", 0},
              {"content", stream ? "" : text},
              {"tokens", stream ? std::vector<int>() : tokens},
              {"stop", true},
              {"stop_type", type},
              {"tokens_predicted", tokens.size()},
              {"tokens_evaluated", prompt},
              {"timings", timings(prompt, tokens.size())}};
  if (!stream) {
    if (last.contains("completion_probabilities"))
      end["completion_probabilities"] = last["completion_probabilities"];
    return connection.reply(200, "application/json; charset=utf-8", end.dump());
  }
  return connection.write(event(end)) && connection.write(kStreamEnd);
}

bool FakeLlama::complete_openai(Connection& connection, const Request& request, bool chat) {
  const json body = json::parse(request.body);
  ++completions_;
  const Fault fault = take_fault();
  if (fault != Fault::none && fault < Fault::hang_in_stream) return break_before(connection, fault);
  if (!connection.write(kStreamHead)) return false;
  const int most = body.value("max_tokens", 16);
  for (int made = 0; made < most; ++made) {
    if (fault != Fault::none && made >= fault_at_) return break_in(connection, fault);
    if (!connection.wait(std::chrono::milliseconds(delay_ms_.load()))) return false;
    const std::string text(1, static_cast<char>('a' + made % 26));
    json choice = {{"index", 0}, {"finish_reason", nullptr}};
    if (chat) {
      choice["delta"] = {{"content", text}};
    } else {
      choice["text"] = text;
    }
    if (!connection.write(event({{"choices", {choice}}}))) return false;
  }
  json choice = {{"index", 0}, {"finish_reason", "length"}};
  if (chat) {
    choice["delta"] = json::object();
  } else {
    choice["text"] = "";
  }
  connection.write(event({{"choices", {choice}}}));
  connection.write(event({{"choices", json::array()},
                          {"usage", {{"prompt_tokens", 5}, {"completion_tokens", most}}}}));
  connection.write("e\r\ndata: [DONE]\n\n\r\n");
  return connection.write(kStreamEnd);
}

}  // namespace inference::testkit
