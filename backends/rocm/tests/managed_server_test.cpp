// The managed server's life, with a fake that misbehaves on command.
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <atomic>
#include <cstring>

#include "backends/rocm/server_socket.h"
#include "backends/rocm/tests/rocm_rig.h"

namespace inference::backends::testing_rig {
namespace {

using Clock = std::chrono::steady_clock;

/// The error a stream ends with.
Error end_of(TokenStream stream) {
  while (stream.next()) {
  }
  const auto error = stream.error();
  EXPECT_TRUE(error) << "the stream ended well";
  return error.value_or(Error{});
}

/// As a patient caller does: tries again while it is told to.
bool serves(TextModel& model) {
  GenerateConfig config;
  config.max_tokens = 4;
  config.ignore_eos = true;
  return soon([&] {
    TokenStream stream = model.generate("Hello", config);
    int count = 0;
    while (stream.next()) ++count;
    return !stream.error() && count == 4;
  });
}

TEST_F(RocmRig, is_available_with_the_program_and_a_gpu) {
  EXPECT_TRUE(RocmBackend().available());
  ::unsetenv("INFERENCE_ROCM_ALLOW_CPU");
  const std::string trees = std::string(INFERENCE_TEST_DATA) + "/amdgpu/";
  EXPECT_TRUE(RocmBackend(trees + "rdna3", "/dev/null").available());
  const Status none = RocmBackend(trees + "none", "/dev/null").available();
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message.find("no AMD GPU"), std::string::npos);
  use("/no/such/server");
  const Status missing = RocmBackend(trees + "rdna3", "/dev/null").available();
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("/no/such/server"), std::string::npos);
}

TEST_F(RocmRig, generates_and_leaves_nothing_behind) {
  {
    (void)serves(*load());
  }  // what libraries keep open for good
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 5; ++i) {
    auto model = load();
    ASSERT_TRUE(model);
    EXPECT_TRUE(serves(*model));
    EXPECT_EQ(children().size(), 1U);
    EXPECT_TRUE(fs::is_empty(folder_ / "tmp")) << "the socket kept its name";
    model.reset();
    EXPECT_TRUE(children().empty());
  }
  EXPECT_TRUE(soon([&] { return open_descriptors() <= before; })) << open_descriptors();
}

TEST_F(RocmRig, keeps_the_key_out_of_arguments_environment_and_files) {
  auto model = load();
  ASSERT_TRUE(model);
  const std::string process = "/proc/" + std::to_string(children().at(0));
  for (const char* file : {"/cmdline", "/environ"}) {
    std::ifstream in(process + file, std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    ASSERT_FALSE(text.empty());
    std::size_t run = 0;
    std::size_t longest = 0;
    for (const char c : text) {
      run = std::isxdigit(static_cast<unsigned char>(c)) != 0 ? run + 1 : 0;
      longest = std::max(longest, run);
    }
    EXPECT_LT(longest, 64U) << file << " holds what looks like the key";
  }
  // The pipe that brought it is drained.
  char left = 0;
  const int pipe = ::open((process + "/fd/3").c_str(), O_RDONLY | O_NONBLOCK);
  if (pipe >= 0) {
    EXPECT_LE(::read(pipe, &left, 1), 0);
    ::close(pipe);
  }
}

TEST_F(RocmRig, that_cannot_start_gives_the_servers_last_lines_without_the_key) {
  command("die");
  const Error error = load_error();
  EXPECT_EQ(error.code, ErrorCode::unavailable);
  EXPECT_NE(error.message.find("ended with status 3"), std::string::npos) << error.message;
  EXPECT_NE(error.message.find("cannot go on, key (key)"), std::string::npos) << error.message;
  EXPECT_EQ(error.message.find('\n'), std::string::npos);
}

TEST_F(RocmRig, that_is_not_ready_in_time_is_given_up) {
  ::setenv("INFERENCE_ROCM_START_SECONDS", "1", 1);
  command("hang");
  const auto began = Clock::now();
  EXPECT_EQ(load_error().code, ErrorCode::timeout);
  EXPECT_LT(Clock::now() - began, 10s);
  ::setenv("INFERENCE_ROCM_START_SECONDS", "soon", 1);
  EXPECT_EQ(load_error().code, ErrorCode::invalid_argument);
  ::unsetenv("INFERENCE_ROCM_START_SECONDS");
}

TEST_F(RocmRig, of_a_wrong_version_or_none_is_refused) {
  for (const char* fault : {"old", "rubbish"}) {
    // The version is remembered per file.
    fs::copy_file(fake_server(), folder_ / "server", fs::copy_options::overwrite_existing);
    use((folder_ / "server").string());
    command(fault);
    EXPECT_EQ(load_error().code, ErrorCode::unsupported) << fault;
    fs::remove(folder_ / "server");
  }
  EXPECT_EQ(load_error().code, ErrorCode::unavailable) << "it is gone";
}

TEST_F(RocmRig, says_what_befell_the_server_and_is_back) {
  auto model = load();
  ASSERT_TRUE(model);
  for (int i = 0; i < 3; ++i) {
    TokenStream stream = model->generate("Hello", tokens(2'000));
    ASSERT_TRUE(stream.next());
    const auto began = Clock::now();
    ::kill(children().at(0), SIGKILL);
    const Error error = end_of(std::move(stream));
    EXPECT_LT(Clock::now() - began, 2s);
    EXPECT_EQ(error.code, ErrorCode::unavailable);
    EXPECT_NE(error.message.find("killed by signal 9"), std::string::npos) << error.message;
    EXPECT_TRUE(serves(*model));
  }
}

TEST_F(RocmRig, retries_what_was_lost_before_its_first_token) {
  auto model = load();
  ASSERT_TRUE(model);
  ::kill(children().at(0), SIGKILL);
  TokenStream stream = model->generate("Hello", tokens(4));
  int count = 0;
  while (stream.next()) ++count;
  EXPECT_FALSE(stream.error()) << stream.error()->to_string();
  EXPECT_EQ(count, 4);
}

TEST_F(RocmRig, notices_a_server_that_is_suspended_or_hangs) {
  auto model = load();
  ASSERT_TRUE(model);
  for (const bool suspended : {true, false}) {
    TokenStream stream = model->generate("Hello", tokens(2'000));
    ASSERT_TRUE(stream.next());
    if (suspended) {
      ::kill(children().at(0), SIGSTOP);
    } else {
      command("hang");
    }
    const Error error = end_of(std::move(stream));
    EXPECT_EQ(error.code, ErrorCode::unavailable);
    EXPECT_NE(error.message.find(suspended ? "was suspended" : "hangs"), std::string::npos)
        << error.message;
    EXPECT_TRUE(serves(*model));
  }
}

TEST_F(RocmRig, survives_garbage_and_a_connection_that_closes) {
  auto model = load();
  ASSERT_TRUE(model);
  const int pid = children().at(0);
  for (const char* fault : {"garbage", "close"}) {
    TokenStream stream = model->generate("Hello", tokens(2'000));
    ASSERT_TRUE(stream.next());
    command(fault);
    const Error error = end_of(std::move(stream));
    EXPECT_TRUE(error.code == ErrorCode::corrupt_data || error.code == ErrorCode::unavailable)
        << error.to_string();
    EXPECT_TRUE(serves(*model));
    EXPECT_EQ(children().at(0), pid) << "a healthy server was restarted for one bad answer";
  }
  command("sick");
  EXPECT_TRUE(soon([&] {
    (void)model->generate("Hello", tokens(1)).read_all();
    return !children().empty() && children().at(0) != pid;
  })) << "a server whose health is nonsense was kept";
  EXPECT_TRUE(serves(*model));
}

TEST_F(RocmRig, sends_nothing_to_a_squatter_of_its_family) {
  command("squat");
  const Error error = load_error();
  EXPECT_EQ(error.code, ErrorCode::permission_denied) << error.to_string();
  EXPECT_FALSE(fs::exists(folder_ / "commands" / "received")) << "a squatter got bytes";
}

TEST_F(RocmRig, sends_nothing_to_a_squatter_who_was_first) {
  command("slow");
  std::atomic<int> received = 0;
  std::atomic<bool> squatted = false;
  std::jthread squatter([&](const std::stop_token& stop) {
    fs::path place;
    while (place.empty() && !stop.stop_requested())
      for (const auto& entry : fs::directory_iterator(folder_ / "tmp")) place = entry.path();
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, (place / "server.sock").c_str(), sizeof address.sun_path - 1);
    squatted = ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    ::listen(fd, 16);
    while (!stop.stop_requested()) {
      const int client = ::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) {
        std::this_thread::sleep_for(1ms);
        continue;
      }
      char bytes[1024];
      ssize_t n = 0;
      while ((n = ::recv(client, bytes, sizeof bytes, 0)) > 0) received += static_cast<int>(n);
      ::close(client);
    }
    ::close(fd);
  });
  const Error error = load_error();
  squatter.request_stop();
  squatter.join();
  EXPECT_TRUE(squatted);
  EXPECT_TRUE(error.code == ErrorCode::permission_denied || error.code == ErrorCode::unavailable)
      << error.to_string();
  EXPECT_EQ(received, 0);
}

TEST_F(RocmRig, closes_while_streams_run) {
  auto model = load();
  ASSERT_TRUE(model);
  TokenStream stream = model->generate("Hello", tokens(2'000));
  ASSERT_TRUE(stream.next());
  ASSERT_TRUE(model->close());
  EXPECT_EQ(end_of(std::move(stream)).code, ErrorCode::closed);
  EXPECT_TRUE(soon([] { return children().empty(); }));
  EXPECT_EQ(end_of(model->generate("Hello", tokens(4))).code, ErrorCode::closed);
}

TEST_F(RocmRig, removes_the_folders_of_killed_programs_and_no_others) {
  const auto make = [&](const char* name, bool old) {
    const fs::path path = folder_ / "tmp" / name;
    fs::create_directory(path);
    std::ofstream(path / "server.sock") << "";
    const timespec times[2] = {{old ? 1'000 : ::time(nullptr), 0},
                               {old ? 1'000 : ::time(nullptr), 0}};
    ::utimensat(AT_FDCWD, path.c_str(), times, 0);
    return path;
  };
  const fs::path stale = make("inference-rocm-stale1", true);
  const fs::path fresh = make("inference-rocm-fresh1", false);
  const fs::path other = make("another-program", true);
  const fs::path locked = make("inference-rocm-locked", true);
  const int lock = ::open(locked.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ASSERT_EQ(::flock(lock, LOCK_EX), 0);
  {
    (void)load();
  }
  EXPECT_FALSE(fs::exists(stale));
  EXPECT_TRUE(fs::exists(fresh));
  EXPECT_TRUE(fs::exists(other));
  EXPECT_TRUE(fs::exists(locked));
  ::close(lock);
  for (const fs::path& path : {fresh, other, locked}) fs::remove_all(path);
}

TEST_F(RocmRig, needs_a_folder_that_can_hold_a_socket) {
  ::setenv("TMPDIR", (folder_ / "none").c_str(), 1);
  EXPECT_EQ(load_error().code, ErrorCode::not_found);
  ::setenv("TMPDIR", ("/tmp/" + std::string(100, 'x')).c_str(), 1);
  EXPECT_EQ(load_error().code, ErrorCode::invalid_argument);
  ::setenv("TMPDIR", (folder_ / "a,b").c_str(), 1);
  EXPECT_EQ(load_error().code, ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace inference::backends::testing_rig
