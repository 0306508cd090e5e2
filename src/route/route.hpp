// route: where a request goes. By size alone so far; lifetimes (hint, scope, site) join here, at the slow path that an
// empty bin leads to, so that a request without a hint never pays for them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/size_class.hpp"

namespace lanes::route {

enum class destination : std::uint8_t { slot_lane, block_lane, blob };

constexpr destination by_size(std::size_t bytes) {
    if (bytes <= base::max_slot_bytes) return destination::slot_lane;
    return bytes <= base::max_block_bytes ? destination::block_lane : destination::blob;
}

}  // namespace lanes::route
