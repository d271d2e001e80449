#include "apps/cli/chat_session.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "apps/cli/common.h"
#include "apps/cli/terminal.h"
#include "platform/system.h"

namespace inference::cli {
namespace {

constexpr const char* kHelp =
    "/help            this text\n"
    "/reset           forget the conversation\n"
    "/system [TEXT]   set or show the system message (starts anew)\n"
    "/save FILE       write the conversation as JSON\n"
    "/load FILE       go on with a saved conversation\n"
    "/stats           tokens per second after each answer, on or off\n"
    "/bye             leave (or Ctrl-D)\n"
    "Ctrl-C stops an answer. Several pasted lines are one message.\n";

std::string history_file() {
  const std::string folder = platform::environment("HOME").value_or(".") + "/.cache/inference";
  std::error_code ignored;
  std::filesystem::create_directories(folder, ignored);
  return folder + "/history";
}

std::string rest_of(const std::string& line) {
  const std::size_t space = line.find(' ');
  if (space == std::string::npos) return {};
  const std::size_t begin = line.find_first_not_of(' ', space);
  return begin == std::string::npos ? std::string() : line.substr(begin);
}

}  // namespace

void print_stats(const GenerateMetrics& m) {
  std::fprintf(stderr, "[prompt %llu tokens, %.1f/s; answer %llu tokens, %.1f/s; %s peak]\n",
               static_cast<unsigned long long>(m.prompt_tokens), m.prefill_tokens_per_second,
               static_cast<unsigned long long>(m.generated_tokens), m.decode_tokens_per_second,
               show_bytes(m.peak_memory_bytes).c_str());
}

ChatSession::ChatSession(TextModel& model, GenerateConfig config, std::string system, bool raw,
                         bool stats)
    : model_(model),
      config_(std::move(config)),
      system_(std::move(system)),
      raw_(raw),
      stats_(stats) {
  reset();
}

void ChatSession::reset() {
  messages_.clear();
  if (!system_.empty()) messages_.push_back({"system", system_});
}

int ChatSession::run() {
  LineEditor editor(history_file());
  std::cerr << model_.model_type() << ", " << model_.info().context_length
            << " tokens of context. /help for help.\n";
  while (true) {
    const auto line = editor.read("> ");
    if (!line) break;
    if (line->empty()) continue;
    if (line->front() == '/' && line->find('\n') == std::string::npos) {
      if (!command(*line)) break;
    } else {
      answer(*line);
    }
  }
  return kDone;
}

bool ChatSession::command(const std::string& line) {
  const std::string name = line.substr(0, line.find(' '));
  const std::string rest = rest_of(line);
  if (name == "/bye" || name == "/exit" || name == "/quit") return false;
  if (name == "/help") {
    std::cout << kHelp << std::flush;
  } else if (name == "/reset") {
    reset();
    std::cerr << "The conversation is forgotten.\n";
  } else if (name == "/system") {
    if (rest.empty()) {
      std::cout << (system_.empty() ? "There is no system message." : system_) << std::endl;
    } else {
      system_ = rest;
      reset();
      std::cerr << "The conversation starts anew with this system message.\n";
    }
  } else if (name == "/stats") {
    stats_ = !stats_;
  } else if (name == "/save") {
    save(rest);
  } else if (name == "/load") {
    load(rest);
  } else {
    std::cerr << "error: unknown command " << name << "; /help lists them\n";
  }
  return true;
}

void ChatSession::answer(const std::string& text) {
  messages_.push_back({"user", text});
  const InterruptGuard interrupt;
  TokenStream stream = raw_ ? model_.generate(text, config_, interrupt.token())
                            : model_.chat(messages_, config_, interrupt.token());
  std::string reply;
  for (const Token& token : stream) {
    std::cout << token.text << std::flush;
    reply += token.text;
  }
  std::cout << std::endl;
  const auto error = stream.error();
  if (error && error->code != ErrorCode::cancelled) {
    report(*error);
    messages_.pop_back();  // the message had no answer
    return;
  }
  if (error) std::cerr << "(stopped)\n";
  messages_.push_back({"assistant", reply});
  if (stats_) print_stats(stream.metrics());
}

void ChatSession::save(const std::string& path) const {
  if (path.empty()) {
    std::cerr << "error: /save needs a file name\n";
    return;
  }
  OutJson out = OutJson::array();
  for (const Message& message : messages_)
    out.push_back({{"role", message.role}, {"content", message.content}});
  const std::string text = out.dump(2, ' ', false, OutJson::error_handler_t::replace) + "\n";
  if (const Status ok = platform::write_file_atomically(path, text.data(), text.size()); !ok)
    report(ok.error());
}

void ChatSession::load(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  const OutJson json = OutJson::parse(text.str(), nullptr, false);
  std::vector<Message> messages;
  bool valid = static_cast<bool>(in) && json.is_array();
  for (const auto& entry : valid ? json : OutJson::array()) {
    valid = valid && entry.is_object() && entry.value("role", OutJson()).is_string() &&
            entry.value("content", OutJson()).is_string();
    if (valid)
      messages.push_back({entry["role"].get<std::string>(), entry["content"].get<std::string>()});
  }
  if (!valid) {
    std::cerr << "error: " << path << ": cannot be read as a saved conversation\n";
    return;
  }
  messages_ = std::move(messages);
  system_ =
      !messages_.empty() && messages_.front().role == "system" ? messages_.front().content : "";
  std::cerr << messages_.size() << " messages loaded.\n";
}

}  // namespace inference::cli
