// Systems whose kernel neither ties a child's life to its parent's nor gives a descriptor to wait
// on: there a child could be left behind, so none is started.
#include "platform/child_process.h"

namespace inference::platform {

struct ChildProcess::State {};

namespace {
std::unexpected<Error> missing(const std::string& program) {
  return fail(ErrorCode::unsupported, "child processes need Linux", program);
}
}  // namespace

Result<std::unique_ptr<ChildProcess>> ChildProcess::start(ChildOptions options) {
  return missing(options.program);
}
ChildProcess::ChildProcess(std::shared_ptr<State> state) : state_(std::move(state)) {}
ChildProcess::~ChildProcess() = default;
int ChildProcess::pid() const {
  return -1;
}
bool ChildProcess::running() const {
  return false;
}
std::optional<ChildExit> ChildProcess::ended() const {
  return ChildExit{};
}
ChildExit ChildProcess::wait() {
  return {};
}
std::optional<ChildExit> ChildProcess::wait_for(std::chrono::milliseconds) {
  return ChildExit{};
}
void ChildProcess::stop(std::chrono::milliseconds) {}
Status ChildProcess::write_input(std::string_view) {
  return missing({});
}
void ChildProcess::close_input() {}
std::string ChildProcess::output(ChildOutput) const {
  return {};
}
std::string ChildProcess::last_lines() const {
  return {};
}
std::string ChildExit::to_string() const {
  return "did not run";
}
Result<ChildResult> run_child(ChildOptions options, std::string_view) {
  return missing(options.program);
}
Result<std::string> find_program(const std::string& name) {
  return missing(name);
}
std::vector<std::string> environment_with(const std::vector<std::string>& settings) {
  return settings;
}

}  // namespace inference::platform
