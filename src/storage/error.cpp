// The texts of the errors, their category and their exception.
#include "lanes/error.hpp"

namespace lanes {
namespace {

class category final : public std::error_category {
  public:
    const char* name() const noexcept override { return "lanes"; }
    std::string message(int value) const override { return lanes::message(static_cast<errc>(value)); }

    // What the standard's conditions say of the same thing, so that generic code can ask `== std::errc::...`.
    std::error_condition default_error_condition(int value) const noexcept override {
        switch (static_cast<errc>(value)) {
            case errc::size_out_of_range:
            case errc::bad_alignment:
            case errc::bad_option:
                return std::errc::invalid_argument;
            case errc::out_of_memory:
                return std::errc::not_enough_memory;
            case errc::file_not_found:
                return std::errc::no_such_file_or_directory;
            case errc::file_exists:
                return std::errc::file_exists;
            case errc::permission_denied:
                return std::errc::permission_denied;
            case errc::disk_full:
                return std::errc::no_space_on_device;
            case errc::file_in_use:
                return std::errc::device_or_resource_busy;
            case errc::growth_timeout:
            case errc::gear_timeout:
                return std::errc::timed_out;
            default:
                return {value, *this};
        }
    }
};

std::string with_system_error(std::string text, int system_error) {
    if (system_error != 0) text += (text.empty() ? "" : ": ") + std::generic_category().message(system_error);
    return text;
}

}  // namespace

const char* message(errc e) noexcept {
    if (e == errc{}) return "no error";
    switch (e) {
        case errc::not_initialised:
            return "this object is empty or was moved from";
        case errc::size_out_of_range:
            return "the size is zero or larger than any lane may hold";
        case errc::bad_alignment:
            return "the alignment is not a power of two, or too large";
        case errc::lane_full:
            return "the lane has no room before its next reset";
        case errc::lane_closed:
            return "the lane is closed; reopen it to go on";
        case errc::lane_disposed:
            return "the lane is disposed";
        case errc::wrong_cycle:
            return "the lane was reset by force after this fragment was allocated";
        case errc::out_of_bounds:
            return "access past the end of the fragment or array";
        case errc::no_such_lane:
            return "there is no lane with this index";
        case errc::max_lanes_reached:
            return "the highway has as many lanes as max_lanes allows";
        case errc::max_bytes_reached:
            return "the highway has as many bytes as max_bytes allows";
        case errc::new_lane_failed:
            return "a new lane could not be made";
        case errc::growth_timeout:
            return "other threads were making lanes for longer than new_lane_timeout";
        case errc::highway_disposed:
            return "the highway is disposed";
        case errc::callback_failed:
            return "a callback of the options threw an exception";
        case errc::too_many_fragments:
            return "the lane counts as many live fragments as it can";
        case errc::negative_reset:
            return "more was released than was handed out; something was released twice";
        case errc::not_the_owner:
            return "only the thread that owns this lane or highway may allocate from it; see adopt()";
        case errc::fragments_alive:
            return "fragments from too many forced resets ago are still alive; after one more, the oldest would look "
                   "valid";
        case errc::bad_option:
            return "an option is out of its range";
        case errc::out_of_memory:
            return "the system has no memory to give";
        case errc::file_not_found:
            return "the file does not exist";
        case errc::file_exists:
            return "the file exists already";
        case errc::permission_denied:
            return "the system does not permit it (read-only, or owned by another user)";
        case errc::disk_full:
            return "the file system has no room for the file";
        case errc::not_a_lane:
            return "there is no lane in this file or memory, or one of another version";
        case errc::storage_truncated:
            return "the file or memory is shorter than the lane that it held";
        case errc::storage_corrupt:
            return "the lane's header in this file or memory is damaged";
        case errc::system_failure:
            return "the system refused";
        case errc::contended:
            return "other threads changed the lane at each of the allowed tries";
        case errc::not_innermost:
            return "a scope inside this one is open and would take the memory with it when it ends";
        case errc::file_in_use:
            return "the file is open elsewhere, in this process or another one";
        case errc::end_of_stream:
            return "the source ended before the lane was filled";
        case errc::wrong_gear:
            return "the gear does not allow this call, or is being shifted";
        case errc::gear_timeout:
            return "calls under the old gear, or another shift, went on for longer than the timeout";
        case errc::array_full:
            return "the array may not have more cells than max_size";
    }
    return "unknown error";
}

const std::error_category& error_category() noexcept {
    static const category the_category;
    return the_category;
}

error::error(errc e, int system_error)
    : std::system_error(make_error_code(e), with_system_error("lanes", system_error)), system_error_(system_error) {}

error::error(errc e, const std::string& subject, int system_error)
    : std::system_error(make_error_code(e), with_system_error(subject, system_error)), system_error_(system_error) {}

error::~error() = default;

bad_alloc::~bad_alloc() = default;

void throw_bad_alloc(errc e) { throw bad_alloc(e); }
void throw_error(errc e, int system_error) { throw error(e, system_error); }

}  // namespace lanes
