#include "platform/connection_peer.h"

namespace inference::platform {

std::optional<unsigned> peer_user(int) {
  return std::nullopt;
}

}  // namespace inference::platform
