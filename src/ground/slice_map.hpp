// A bit per slice.
#pragma once

#include "base/bit_map.hpp"
#include "ground/slice.hpp"

namespace lanes::ground {

inline constexpr std::uint32_t max_slices = 1u << 24;  // 1 TiB of slices; a map takes 2 MiB, touched as used

using slice_map = base::bit_map<max_slices>;

}  // namespace lanes::ground
