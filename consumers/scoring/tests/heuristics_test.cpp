// Every measure against an independent implementation (data/make_heuristic_goldens.py).
#include "consumers/scoring/heuristics.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "consumers/scoring/data_files.h"
#include "consumers/scoring/json_tools.h"

namespace inference::scoring {
namespace {

const Patterns& patterns() {
  static const auto loaded = load_patterns();
  if (!loaded) throw std::runtime_error(loaded.error().to_string());
  return *loaded;
}

JsonValue data(const std::string& name) {
  const auto text = read_data_file(std::string(SCORING_DATA) + "/" + name);
  EXPECT_TRUE(text);
  return JsonValue::parse(text.value_or("null"));
}

std::string text_of(const JsonValue& entry) {
  std::string out = entry.value("before", "");
  for (int i = entry.value("times", 1); i > 0; --i)
    out += entry["text"].get_ref<const std::string&>();
  return out + entry.value("after", "");
}

TEST(Heuristics, equal_the_reference_on_every_text) {
  const JsonValue goldens = data("heuristic_goldens.json");
  const JsonValue texts = data("heuristic_texts.json");
  ASSERT_GE(texts.size(), 60U);
  ASSERT_EQ(texts.size(), goldens.size());
  for (const JsonValue& entry : texts) {
    const std::string id = entry["id"];
    const JsonValue& golden = goldens[id];
    const Heuristics got = measure(text_of(entry), patterns());
    EXPECT_EQ(got.compliance_markers, golden["compliance_markers"]) << id;
    EXPECT_EQ(got.formulaic_preamble, golden["formulaic_preamble"]) << id;
    EXPECT_EQ(got.first_person, golden["first_person"]) << id;
    EXPECT_EQ(got.creative_form, golden["creative_form"]) << id;
    EXPECT_EQ(got.engagement_depth, golden["engagement_depth"]) << id;
    EXPECT_EQ(got.emotional_register, golden["emotional_register"]) << id;
    EXPECT_DOUBLE_EQ(got.degeneration, golden["degeneration"]) << id;
    EXPECT_EQ(got.empty_broken, golden["empty_broken"]) << id;
    EXPECT_NEAR(got.lek_score, golden["lek_score"].get<double>(), 1e-9) << id;
  }
}

TEST(Heuristics, composite_has_the_published_weights) {
  Heuristics m;
  m.engagement_depth = 1;
  EXPECT_DOUBLE_EQ(composite(m), 2);
  m.creative_form = 1;
  EXPECT_DOUBLE_EQ(composite(m), 5);
  m.emotional_register = 1;
  EXPECT_DOUBLE_EQ(composite(m), 7);
  m.first_person = 1;
  EXPECT_DOUBLE_EQ(composite(m), 8.5);
  m.compliance_markers = 1;
  EXPECT_DOUBLE_EQ(composite(m), 3.5);
  m.formulaic_preamble = 1;
  EXPECT_DOUBLE_EQ(composite(m), 0.5);
  m.degeneration = 1;
  EXPECT_DOUBLE_EQ(composite(m), -3.5);
  m.empty_broken = 1;
  EXPECT_DOUBLE_EQ(composite(m), -23.5);
}

TEST(Patterns, has_fourteen_compliance_markers_each_found_by_its_own_phrases) {
  const auto& names = patterns().names(PatternGroup::compliance_markers);
  ASSERT_EQ(names.size(), 14U);
  const JsonValue file = JsonValue::parse(built_in_file("patterns.json"));
  for (std::size_t g = 0; g < kPatternGroups; ++g) {
    const auto group = static_cast<PatternGroup>(g);
    for (const JsonValue& pattern : file[std::string(to_string(group))])
      for (const std::string phrase : pattern["phrases"]) {
        const auto spellings = expand_phrase(phrase);
        ASSERT_TRUE(spellings);
        for (const std::string& spelling : *spellings)
          EXPECT_TRUE(patterns().begins(group, scan(spelling))) << spelling;
      }
  }
}

TEST(Patterns, refuses_a_broken_file_by_naming_the_place) {
  EXPECT_EQ(Patterns::parse("[", "f").error().where, "f");
  EXPECT_NE(Patterns::parse("{}", "f").error().message.find("compliance_markers"),
            std::string::npos);
  JsonValue file = JsonValue::parse(built_in_file("patterns.json"));
  file["surprise"] = 1;
  EXPECT_NE(Patterns::parse(file.dump(), "f").error().message.find("surprise"), std::string::npos);
  file.erase("surprise");
  file["imagery"][0]["phrases"] = {"a (b"};
  EXPECT_NE(Patterns::parse(file.dump(), "f").error().where.find("imagery.simile"),
            std::string::npos);
  file["imagery"][0]["phrases"] = {"..."};
  EXPECT_FALSE(Patterns::parse(file.dump(), "f"));
}

TEST(ExpandPhrase, spells_out_alternatives) {
  EXPECT_EQ(*expand_phrase("a (b|c)( d|) e"),
            (std::vector<std::string>{"a b d e", "a b e", "a c d e", "a c e"}));
  for (const char* bad : {"a (b", "a b)", "a | b", "((a)|b)"}) EXPECT_FALSE(expand_phrase(bad));
  std::string huge;
  for (int i = 0; i < 20; ++i) huge += "(a|b)";
  EXPECT_FALSE(expand_phrase(huge));
}

}  // namespace
}  // namespace inference::scoring
