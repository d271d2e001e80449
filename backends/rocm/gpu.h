// Which AMD GPUs this machine has, as the kernel tells in sysfs: no library, no driver call.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "inference/error.h"

namespace inference::backends {

struct AmdGpu {
  std::string name;  ///< "AMD Radeon RX 7900 XTX", or what the kernel calls it; printable
  std::string gfx;   ///< the compiler's target: "gfx1100"; "" where the compute driver is missing
  std::string pci;   ///< "0000:03:00.0"; "" if unknown
  std::uint64_t vram_total = 0;  ///< bytes; 0: unknown
  std::uint64_t vram_used = 0;   ///< bytes
  bool integrated = false;       ///< shares the processor's memory

  std::uint64_t vram_free() const { return vram_total > vram_used ? vram_total - vram_used : 0; }
  friend bool operator==(const AmdGpu&, const AmdGpu&) = default;
};

/// The GPUs below `sysfs` ("/sys"), discrete ones with the most memory first. A file that is
/// missing, too large or malformed makes its field unknown; nothing in the tree is an error.
std::vector<AmdGpu> detect_amd_gpus(const std::string& sysfs = "/sys");

/// "gfx1100" for 110000, as in the topology's gfx_target_version: major * 10000 + minor * 100 +
/// stepping, of which the name shows the last two in hexadecimal. "" for what cannot be one.
std::string gfx_name(std::uint64_t version);

/// Whether ROCm can run on one of them; the error says what is missing. `device` is the compute
/// driver's device file.
Status rocm_usable(const std::vector<AmdGpu>& gpus, const std::string& device = "/dev/kfd");

}  // namespace inference::backends
