// Where a server is and how to speak to it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "inference/error.h"

namespace inference::backends {

/// One server. The key is a secret: nothing here or above puts it into a message, a log or argv.
struct ServerEndpoint {
  std::string base_url =
      {};  ///< "http://host:port", "https://host/prefix"; with a socket: may be ""
  std::string unix_socket = {};  ///< path of a listening UNIX socket; "": TCP
  std::string api_key = {};      ///< sent as a bearer token to this server only; "": none
  std::string model = {};        ///< which model of the server; "": its only one
  std::string ca_file = {};      ///< PEM bundle that signs the server; "": the system's

  friend bool operator==(const ServerEndpoint&, const ServerEndpoint&) = default;
};

/// The parts of a URL that a server may be given by.
struct Url {
  bool tls = false;
  std::string host;  ///< lower case, without the brackets of an IPv6 address
  int port = 0;      ///< 80 and 443 where the URL has none
  std::string path;  ///< "" or "/prefix", without a slash at its end

  /// As a client writes it; never with user information, query or fragment.
  std::string to_string() const;
  /// "localhost", 127.0.0.0/8 or ::1.
  bool loopback() const;
};

/// Strict: http or https, a host of letters, digits, '-', '.', or a bracketed IPv6 address, a port
/// in 1..65535, a path of unreserved characters without ".." segments. User information, query,
/// fragment, white space, backslashes and percent escapes are refused: invalid_argument with the
/// reason (the URL itself is not repeated, since it may hold a password).
Result<Url> parse_url(std::string_view text);

/// The endpoints of a list separated by commas; each http(s)://… or unix:/path, with "#model"
/// behind it where the server has several models.
Result<std::vector<ServerEndpoint>> parse_endpoints(std::string_view list);

/// "http://host:port/prefix" or "unix:/path": for messages.
std::string display_name(const ServerEndpoint& endpoint);

}  // namespace inference::backends
