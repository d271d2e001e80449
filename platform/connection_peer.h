// Who is at the other end of a connection that does not leave this machine.
#pragma once

#include <optional>

namespace inference::platform {

/// The id of the user whose process holds the other end of a connected socket: of a TCP connection
/// within this machine, or a UNIX socket's (there of whoever listened). Empty where the other end
/// is elsewhere, has not accepted the connection yet, or the system does not tell.
std::optional<unsigned> peer_user(int socket);

}  // namespace inference::platform
