// A plain read of a word that another thread may be writing.
//
// For values that only grow and whose old value is as good as the new one. A relaxed atomic load would say the same,
// but GCC does not fold it into the compare that follows, and the fast path pays an instruction.
#pragma once

namespace lanes::base {

template <class T>
[[gnu::always_inline]] inline T read_racy(const T& word) {
#if defined(__SANITIZE_THREAD__)
    return __atomic_load_n(&word, __ATOMIC_RELAXED);
#else
    return word;
#endif
}

}  // namespace lanes::base
