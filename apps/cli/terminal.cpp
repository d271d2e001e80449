#include "apps/cli/terminal.h"

#include <editline/readline.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "apps/cli/common.h"

namespace inference::cli {

bool input_is_terminal() {
  return ::isatty(STDIN_FILENO) != 0;
}
bool output_is_terminal() {
  return ::isatty(STDOUT_FILENO) != 0;
}
bool error_is_terminal() {
  return ::isatty(STDERR_FILENO) != 0;
}

// --- ProgressBar

ProgressBar::ProgressBar(std::string label) : label_(std::move(label)) {}

void ProgressBar::show(double fraction) {
  if (!error_is_terminal()) return;
  constexpr int kWidth = 30;
  const int percent = static_cast<int>(std::clamp(fraction, 0.0, 1.0) * 100);
  if (percent == shown_) return;
  shown_ = percent;
  const int filled = percent * kWidth / 100;
  std::fprintf(stderr, "\r%s [%s%s] %3d %%", label_.c_str(),
               std::string(static_cast<std::size_t>(filled), '#').c_str(),
               std::string(static_cast<std::size_t>(kWidth - filled), ' ').c_str(), percent);
  std::fflush(stderr);
}

ProgressBar::~ProgressBar() {
  if (shown_ >= 0) std::fprintf(stderr, "\r\033[K");
}

// --- LineEditor

LineEditor::LineEditor(std::string history_file) : history_file_(std::move(history_file)) {
  using_history();
  read_history(history_file_.c_str());
}

LineEditor::~LineEditor() {
  write_history(history_file_.c_str());
}

std::optional<std::string> LineEditor::read(const std::string& prompt) {
  std::string entry;
  bool first = true;
  while (true) {
    char* line = readline(first ? prompt.c_str() : "");
    if (line == nullptr) {
      if (first) return std::nullopt;
      break;
    }
    entry += (first ? "" : "\n") + std::string(line);
    std::free(line);
    first = false;
    // What is there at once was pasted; a person needs longer for the next line.
    constexpr int kPasteMilliseconds = 30;
    pollfd more{STDIN_FILENO, POLLIN, 0};
    if (::poll(&more, 1, kPasteMilliseconds) <= 0 || (more.revents & POLLIN) == 0) break;
  }
  if (!entry.empty()) add_history(entry.c_str());
  return entry;
}

// --- InterruptGuard

namespace {
int signal_pipe = -1;
volatile std::sig_atomic_t interrupts = 0;

extern "C" void on_interrupt(int) {
  // A second Ctrl-C means that the first was not heard.
  if (interrupts > 0) _exit(130);
  interrupts = 1;
  const char byte = 1;
  if (signal_pipe >= 0) (void)!::write(signal_pipe, &byte, 1);
}
}  // namespace

struct InterruptGuard::State {
  std::stop_source stop;
  int pipe[2] = {-1, -1};
  struct sigaction before{};
  std::thread watcher;
};

InterruptGuard::InterruptGuard() : state_(std::make_unique<State>()) {
  interrupts = 0;
  if (::pipe2(state_->pipe, O_CLOEXEC) != 0) return;
  signal_pipe = state_->pipe[1];
  // The handler only writes a byte: requesting a stop is not safe inside it.
  state_->watcher = std::thread([state = state_.get()] {
    char byte = 0;
    if (::read(state->pipe[0], &byte, 1) == 1 && byte == 1) state->stop.request_stop();
  });
  struct sigaction action{};
  action.sa_handler = &on_interrupt;
  sigaction(SIGINT, &action, &state_->before);
}

InterruptGuard::~InterruptGuard() {
  if (!state_->watcher.joinable()) return;
  sigaction(SIGINT, &state_->before, nullptr);
  signal_pipe = -1;
  const char byte = 0;
  (void)!::write(state_->pipe[1], &byte, 1);
  state_->watcher.join();
  ::close(state_->pipe[0]);
  ::close(state_->pipe[1]);
}

std::stop_token InterruptGuard::token() const {
  return state_->stop.get_token();
}

}  // namespace inference::cli
