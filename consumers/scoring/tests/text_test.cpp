#include "consumers/scoring/text.h"

#include <gtest/gtest.h>

#include "consumers/scoring/phrases.h"

namespace inference::scoring {
namespace {

using Words = std::vector<std::string>;

TEST(Text, folds_case_composes_and_drops_invisible_characters) {
  EXPECT_EQ(to_utf8(fold("STRASSE Straße ﬁ")), "strasse strasse fi");
  EXPECT_EQ(to_utf8(fold("e\u0301 \u212b")), "é å");
  EXPECT_EQ(to_utf8(fold("I’m lan\u00adguage\u200b")), "i'm language");
  EXPECT_EQ(to_utf8(fold("\xff\xc3(")), "\ufffd\ufffd(");
}

TEST(Text, cuts_words_at_everything_but_inner_apostrophes) {
  EXPECT_EQ(words_of("Don't 'quote' well-known 3.14 ’tis"),
            (Words{"don't", "quote", "well", "known", "3", "14", "tis"}));
  EXPECT_EQ(words_of("我爱你abc"), (Words{"我", "爱", "你", "abc"}));
  EXPECT_EQ(words_of(std::string(130, 'x')).size(), 3U);
  EXPECT_TRUE(words_of(" .,!").empty());
}

TEST(Text, ends_sentences_at_stops_before_white_space_and_at_line_ends) {
  EXPECT_EQ(scan("One. Two! \"Three?\" Four 3.5 five\nsix").sentences, 5U);
  EXPECT_EQ(scan("一。二！三").sentences, 3U);
  EXPECT_EQ(scan("Is it?! Yes?no. \"Why?\"").questions, 2U);
}

TEST(PhraseTree, counts_the_longest_phrase_once_and_keeps_to_sentences) {
  PhraseTree tree;
  ASSERT_TRUE(tree.add("a b", 0));
  ASSERT_TRUE(tree.add("a b c", 0));
  ASSERT_TRUE(tree.add("b", 1));
  EXPECT_EQ(tree.count(scan("a b c a b")), (std::vector<std::uint32_t>{2, 2}));
  EXPECT_EQ(tree.count(scan("a. B a, b")), (std::vector<std::uint32_t>{1, 2}));
  EXPECT_EQ(tree.begins(scan("A. B")), (std::vector<bool>{true, false}));
}

TEST(Text, takes_hostile_text_of_a_mebibyte) {
  std::string marks = "x";
  for (int i = 0; i < 250000; ++i) marks += i % 2 == 0 ? "\u0301" : "\u0316";
  EXPECT_GT(scan(marks).words.size(), 0U);  // sorting all these marks would take minutes
  EXPECT_EQ(scan(std::string(1 << 20, '\xf0')).broken_points, std::size_t{1} << 20);
  EXPECT_EQ(scan(std::string(1 << 20, '\n')).words.size(), 0U);
}

}  // namespace
}  // namespace inference::scoring
