#include "consumers/classify/domains.h"

#include <gtest/gtest.h>

#include "consumers/classify/prompt_template.h"

namespace inference::classify {
namespace {

TEST(Domains, a_bare_token_names_its_domain_as_a_word_or_a_known_fragment) {
  for (const char* token : {"technical", " technical", "  Technical", "TECH", " tech", "tech"})
    EXPECT_EQ(domain_of_token(token), "technical") << token;
  for (const char* token : {"creative", " Cre", "cre"})
    EXPECT_EQ(domain_of_token(token), "creative") << token;
  for (const char* token : {"ethical", "eth", " ETH"})
    EXPECT_EQ(domain_of_token(token), "ethical") << token;
  for (const char* token : {"casual", "cas", " Cas"})
    EXPECT_EQ(domain_of_token(token), "casual") << token;
}

TEST(Domains, what_only_begins_like_one_is_unknown) {
  for (const char* token : {"", " ", "castle", " case", "creature", "techno", "ethics", "casually",
                            "technical.", "technical ", "\ntech", "te", "c", "tech nical", "téch"})
    EXPECT_EQ(domain_of_token(token), "unknown") << token;
}

TEST(Domains, labels_of_the_callers_are_whole_words) {
  const std::vector<std::string> labels = {"Yes", "no"};
  EXPECT_EQ(label_of_token(" yes", labels), "Yes");
  EXPECT_EQ(label_of_token("NO", labels), "no");
  EXPECT_EQ(label_of_token("tech", labels), "unknown");
  EXPECT_EQ(label_of_token(" tech", four_domains()), "technical");
}

TEST(PromptTemplate, puts_the_text_where_the_place_is) {
  EXPECT_EQ(PromptTemplate::parse("a {text} b")->fill("x%s{text}"), "a x%s{text} b");
  EXPECT_EQ(PromptTemplate::parse("%s")->fill("x"), "x");
  EXPECT_EQ(PromptTemplate::parse("%s, %s?")->fill("x"), "x, x?");
  EXPECT_FALSE(PromptTemplate::parse("no place"));
  EXPECT_FALSE(PromptTemplate::parse("%s {text}"));
  const std::string asked = PromptTemplate::for_labels(four_domains()).fill("THE TEXT");
  EXPECT_NE(asked.find("exactly one"), std::string::npos);
  EXPECT_NE(asked.find("technical, creative, ethical, casual"), std::string::npos);
  EXPECT_NE(asked.find("THE TEXT"), std::string::npos);
}

}  // namespace
}  // namespace inference::classify
