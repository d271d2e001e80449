// The engine against the reference: transformers' logits, greedy ids and keys of 14 small models,
// from safetensors and from GGUF.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>

#include "engine/runtime/engine.h"
#include "model/formats/json.h"
#include "model/formats/safetensors.h"

namespace inference::engine {
namespace {

using model::Json;

const std::string kData = INFERENCE_TEST_DATA;

std::vector<TokenId> ids_of(const Json& json) {
  std::vector<TokenId> out;
  for (const Json& id : *json.as_array()) out.push_back(static_cast<TokenId>(*id.as_integer()));
  return out;
}

std::vector<float> tensor(const model::SafetensorsFile& file, const std::string& name) {
  const model::TensorView* view = file.find(name);
  EXPECT_NE(view, nullptr) << name;
  std::vector<float> out(view->element_count());
  std::memcpy(out.data(), view->bytes.data(), view->bytes.size());
  return out;
}

std::unique_ptr<Engine> load(const std::string& path, int threads = 2, KvType kv = KvType::f32) {
  EngineOptions options;
  options.threads = threads;
  options.kv_type = kv;
  auto engine = Engine::load(path, options);
  EXPECT_TRUE(engine) << engine.error().to_string();
  return engine ? std::move(*engine) : nullptr;
}

/// Logits of every position.
std::vector<float> all_logits(Engine& engine, std::span<const TokenId> ids,
                              AttentionObserver* observer = nullptr) {
  auto sequence = engine.new_sequence();
  EXPECT_TRUE(sequence);
  std::vector<float> out;
  SequenceInput input[] = {
      {sequence->get(), ids, LogitsWanted::all, [&](std::size_t, std::span<const float> row) {
         out.insert(out.end(), row.begin(), row.end());
       }}};
  const auto ok = engine.forward(input, {}, observer);
  EXPECT_TRUE(ok) << ok.error().to_string();
  return out;
}

struct ModelCase {
  std::string folder;
  bool gguf;
};

void PrintTo(const ModelCase& c, std::ostream* out) {
  *out << c.folder << (c.gguf ? ".gguf" : "");
}

class FixtureModel : public testing::TestWithParam<ModelCase> {
 protected:
  std::string folder() const { return kData + "/models/" + GetParam().folder; }
  std::string path() const {
    return GetParam().gguf ? kData + "/gguf/" + GetParam().folder + ".gguf" : folder();
  }
  Json expected() const { return *model::parse_json_file(folder() + "/expected.json"); }
  /// The converter rounded this one file's float32 weights to half (relative error up to 2^-11);
  /// the others hold the checkpoint's weights exactly.
  bool rounded_weights() const { return GetParam().gguf && GetParam().folder == "llama"; }
};

struct KeyRecorder final : AttentionObserver {
  std::map<int, std::vector<float>> keys;
  void on_attention(int layer, int, int, std::span<const float> k,
                    std::span<const float>) override {
    keys[layer].insert(keys[layer].end(), k.begin(), k.end());
  }
};

TEST_P(FixtureModel, gives_the_logits_of_the_reference) {
  auto engine = load(path());
  ASSERT_TRUE(engine);
  const Json expectation = expected();
  const auto truth = model::SafetensorsFile::open(folder() + "/expected.safetensors");
  ASSERT_TRUE(truth);
  for (std::size_t p = 0; p < 3; ++p) {
    const auto ids = ids_of(*(*expectation.find("prompts")->as_array())[p].find("ids"));
    const auto mine = all_logits(*engine, ids);
    const auto reference = tensor(*truth, "logits_" + std::to_string(p));
    ASSERT_EQ(mine.size(), reference.size());
    float largest = 0;
    float worst = 0;
    for (std::size_t i = 0; i < mine.size(); ++i) {
      largest = std::max(largest, std::fabs(reference[i]));
      worst = std::max(worst, std::fabs(mine[i] - reference[i]));
    }
    EXPECT_LE(worst, (rounded_weights() ? 4e-3F : 2e-4F) * largest) << "prompt " << p;
  }
}

TEST_P(FixtureModel, continues_greedily_as_the_reference) {
  auto engine = load(path());
  ASSERT_TRUE(engine);
  const Json expectation = expected();
  for (const Json& prompt : *expectation.find("prompts")->as_array()) {
    const auto greedy = ids_of(*prompt.find("greedy"));
    const auto margins = *prompt.find("margins")->as_array();
    auto sequence = engine->new_sequence();
    std::vector<TokenId> next = ids_of(*prompt.find("ids"));
    for (std::size_t i = 0; i < greedy.size() && *margins[i].as_double() >= 1e-3; ++i) {
      TokenId best = -1;
      SequenceInput input[] = {
          {sequence->get(), next, LogitsWanted::last, [&](std::size_t, std::span<const float> row) {
             best = static_cast<TokenId>(std::ranges::max_element(row) - row.begin());
           }}};
      ASSERT_TRUE(engine->forward(input));
      ASSERT_EQ(best, greedy[i]) << "step " << i << " margin " << *margins[i].as_double();
      next = {best};
    }
  }
}

TEST_P(FixtureModel, attends_with_the_keys_of_the_reference) {
  auto engine = load(path());
  ASSERT_TRUE(engine);
  const Json expectation = expected();
  const auto truth = model::SafetensorsFile::open(folder() + "/expected.safetensors");
  const auto ids = ids_of(*expectation.find("prompts")->as_array()->front().find("ids"));
  KeyRecorder recorder;
  all_logits(*engine, ids, &recorder);
  const auto dim = static_cast<std::size_t>(engine->head_dim());
  const auto heads = static_cast<std::size_t>(engine->num_kv_heads());
  for (int layer = 0; layer < engine->info().num_layers; ++layer) {
    const auto reference = tensor(*truth, "keys_" + std::to_string(layer));  // [heads, seq, dim]
    const auto& mine = recorder.keys[layer];                                 // [seq, heads, dim]
    ASSERT_EQ(mine.size(), reference.size());
    float largest = 0;
    float worst = 0;
    for (std::size_t t = 0; t < ids.size(); ++t)
      for (std::size_t h = 0; h < heads; ++h)
        for (std::size_t d = 0; d < dim; ++d) {
          const float r = reference[(h * ids.size() + t) * dim + d];
          largest = std::max(largest, std::fabs(r));
          worst = std::max(worst, std::fabs(r - mine[(t * heads + h) * dim + d]));
        }
    EXPECT_LE(worst, (rounded_weights() ? 2e-3F : 1e-4F) * largest) << "layer " << layer;
  }
}

TEST_P(FixtureModel, gives_the_same_bits_alone_in_a_batch_and_in_pieces) {
  auto engine = load(path(), 1, KvType::f16);
  auto threaded = load(path(), 3, KvType::f16);
  ASSERT_TRUE(engine && threaded);
  const Json expectation = expected();
  std::vector<std::vector<TokenId>> prompts;
  for (const Json& prompt : *expectation.find("prompts")->as_array())
    prompts.push_back(ids_of(*prompt.find("ids")));
  // One prompt of more than one slice, with repeated text.
  prompts.emplace_back();
  while (prompts.back().size() < 300)
    prompts.back().insert(prompts.back().end(), prompts[4].begin(), prompts[4].end());
  prompts.back().resize(300);

  std::vector<std::vector<float>> alone;
  for (const auto& ids : prompts) alone.push_back(all_logits(*engine, ids));

  std::vector<std::unique_ptr<Sequence>> sequences;
  std::vector<std::vector<float>> batch(prompts.size());
  std::vector<SequenceInput> inputs;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    sequences.push_back(std::move(*threaded->new_sequence()));
    inputs.push_back({sequences.back().get(), prompts[i], LogitsWanted::all,
                      [&batch, i](std::size_t, std::span<const float> row) {
                        batch[i].insert(batch[i].end(), row.begin(), row.end());
                      }});
  }
  ASSERT_TRUE(threaded->forward(inputs));
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    ASSERT_EQ(batch[i].size(), alone[i].size());
    EXPECT_EQ(std::memcmp(batch[i].data(), alone[i].data(), alone[i].size() * sizeof(float)), 0)
        << "batch, prompt " << i;
    auto sequence = threaded->new_sequence();
    std::vector<float> pieces;
    for (std::size_t at = 0; at < prompts[i].size(); at += 7) {
      const auto piece =
          std::span(prompts[i]).subspan(at, std::min<std::size_t>(7, prompts[i].size() - at));
      SequenceInput input[] = {
          {sequence->get(), piece, LogitsWanted::all, [&](std::size_t, std::span<const float> row) {
             pieces.insert(pieces.end(), row.begin(), row.end());
           }}};
      ASSERT_TRUE(threaded->forward(input));
    }
    EXPECT_EQ(std::memcmp(pieces.data(), alone[i].data(), alone[i].size() * sizeof(float)), 0)
        << "pieces, prompt " << i;
  }
}

std::vector<ModelCase> cases() {
  std::vector<ModelCase> out;
  for (const char* name :
       {"gemma2", "gemma3", "gpt_oss", "granite", "llama", "llama3_rope", "mistral", "mixtral",
        "olmo2", "phi3", "qwen2", "qwen3", "qwen3_moe", "smollm3"})
    out.push_back({name, false});
  for (const char* name : {"gemma3", "gpt_oss", "granite", "llama", "llama3_rope", "mixtral",
                           "olmo2", "qwen3", "qwen3_moe", "smollm3"})
    out.push_back({name, true});
  return out;
}

INSTANTIATE_TEST_SUITE_P(Model, FixtureModel, testing::ValuesIn(cases()), [](const auto& test) {
  return test.param.folder + (test.param.gguf ? "_gguf" : "_safetensors");
});

TEST(Engine, refuses_ids_and_lengths_out_of_range) {
  auto engine = load(kData + "/models/llama");
  auto sequence = engine->new_sequence();
  for (const TokenId bad : {-1, 512, 1 << 30}) {
    const TokenId ids[] = {bad};
    SequenceInput input[] = {{sequence->get(), ids, LogitsWanted::none, {}}};
    const auto status = engine->forward(input);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::invalid_argument);
    EXPECT_NE(status.error().message.find(std::to_string(bad)), std::string::npos);
  }
  const std::vector<TokenId> many(513, 1);
  SequenceInput input[] = {{sequence->get(), many, LogitsWanted::none, {}}};
  const auto status = engine->forward(input);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::context_overflow);
  EXPECT_NE(status.error().message.find("513"), std::string::npos);
  EXPECT_NE(status.error().message.find("512"), std::string::npos);
}

TEST(Engine, refuses_a_model_beyond_the_memory_limit_with_the_numbers) {
  EngineOptions options;
  options.memory_limit = 1 << 20;
  const auto engine = Engine::load(kData + "/models/llama", options);
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code, ErrorCode::out_of_memory);
  EXPECT_NE(engine.error().message.find("the limit is 1 MiB"), std::string::npos)
      << engine.error().message;
}

TEST(Engine, gives_back_the_pages_of_a_sequence) {
  auto engine = load(kData + "/models/llama");
  {
    auto sequence = engine->new_sequence();
    const std::vector<TokenId> ids(200, 5);
    SequenceInput input[] = {{sequence->get(), ids, LogitsWanted::none, {}}};
    ASSERT_TRUE(engine->forward(input));
    EXPECT_GT(engine->kv_bytes_in_use(), 0U);
    const auto full = engine->kv_bytes_in_use();
    (*sequence)->truncate(10);
    EXPECT_LT(engine->kv_bytes_in_use(), full);
    EXPECT_EQ((*sequence)->length(), 10);
  }
  EXPECT_EQ(engine->kv_bytes_in_use(), 0U);
}

TEST(Engine, stops_between_slices_when_asked) {
  auto engine = load(kData + "/models/llama");
  auto sequence = engine->new_sequence();
  const std::vector<TokenId> ids(200, 5);
  std::stop_source stop;
  stop.request_stop();
  SequenceInput input[] = {{sequence->get(), ids, LogitsWanted::none, {}}};
  EXPECT_EQ(engine->forward(input, stop.get_token()).error().code, ErrorCode::cancelled);
}

}  // namespace
}  // namespace inference::engine
