#include "backends/llama_cpp/endpoint.h"

#include <algorithm>
#include <charconv>

namespace inference::backends {
namespace {

constexpr std::size_t kMostUrlBytes = 2048;
constexpr std::size_t kMostHostBytes = 253;    // RFC 1035
constexpr std::size_t kMostSocketBytes = 107;  // sockaddr_un::sun_path and its final zero

std::unexpected<Error> refuse(const std::string& reason) {
  return fail(ErrorCode::invalid_argument, "server address: " + reason);
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

Status check_host(const Url& url, bool bracketed) {
  if (url.host.empty()) return refuse("the host is missing");
  if (url.host.size() > kMostHostBytes) return refuse("the host is longer than 253 bytes");
  for (const char c : url.host) {
    const bool fits = bracketed ? is_hex(c) || c == ':' || c == '.'
                                : is_digit(c) || is_letter(c) || c == '-' || c == '.';
    if (!fits) return refuse("the host has a character that no host name has");
  }
  if (bracketed && url.host.find(':') == std::string::npos)
    return refuse("brackets hold no IPv6 address");
  if (!bracketed && (url.host.front() == '.' || url.host.find("..") != std::string::npos))
    return refuse("the host has an empty label");
  return {};
}

Status read_port(std::string_view text, Url& url) {
  int port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (text.empty() || text.size() > 5 || !is_digit(text.front()) || error != std::errc() ||
      end != text.data() + text.size() || port < 1 || port > 65535)
    return refuse("the port is no number from 1 to 65535");
  url.port = port;
  return {};
}

Status read_path(std::string_view text, Url& url) {
  for (const char c : text)
    if (!is_digit(c) && !is_letter(c) && std::string_view("/-._~").find(c) == std::string::npos)
      return refuse(
          "the path may have letters, digits, '-', '.', '_', '~' and '/'; no query, fragment or "
          "escapes");
  while (text.ends_with('/')) text.remove_suffix(1);
  const std::string segments = std::string(text) + "/";
  for (const char* bad : {"//", "/./", "/../"})
    if (segments.find(bad) != std::string::npos)
      return refuse("the path has an empty segment, \".\" or \"..\"");
  url.path = text;
  return {};
}

}  // namespace

std::string Url::to_string() const {
  const bool v6 = host.find(':') != std::string::npos;
  return std::string(tls ? "https://" : "http://") + (v6 ? "[" + host + "]" : host) + ":" +
         std::to_string(port) + path;
}

bool Url::loopback() const {
  if (host == "localhost" || host == "::1") return true;
  // "127." and only digits and dots: 127.evil.example is a name.
  return host.starts_with("127.") &&
         std::ranges::all_of(host, [](char c) { return is_digit(c) || c == '.'; });
}

Result<Url> parse_url(std::string_view text) {
  Url url;
  if (text.size() > kMostUrlBytes) return refuse("longer than 2048 bytes");
  if (text.starts_with("https://")) {
    url.tls = true;
    text.remove_prefix(8);
  } else if (text.starts_with("http://")) {
    text.remove_prefix(7);
  } else {
    return refuse("it must begin with http:// or https://");
  }
  url.port = url.tls ? 443 : 80;
  const std::size_t slash = text.find('/');
  std::string_view authority = text.substr(0, slash);
  const std::string_view path = slash == std::string_view::npos ? "" : text.substr(slash);
  if (authority.find('@') != std::string_view::npos)
    return refuse("a name or password in it is refused; give the key apart");
  const bool bracketed = authority.starts_with('[');
  if (bracketed) {
    const std::size_t close = authority.find(']');
    if (close == std::string_view::npos) return refuse("the bracket of an IPv6 address is open");
    url.host = authority.substr(1, close - 1);
    authority.remove_prefix(close + 1);
    if (!authority.empty() && authority.front() != ':')
      return refuse("only a port may follow the host");
  } else {
    const std::size_t colon = authority.find(':');
    url.host = authority.substr(0, colon);
    authority.remove_prefix(std::min(colon, authority.size()));
  }
  std::ranges::transform(url.host, url.host.begin(), lower);
  if (auto ok = check_host(url, bracketed); !ok) return std::unexpected(ok.error());
  if (!authority.empty())
    if (auto ok = read_port(authority.substr(1), url); !ok) return std::unexpected(ok.error());
  if (auto ok = read_path(path, url); !ok) return std::unexpected(ok.error());
  return url;
}

Result<std::vector<ServerEndpoint>> parse_endpoints(std::string_view list) {
  std::vector<ServerEndpoint> out;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t comma = std::min(list.find(',', begin), list.size());
    std::string_view item = list.substr(begin, comma - begin);
    while (item.starts_with(' ')) item.remove_prefix(1);
    while (item.ends_with(' ')) item.remove_suffix(1);
    begin = comma + 1;
    ServerEndpoint endpoint;
    if (const std::size_t hash = item.find('#'); hash != std::string_view::npos) {
      endpoint.model = item.substr(hash + 1);
      item = item.substr(0, hash);
      if (endpoint.model.empty()) return refuse("the name of the model behind '#' is missing");
      for (const char c : endpoint.model)
        if (static_cast<unsigned char>(c) <= ' ') return refuse("white space in the model's name");
    }
    if (item.starts_with("unix:")) {
      endpoint.unix_socket = item.substr(5);
      if (!endpoint.unix_socket.starts_with('/'))
        return refuse("unix: needs an absolute path, as in unix:/run/server.sock");
      if (endpoint.unix_socket.size() > kMostSocketBytes)
        return refuse("the path of a UNIX socket has at most 107 bytes");
      for (const char c : endpoint.unix_socket)
        if (static_cast<unsigned char>(c) < ' ') return refuse("control characters in the path");
    } else {
      auto url = parse_url(item);
      if (!url) return std::unexpected(std::move(url.error()));
      endpoint.base_url = url->to_string();
    }
    if (std::ranges::find(out, endpoint) != out.end())
      return refuse(display_name(endpoint) + " occurs twice");
    out.push_back(std::move(endpoint));
  }
  return out;
}

std::string display_name(const ServerEndpoint& endpoint) {
  if (!endpoint.unix_socket.empty()) return "unix:" + endpoint.unix_socket;
  const auto url = parse_url(endpoint.base_url);
  return url ? url->to_string() : "server";
}

}  // namespace inference::backends
