// Test helper: starts `sleep` in a thread that then ends, prints the child's pid, and waits to be
// killed.
#include <unistd.h>

#include <cstdio>
#include <thread>

#include "platform/child_process.h"

int main() {
  std::unique_ptr<inference::platform::ChildProcess> child;
  std::thread starter([&] {
    auto started =
        inference::platform::ChildProcess::start({.program = "/bin/sleep", .arguments = {"1000"}});
    if (started) child = std::move(*started);
  });
  starter.join();  // the child must outlive the thread that asked for it
  if (child == nullptr) return 1;
  ::usleep(20'000);
  if (!child->running()) return 2;
  std::printf("%d\n", child->pid());
  std::fflush(stdout);
  for (;;) ::pause();
}
