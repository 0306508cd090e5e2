// The text of trace(), for every kind of lane.
#pragma once

#include <sstream>
#include <string>

#include "lanes/storage.hpp"

namespace lanes::detail {

// One line; `kind` goes before "lane".
template <class Lane>
std::string trace_of(const Lane& lane, const char* kind) {
    std::ostringstream out;
    out << kind << name_of(lane.type()) << " lane of " << lane.capacity() << " bytes: ";
    if (lane.disposed()) {
        out << "disposed";
    } else {
        out << "offset " << lane.offset() << ", live " << lane.live() << ", cycle " << lane.cycle()
            << (lane.closed() ? ", closed" : "");
    }
    return out.str();
}

}  // namespace lanes::detail
