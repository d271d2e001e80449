#include "backends/rocm/gpu.h"

#include <gtest/gtest.h>

namespace inference::backends {
namespace {

std::vector<AmdGpu> detect(const std::string& tree) {
  return detect_amd_gpus(std::string(INFERENCE_TEST_DATA) + "/amdgpu/" + tree);
}

TEST(AmdGpus, of_a_machine_without_one) {
  EXPECT_TRUE(detect("none").empty()) << "another maker's card, and a processor's node";
  EXPECT_TRUE(detect("no-such-tree").empty());
  const Status usable = rocm_usable({}, "/dev/null");
  ASSERT_FALSE(usable);
  EXPECT_EQ(usable.error().code, ErrorCode::unavailable);
  EXPECT_NE(usable.error().message.find("no AMD GPU"), std::string::npos);
}

TEST(AmdGpus, of_a_machine_with_one) {
  const auto gpus = detect("rdna3");
  ASSERT_EQ(gpus.size(), 1U);
  EXPECT_EQ(gpus[0].name, "AMD Radeon RX 7900 XTX");
  EXPECT_EQ(gpus[0].gfx, "gfx1100");
  EXPECT_EQ(gpus[0].pci, "0000:03:00.0");
  EXPECT_EQ(gpus[0].vram_total, 25'753'026'560U);
  EXPECT_EQ(gpus[0].vram_used, 1'468'235'776U);
  EXPECT_EQ(gpus[0].vram_free(), 25'753'026'560U - 1'468'235'776U);
  EXPECT_FALSE(gpus[0].integrated);
  EXPECT_TRUE(rocm_usable(gpus, "/dev/null"));
  const Status without = rocm_usable(gpus, "/no/such/device");
  ASSERT_FALSE(without);
  EXPECT_NE(without.error().message.find("group"), std::string::npos);
}

TEST(AmdGpus, of_a_machine_with_two_are_sorted_by_memory) {
  const auto gpus = detect("two");
  ASSERT_EQ(gpus.size(), 2U);
  EXPECT_EQ(gpus[0].gfx, "gfx90a");
  EXPECT_EQ(gpus[0].name, "AMD INSTINCT MI210 (MCX) OAM AC MBA");
  EXPECT_EQ(gpus[1].gfx, "gfx1030");
  EXPECT_EQ(gpus[1].name, "AMD navi21") << "without a product's name, the kernel's";
}

TEST(AmdGpus, integrated_ones_come_last) {
  const auto gpus = detect("igpu_dgpu");
  ASSERT_EQ(gpus.size(), 2U);
  EXPECT_EQ(gpus[0].gfx, "gfx1201");
  EXPECT_FALSE(gpus[0].integrated);
  EXPECT_EQ(gpus[1].gfx, "gfx1036");
  EXPECT_TRUE(gpus[1].integrated);
}

TEST(AmdGpus, without_the_compute_driver_cannot_be_used) {
  const auto gpus = detect("no_kfd");
  ASSERT_EQ(gpus.size(), 1U);
  EXPECT_EQ(gpus[0].gfx, "");
  const Status usable = rocm_usable(gpus, "/dev/null");
  ASSERT_FALSE(usable);
  EXPECT_NE(usable.error().message.find("amdkfd"), std::string::npos);
}

TEST(AmdGpus, of_a_recorded_machine_with_eight_of_which_only_the_compute_driver_tells) {
  const auto gpus = detect("recorded_mi210");
  ASSERT_EQ(gpus.size(), 8U) << "its two processors are none";
  const char* const slots[] = {"63", "43", "03", "26", "e3", "c3", "83", "a3"};
  for (std::size_t i = 0; i < gpus.size(); ++i) {
    EXPECT_EQ(gpus[i].gfx, "gfx90a");
    EXPECT_EQ(gpus[i].name, "AMD GPU 0x740f");
    EXPECT_EQ(gpus[i].pci, std::string("0000:") + slots[i] + ":00.0");
    EXPECT_FALSE(gpus[i].integrated);
  }
  EXPECT_TRUE(rocm_usable(gpus, "/dev/null"));
}

TEST(AmdGpus, of_a_recorded_machine_whose_kernel_names_no_target_cannot_be_used) {
  const auto gpus = detect("recorded_vega");
  ASSERT_EQ(gpus.size(), 1U);
  EXPECT_EQ(gpus[0].gfx, "");
  EXPECT_EQ(gpus[0].pci, "0000:19:00.0");
  EXPECT_EQ(gpus[0].vram_total, 17'163'091'968U);
  const Status usable = rocm_usable(gpus, "/dev/null");
  ASSERT_FALSE(usable);
  EXPECT_NE(usable.error().message.find("newer kernel"), std::string::npos)
      << usable.error().message;
}

TEST(AmdGpus, broken_files_make_fields_unknown) {
  const auto gpus = detect("broken");
  ASSERT_EQ(gpus.size(), 1U);
  EXPECT_EQ(gpus[0].gfx, "gfx1100");
  EXPECT_EQ(gpus[0].vram_total, 0U);
  EXPECT_EQ(gpus[0].vram_free(), 0U);
  EXPECT_EQ(gpus[0].pci, "");
}

TEST(AmdGpus, hostile_names_and_numbers_do_nothing) {
  const auto gpus = detect("hostile");
  ASSERT_EQ(gpus.size(), 1U);
  EXPECT_EQ(gpus[0].vram_total, 0U);
  EXPECT_EQ(gpus[0].vram_used, 0U);
  EXPECT_EQ(gpus[0].pci, "");
  EXPECT_LE(gpus[0].name.size(), 96U);
  for (const char c : gpus[0].name) EXPECT_TRUE(c >= ' ' && c <= '~');
}

TEST(GfxName, shows_the_last_two_parts_in_hexadecimal) {
  EXPECT_EQ(gfx_name(110000), "gfx1100");
  EXPECT_EQ(gfx_name(90010), "gfx90a");
  EXPECT_EQ(gfx_name(90006), "gfx906");
  EXPECT_EQ(gfx_name(90402), "gfx942");
  EXPECT_EQ(gfx_name(100306), "gfx1036");
  EXPECT_EQ(gfx_name(80003), "gfx803");
  EXPECT_EQ(gfx_name(120001), "gfx1201");
  EXPECT_EQ(gfx_name(0), "");
  EXPECT_EQ(gfx_name(90099), "");
  EXPECT_EQ(gfx_name(~std::uint64_t{0}), "");
}

}  // namespace
}  // namespace inference::backends
