// The errc for an errno.
#pragma once

#include <errno.h>

#include "lanes/error.hpp"

namespace lanes {

inline failure refused(int system_error) noexcept {
    auto which = [=] {
        switch (system_error) {
            case ENOENT:
            case ENOTDIR:
                return errc::file_not_found;
            case EEXIST:
                return errc::file_exists;
            case EACCES:
            case EPERM:
            case EROFS:
                return errc::permission_denied;
            case ENOSPC:
            case EDQUOT:
            case EFBIG:
                return errc::disk_full;
            case ENOMEM:
            case EAGAIN:
                return errc::out_of_memory;  // EAGAIN: the limit of locked memory
            default:
                return errc::system_failure;
        }
    };
    return {which(), system_error};
}

}  // namespace lanes
