#include "backends/rocm/gpu.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <map>
#include <optional>
#include <string_view>
#include <system_error>

namespace inference::backends {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostFileBytes = 16'384;  // a topology node's properties take 1 to 2 KiB
constexpr std::size_t kMostNodes = 256;
constexpr std::size_t kMostNameBytes = 96;
constexpr std::uint64_t kAmd = 0x1002;  // PCI vendor
constexpr std::uint64_t kMostMemory = std::uint64_t{1} << 50;
/// Targets of processors with graphics (llvm.org/docs/AMDGPUUsage.html, "APU"); the topology's
/// local_mem_size is 0 for every GPU and tells nothing.
constexpr std::string_view kIntegrated[] = {"gfx801",  "gfx810",  "gfx902",  "gfx909",  "gfx90c",
                                            "gfx1013", "gfx1033", "gfx1035", "gfx1036", "gfx1103",
                                            "gfx1150", "gfx1151", "gfx1152", "gfx1153"};

/// The file's text; empty when it is missing, no regular file, or too large.
std::string read_small(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return {};
  std::string out(kMostFileBytes + 1, '\0');
  std::size_t size = 0;
  struct stat facts{};
  if (::fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode)) {
    ssize_t n = 0;
    while (size < out.size() && (n = ::read(fd, out.data() + size, out.size() - size)) > 0)
      size += static_cast<std::size_t>(n);
  }
  (void)::close(fd);
  out.resize(size > kMostFileBytes ? 0 : size);
  return out;
}

std::string_view trimmed(std::string_view text) {
  const auto space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  while (!text.empty() && space(text.front())) text.remove_prefix(1);
  while (!text.empty() && space(text.back())) text.remove_suffix(1);
  return text;
}

/// A whole unsigned number, decimal or 0x…; no sign, nothing behind it.
std::optional<std::uint64_t> number(std::string_view text) {
  text = trimmed(text);
  const bool hex = text.starts_with("0x");
  if (hex) text.remove_prefix(2);
  std::uint64_t value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, hex ? 16 : 10);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::uint64_t memory_in(const fs::path& path) {
  const auto value = number(read_small(path));
  return value && *value <= kMostMemory ? *value : 0;
}

/// Printable ASCII only: a name goes to terminals and logs.
std::string clean_name(std::string_view text) {
  std::string out;
  for (const char c : trimmed(text))
    if (c >= ' ' && c <= '~' && out.size() < kMostNameBytes) out += c;
  return std::string(trimmed(out));
}

std::map<std::string, std::uint64_t> properties_of(const fs::path& path) {
  std::map<std::string, std::uint64_t> out;
  const std::string text = read_small(path);
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = trimmed(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos) continue;
    if (const auto value = number(line.substr(space)))
      out.emplace(std::string(line.substr(0, space)), *value);
  }
  return out;
}

/// Entries of a folder that are `prefix` and a number, in the number's order.
std::vector<std::pair<std::uint64_t, fs::path>> numbered(const fs::path& folder,
                                                         std::string_view prefix) {
  std::vector<std::pair<std::uint64_t, fs::path>> out;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (!name.starts_with(prefix) || name.size() > prefix.size() + 6) continue;
    const std::string_view digits = std::string_view(name).substr(prefix.size());
    if (digits.empty() || digits.find_first_not_of("0123456789") != std::string_view::npos)
      continue;  // "card0-DP-1" is a connector
    if (const auto value = number(digits)) out.emplace_back(*value, it->path());
    if (out.size() >= kMostNodes) break;
  }
  std::sort(out.begin(), out.end());
  return out;
}

/// "PCI_SLOT_NAME=0000:03:00.0" in the device's uevent.
std::string pci_slot(const fs::path& device) {
  const std::string text = read_small(device / "uevent");
  constexpr std::string_view kKey = "PCI_SLOT_NAME=";
  const std::size_t at = text.find(kKey);
  if (at == std::string::npos) return {};
  const std::size_t from = at + kKey.size();
  const std::string slot = text.substr(from, text.find('\n', from) - from);
  const bool good =
      slot.size() == 12 && slot.find_first_not_of("0123456789abcdef:.") == std::string::npos;
  return good ? slot : std::string();
}

/// What the graphics driver says of a device; empty when it is not AMD's.
std::optional<AmdGpu> describe_device(const fs::path& device) {
  const auto vendor = number(read_small(device / "vendor"));
  if (vendor != kAmd) return std::nullopt;
  AmdGpu out;
  out.name = clean_name(read_small(device / "product_name"));
  out.pci = pci_slot(device);
  out.vram_total = memory_in(device / "mem_info_vram_total");
  out.vram_used = std::min(memory_in(device / "mem_info_vram_used"), out.vram_total);
  if (out.name.empty()) {
    const auto id = number(read_small(device / "device"));
    char text[24] = "AMD GPU";
    if (id && *id <= 0xffff)
      std::snprintf(text, sizeof text, "AMD GPU 0x%04x", static_cast<unsigned>(*id));
    out.name = text;
  }
  return out;
}

/// A GPU of which only the compute driver tells, as in a container without /sys/class/drm.
AmdGpu describe_node(const fs::path& node, std::map<std::string, std::uint64_t>& properties) {
  AmdGpu out;
  out.name = "AMD GPU";
  if (const auto id = properties["device_id"]; id != 0 && id <= 0xffff) {
    char text[24];
    std::snprintf(text, sizeof text, "AMD GPU 0x%04x", static_cast<unsigned>(id));
    out.name = text;
  }
  // Bus, device and function as PCI packs them.
  const std::uint64_t location = properties["location_id"];
  const std::uint64_t domain = properties["domain"];
  if (location > 0 && location <= 0xffff && domain <= 0xffff) {
    char text[16];
    std::snprintf(text, sizeof text, "%04x:%02x:%02x.%x", static_cast<unsigned>(domain),
                  static_cast<unsigned>(location >> 8U),
                  static_cast<unsigned>(location >> 3U & 31U),
                  static_cast<unsigned>(location & 7U));
    out.pci = text;
  }
  auto bank = properties_of(node / "mem_banks/0/properties");
  const std::uint64_t size = bank["size_in_bytes"];
  out.vram_total = size <= kMostMemory ? size : 0;
  return out;
}

/// Adds what the compute driver's topology knows of GPUs: target and kind, by render node.
void add_topology(const fs::path& sysfs, std::map<std::uint64_t, AmdGpu>& by_render_node) {
  for (const auto& [number_of_node, node] : numbered(sysfs / "class/kfd/kfd/topology/nodes", "")) {
    auto properties = properties_of(node / "properties");
    if (properties["simd_count"] == 0 || properties["vendor_id"] != kAmd) continue;  // a processor
    // An old kernel names no target: the GPU is there, but cannot be used.
    const bool old_kernel = !properties.contains("gfx_target_version");
    const std::string gfx = gfx_name(properties["gfx_target_version"]);
    const std::uint64_t minor = properties["drm_render_minor"];
    if (gfx.empty() && !old_kernel) continue;
    auto found = by_render_node.find(minor);
    if (found == by_render_node.end())
      found = by_render_node.emplace(minor, describe_node(node, properties)).first;
    AmdGpu& gpu = found->second;
    if (gfx.empty()) continue;
    gpu.gfx = gfx;
    gpu.integrated =
        properties["cpu_cores_count"] > 0 ||
        std::find(std::begin(kIntegrated), std::end(kIntegrated), gfx) != std::end(kIntegrated);
    const std::string name = clean_name(read_small(node / "name"));
    if (gpu.name.starts_with("AMD GPU") && !name.empty() && name != "ip discovery")
      gpu.name = "AMD " + name;
  }
}

}  // namespace

std::string gfx_name(std::uint64_t version) {
  const std::uint64_t major = version / 10'000;
  const std::uint64_t minor = version / 100 % 100;
  const std::uint64_t stepping = version % 100;
  if (major < 6 || major > 99 || minor > 15 || stepping > 15) return {};
  char text[16];
  std::snprintf(text, sizeof text, "gfx%u%x%x", static_cast<unsigned>(major),
                static_cast<unsigned>(minor), static_cast<unsigned>(stepping));
  return text;
}

std::vector<AmdGpu> detect_amd_gpus(const std::string& sysfs) {
  std::map<std::uint64_t, AmdGpu> by_render_node;
  for (const auto& [minor, entry] : numbered(fs::path(sysfs) / "class/drm", "renderD"))
    if (auto gpu = describe_device(entry / "device")) by_render_node.emplace(minor, *gpu);
  add_topology(sysfs, by_render_node);
  std::vector<AmdGpu> out;
  out.reserve(by_render_node.size());
  for (auto& [minor, gpu] : by_render_node) out.push_back(std::move(gpu));
  std::stable_sort(out.begin(), out.end(), [](const AmdGpu& a, const AmdGpu& b) {
    if (a.integrated != b.integrated) return b.integrated;
    return a.vram_total > b.vram_total;
  });
  return out;
}

Status rocm_usable(const std::vector<AmdGpu>& gpus, const std::string& device) {
  if (gpus.empty()) return fail(ErrorCode::unavailable, "this machine has no AMD GPU", "rocm");
  const bool computes =
      std::any_of(gpus.begin(), gpus.end(), [](const AmdGpu& gpu) { return !gpu.gfx.empty(); });
  if (!computes)
    return fail(ErrorCode::unavailable,
                gpus.front().name +
                    " is there, but the kernel's compute driver (amdkfd) does not "
                    "list it with a target; install ROCm's driver or a newer kernel",
                "rocm");
  if (::access(device.c_str(), R_OK | W_OK) != 0)
    return fail(ErrorCode::unavailable,
                gpus.front().name + " is there, but " + device +
                    " cannot be opened; add this user to the groups render and video",
                "rocm");
  return {};
}

}  // namespace inference::backends
