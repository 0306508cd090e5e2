// Results of several runs in one document.
#pragma once

#include "tools/compare/judge/result.hpp"

namespace lanes::compare {

// Puts the groups of `other` into `into`: each in the place of the one of its name, else behind all. A note says when
// and how they were measured, and replaces an earlier one about the same groups. What says the same for all (reference,
// date, machine) stays that of `into`, which gets the allocators that only the new groups know.
void put_into(result& into, const result& other);

}  // namespace lanes::compare
