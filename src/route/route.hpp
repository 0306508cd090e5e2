// route: where a request goes. By size alone so far; lifetimes (hint, scope, site) join here, at the slow path that an
// empty bin leads to, so that a request without a hint never pays for them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/size_class.hpp"

namespace lanes::route {

enum class destination : std::uint8_t { slot_lane, block_lane, blob };

// Blocks of more than a quarter of a block lane would leave it with unusable ends.
inline constexpr std::size_t block_max = 256 * 1024;

constexpr destination by_size(std::size_t bytes) {
    if (bytes <= base::slot_max) return destination::slot_lane;
    return bytes <= block_max ? destination::block_lane : destination::blob;
}

}  // namespace lanes::route
