#include "engine/convert/quantize.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "engine/quant/quant.h"
#include "model/formats/gguf.h"
#include "model/formats/gguf_writer.h"

namespace inference::engine {
namespace {

namespace fs = std::filesystem;
using model::GgufFile;
using model::TensorView;

class Quantize : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "quantize XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string file(const char* name) const { return (folder_ / name).string(); }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_), {}));
  }
  const std::string in_ = std::string(INFERENCE_TEST_DATA) + "/gguf/llama.gguf";

 private:
  fs::path folder_;
};

std::vector<float> values_of(const TensorView& view) {
  std::vector<float> out(view.element_count());
  EXPECT_TRUE(dequantize(view.dtype, view.bytes, out)) << view.name;
  return out;
}

/// Squared errors, each column weighed; alone, or as a share of the weights' squares.
double error_of(const std::vector<float>& x, const std::vector<float>& y,
                std::span<const float> columns = {}) {
  double error = 0;
  double size = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double w = columns.empty() ? 1.0 : static_cast<double>(columns[i % columns.size()]);
    error += w * (x[i] - y[i]) * (x[i] - y[i]);
    size += w * x[i] * x[i];
  }
  return error / size;
}

TEST_F(Quantize, keeps_metadata_and_names_and_comes_close_to_every_weight) {
  const auto before = GgufFile::open(in_);
  ASSERT_TRUE(before);
  for (const Recipe& recipe : recipes()) {
    SCOPED_TRACE(std::string(recipe.name));
    const auto ok = quantize_model(in_, file("out.gguf"), recipe, {});
    ASSERT_TRUE(ok) << ok.error().to_string();
    const auto after = GgufFile::open(file("out.gguf"));
    ASSERT_TRUE(after) << after.error().to_string();
    EXPECT_EQ(after->get_integer("general.file_type"), static_cast<std::int64_t>(recipe.file_type));
    for (const auto& entry : before->metadata())
      EXPECT_NE(after->get(entry.key), nullptr) << entry.key;
    ASSERT_EQ(after->tensors().size(), before->tensors().size());
    for (const TensorView& tensor : before->tensors()) {
      const TensorView* made = after->find(tensor.name);
      ASSERT_NE(made, nullptr) << tensor.name;
      EXPECT_EQ(made->shape, tensor.shape);
      EXPECT_LE(error_of(values_of(tensor), values_of(*made)), 0.15) << tensor.name;
    }
  }
}

TEST_F(Quantize, knows_types_by_name_and_never_overwrites_what_it_reads) {
  EXPECT_EQ(find_recipe("q4_k_m"), find_recipe("Q4_K_M"));
  EXPECT_EQ(find_recipe("Q4_K_X"), nullptr);
  fs::copy_file(in_, file("in.gguf"));
  const auto status = quantize_model(file("in.gguf"), file("in.gguf"), *find_recipe("Q8_0"), {});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(fs::file_size(file("in.gguf")), fs::file_size(in_));
}

TEST_F(Quantize, writes_parts_that_read_as_one_file) {
  constexpr std::uint64_t kMost = 100'000;
  QuantizeOptions options;
  const auto whole = quantize_model(in_, file("whole.gguf"), *find_recipe("Q8_0"), options);
  options.split_bytes = kMost;
  const auto split = quantize_model(in_, file("parts.gguf"), *find_recipe("Q8_0"), options);
  ASSERT_TRUE(whole && split) << split.error().to_string();
  ASSERT_GE(split->files.size(), 3U);
  const std::string count = std::to_string(split->files.size());
  EXPECT_EQ(split->files.front(), file(("parts-00001-of-0000" + count + ".gguf").c_str()));
  for (const std::string& part : split->files) EXPECT_LE(fs::file_size(part), kMost) << part;
  const auto a = GgufFile::open(file("whole.gguf"));
  const auto b = GgufFile::open(split->files.front());
  ASSERT_TRUE(a && b) << b.error().to_string();
  EXPECT_EQ(b->get_integer("split.tensors.count"), static_cast<std::int64_t>(a->tensors().size()));
  ASSERT_EQ(a->tensors().size(), b->tensors().size());
  for (const TensorView& tensor : a->tensors()) {
    const TensorView* part = b->find(tensor.name);
    ASSERT_NE(part, nullptr) << tensor.name;
    EXPECT_TRUE(std::ranges::equal(part->bytes, tensor.bytes)) << tensor.name;
  }
  // Parts become one file again.
  const auto joined =
      quantize_model(split->files.back(), file("joined.gguf"), *find_recipe("Q8_0"), {});
  ASSERT_TRUE(joined) << joined.error().to_string();
  const auto c = GgufFile::open(file("joined.gguf"));
  EXPECT_EQ(c->get("split.count"), nullptr);
  EXPECT_TRUE(std::ranges::equal(c->tensors().back().bytes, a->tensors().back().bytes));
}

TEST_F(Quantize, refuses_parts_smaller_than_a_tensor_and_writes_over_no_part_it_reads) {
  QuantizeOptions options;
  options.split_bytes = 10'000;
  const auto done = quantize_model(in_, file("parts.gguf"), *find_recipe("Q8_0"), options);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::invalid_argument);
  EXPECT_NE(done.error().message.find("10000"), std::string::npos) << done.error().message;
  EXPECT_EQ(files(), 0U);
  options.split_bytes = 100'000;
  const auto first = quantize_model(in_, file("x.gguf"), *find_recipe("Q8_0"), options);
  ASSERT_TRUE(first) << first.error().to_string();
  const auto again =
      quantize_model(first->files.front(), file("x.gguf"), *find_recipe("Q4_0"), options);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::invalid_argument);
}

TEST_F(Quantize, leaves_nothing_behind_when_it_is_stopped_or_the_disk_is_full) {
  std::stop_source stop;
  QuantizeOptions options;
  options.stop = stop.get_token();
  options.on_progress = [&](double fraction) {
    if (fraction > 0.3) stop.request_stop();
  };
  for (const std::uint64_t split : {0, 100'000}) {
    options.split_bytes = split;
    const auto done = quantize_model(in_, file("out.gguf"), *find_recipe("Q4_K_M"), options);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ErrorCode::cancelled);
    EXPECT_EQ(files(), 0U);
  }
  const auto full = quantize_model(in_, "/dev/full", *find_recipe("Q8_0"), {});
  ASSERT_FALSE(full);
  EXPECT_NE(full.error().to_string().find("/dev/full"), std::string::npos);
}

TEST_F(Quantize, replaces_an_older_result_only_when_the_new_one_is_whole) {
  ASSERT_TRUE(quantize_model(in_, file("out.gguf"), *find_recipe("Q8_0"), {}));
  const auto size = fs::file_size(file("out.gguf"));
  std::stop_source stop;
  stop.request_stop();
  QuantizeOptions options;
  options.stop = stop.get_token();
  EXPECT_FALSE(quantize_model(in_, file("out.gguf"), *find_recipe("Q4_0"), options));
  EXPECT_EQ(fs::file_size(file("out.gguf")), size);
  ASSERT_TRUE(quantize_model(in_, file("out.gguf"), *find_recipe("Q4_0"), {}));
  EXPECT_LT(fs::file_size(file("out.gguf")), size);
  EXPECT_EQ(files(), 1U);
}

std::string text_of_words(std::size_t words) {
  const char* const some[] = {"the ",  "cat ",       "sat ",       "on ",         "a ",
                              "mat; ", "and then, ", "42 times, ", "it rained.\n"};
  std::string out;
  for (std::size_t i = 0; i < words; ++i) out += some[(i * i + i / 7) % std::size(some)];
  return out;
}

TEST_F(Quantize, errs_less_where_the_text_shows_that_it_matters) {
  const auto known = measure_importance(in_, text_of_words(1500), {});
  ASSERT_TRUE(known) << known.error().to_string();
  QuantizeOptions options;
  ASSERT_TRUE(quantize_model(in_, file("plain.gguf"), *find_recipe("Q4_K_S"), options));
  options.importance = &*known;
  const auto done = quantize_model(in_, file("weighed.gguf"), *find_recipe("Q4_K_S"), options);
  ASSERT_TRUE(done) << done.error().to_string();
  EXPECT_EQ(done->unknown, (std::vector<std::string>{"output.weight", "token_embd.weight"}));
  const auto before = GgufFile::open(in_);
  const auto plain = GgufFile::open(file("plain.gguf"));
  const auto weighed = GgufFile::open(file("weighed.gguf"));
  for (const auto& [name, columns] : known->of) {
    const TensorView* a = plain->find(name);
    const TensorView* b = weighed->find(name);
    ASSERT_NE(a, nullptr) << name;
    EXPECT_EQ(columns.size(), a->shape.back()) << name;
    const auto x = values_of(*before->find(name));
    EXPECT_LT(error_of(x, values_of(*b), columns), 0.95 * error_of(x, values_of(*a), columns))
        << name;
  }
}

/// Mean squares that were computed by hand from the reference's keys would need its inputs; the
/// norms give them away: a row's mean square is 1 after an RMS norm without weights.
TEST_F(Quantize, measures_mean_squares) {
  const auto known = measure_importance(in_, text_of_words(1500), {});
  ASSERT_TRUE(known);
  const auto before = GgufFile::open(in_);
  const auto& columns = known->of.at("blk.1.attn_q.weight");
  const auto norm = values_of(*before->find("blk.1.attn_norm.weight"));
  double sum = 0;
  for (std::size_t i = 0; i < norm.size(); ++i)
    sum += static_cast<double>(columns[i]) / (norm[i] * norm[i]);
  EXPECT_NEAR(sum / static_cast<double>(norm.size()), 1, 0.01);
  EXPECT_EQ(columns, known->of.at("blk.1.attn_v.weight"));
  EXPECT_FALSE(measure_importance(in_, "too short", {}));
}

TEST_F(Quantize, reads_what_llama_imatrix_writes) {
  // Sums of squares and counts, a pair of tensors a matrix; one matrix of two experts.
  const std::vector<float> sums[] = {{8, 0, 4, 12}, {3, 6, 5, 5}};
  const std::vector<float> counts[] = {{4}, {3, 0}};
  model::GgufWriter writer;
  writer.set_string("general.type", "imatrix");
  writer.add_tensor("blk.0.attn_q.weight.in_sum2", model::DType::f32, {1, 4});
  writer.add_tensor("blk.0.attn_q.weight.counts", model::DType::f32, {1, 1});
  writer.add_tensor("blk.0.ffn_up_exps.weight.in_sum2", model::DType::f32, {2, 2});
  writer.add_tensor("blk.0.ffn_up_exps.weight.counts", model::DType::f32, {2, 1});
  ASSERT_TRUE(
      writer.write(file("imatrix.gguf"), [&](std::size_t i) -> Result<std::vector<std::byte>> {
        const auto& values = i % 2 == 0 ? sums[i / 2] : counts[i / 2];
        std::vector<std::byte> out(values.size() * sizeof(float));
        std::memcpy(out.data(), values.data(), out.size());
        return out;
      }));
  const auto known = read_importance(file("imatrix.gguf"));
  ASSERT_TRUE(known) << known.error().to_string();
  EXPECT_EQ(known->of.at("blk.0.attn_q.weight"), (std::vector<float>{2, 0, 1, 3}));
  EXPECT_EQ(known->of.at("blk.0.ffn_up_exps.weight"), (std::vector<float>{1, 2, 1, 1}));
  EXPECT_FALSE(read_importance(in_));
  // Made with another model: the columns are not this one's.
  QuantizeOptions options;
  options.importance = &*known;
  const auto done = quantize_model(in_, file("out.gguf"), *find_recipe("Q4_0"), options);
  ASSERT_FALSE(done);
  EXPECT_NE(done.error().message.find("blk.0.attn_q.weight"), std::string::npos);
}

}  // namespace
}  // namespace inference::engine
