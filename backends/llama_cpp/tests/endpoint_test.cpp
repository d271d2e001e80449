// Addresses of servers: what is accepted, and what is refused with its reason.
#include "backends/llama_cpp/endpoint.h"

#include <gtest/gtest.h>

namespace inference::backends {
namespace {

TEST(Url, is_read_into_its_parts) {
  const auto plain = parse_url("http://Example.com:8080/api/v2/");
  ASSERT_TRUE(plain) << plain.error().to_string();
  EXPECT_EQ(plain->host, "example.com");
  EXPECT_EQ(plain->port, 8080);
  EXPECT_EQ(plain->path, "/api/v2");
  EXPECT_FALSE(plain->tls);
  EXPECT_EQ(plain->to_string(), "http://example.com:8080/api/v2");
  const auto v6 = parse_url("https://[::1]");
  ASSERT_TRUE(v6) << v6.error().to_string();
  EXPECT_EQ(v6->to_string(), "https://[::1]:443");
  EXPECT_TRUE(v6->loopback());
}

TEST(Url, of_another_form_is_refused) {
  for (const char* bad : {"",
                          "localhost:80",
                          "ftp://h",
                          "HTTP:/h",
                          "http://",
                          "http://:80",
                          "http://h:",
                          "http://h:0",
                          "http://h:65536",
                          "http://h:+80",
                          "http://h:080808",
                          "http://u:p@h",
                          "http://h@evil",
                          "http://h\\@evil",
                          "http://h?x",
                          "http://h#x",
                          "http://h/a?b",
                          "http://h/a#b",
                          "http://h/%2e",
                          "http://h/../x",
                          "http://h/a//b",
                          "http://h x",
                          "http://h\r\nX: y",
                          "http://[::1",
                          "http://[::1]x",
                          "http://[::g]",
                          "http://[abc]",
                          "http://h:80:90",
                          "http://.h",
                          "http://a..b",
                          "http://h/\xC3\xA4",
                          "http://\xC3\xA4"})
    EXPECT_FALSE(parse_url(bad)) << bad;
  EXPECT_FALSE(parse_url("http://" + std::string(300, 'a')));
  EXPECT_FALSE(parse_url("http://h/" + std::string(3000, 'a')));
}

TEST(Url, with_a_password_is_refused_without_repeating_it) {
  const auto url = parse_url("http://me:hunter2@host");
  ASSERT_FALSE(url);
  EXPECT_EQ(url.error().to_string().find("hunter2"), std::string::npos);
}

TEST(Url, knows_this_machine) {
  EXPECT_TRUE(parse_url("http://127.0.0.1")->loopback());
  EXPECT_TRUE(parse_url("http://127.8.9.1:1")->loopback());
  EXPECT_TRUE(parse_url("http://LOCALHOST")->loopback());
  EXPECT_FALSE(parse_url("http://127.evil.example")->loopback());
  EXPECT_FALSE(parse_url("http://localhost.evil.example")->loopback());
}

TEST(Endpoints, are_a_list_of_urls_and_sockets) {
  const auto list = parse_endpoints("http://a:1, https://b ,unix:/run/x.sock");
  ASSERT_TRUE(list) << list.error().to_string();
  ASSERT_EQ(list->size(), 3U);
  EXPECT_EQ((*list)[0].base_url, "http://a:1");
  EXPECT_EQ((*list)[1].base_url, "https://b:443");
  EXPECT_EQ(display_name((*list)[2]), "unix:/run/x.sock");
  EXPECT_EQ(parse_endpoints("http://a#org/model:7b")->front().model, "org/model:7b");
  EXPECT_FALSE(parse_endpoints("http://a#"));
  EXPECT_FALSE(parse_endpoints("http://a,,http://b"));
  EXPECT_FALSE(parse_endpoints("http://a,"));
  EXPECT_FALSE(parse_endpoints("http://a,http://a:80"));
  EXPECT_FALSE(parse_endpoints("unix:relative"));
  EXPECT_FALSE(parse_endpoints("unix:/" + std::string(120, 'x')));
}

}  // namespace
}  // namespace inference::backends
