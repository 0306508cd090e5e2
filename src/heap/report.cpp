// One line on stderr about a bad free or a damaged list, then what LANES_ON_ERROR asks for.

#include "heap/report.hpp"

#include "heap/heap.hpp"
#include "os/line.hpp"
#include "os/os.hpp"
#include "stats/stats_page.hpp"

namespace lanes::heap {

constinit error_action on_error = error_action::abort;

namespace {

const char* name_of(error e) {
    switch (e) {
        case error::double_free:
            return "double free";
        case error::invalid_free:
            return "invalid free";
        case error::foreign_free:
            return "invalid free";
        case error::damaged_link:
            return "damaged free list, write after free at or before the slot";
        case error::size_mismatch:
            return "size mismatch in delete";
    }
    return "error";
}

void describe(os::line& line, error e, const void* object, const slice_record* r, std::size_t claimed_bytes) {
    if (e == error::foreign_free || r == nullptr) {
        line.text("not from this heap");
        return;
    }
    auto offset = static_cast<std::uint64_t>(static_cast<const std::byte*>(object) - ground::address_of(r));
    switch (r->kind.load(std::memory_order_relaxed)) {
        case slice_kind::slot_lane: {
            std::uint64_t bytes = base::class_bytes[r->size_class];
            line.text("lane ").pointer(ground::address_of(r)).text(", size class ").number(bytes);
            line.text(", slot ").number(offset / bytes);
            if (offset % bytes != 0) line.text(" + ").number(offset % bytes);
            if (offset / bytes >= slot_lane_of(r).carved) line.text(" (never handed out)");
            break;
        }
        case slice_kind::bump_lane:
        case slice_kind::bump_tail:
            line.text("bump lane, no live object starts here");
            break;
        case slice_kind::block_lane:
        case slice_kind::block_tail:
            line.text("block lane ").pointer(ground::address_of(r->first)).text(", no live block starts here");
            break;
        case slice_kind::blob:
            line.text("inside the blob at ").pointer(ground::address_of(r));
            break;
        case slice_kind::none:
            line.text("no live block here: freed before, or never allocated");
            break;
    }
    if (claimed_bytes > 0) line.text(", deleted as ").number(claimed_bytes).text(" bytes");
}

}  // namespace

void report(error e, const void* object, const slice_record* r, std::size_t claimed_bytes) {
    stats::count(stats::page->errors);
    if (on_error == error_action::ignore) return;
    os::line line;
    line.text("lanes: ").text(name_of(e)).text(" of ").pointer(object).text(": ");
    describe(line, e, object, r, claimed_bytes);
    line.text(", thread ").number(os::thread_id());
    if (on_error == error_action::abort) {
        line.text(
            "; LANES_ON_ERROR=warn goes on, `gdb -ex run -ex backtrace --args lanes run --exec -- COMMAND` shows "
            "where");
    }
    line.text("\n");
    line.write();
    if (on_error == error_action::abort) os::die();
}

}  // namespace lanes::heap
