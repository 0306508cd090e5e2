// How a symbol is exported under its own name, and how a second name leads to the same code.
//
// No libc header that declares malloc is included by the files that define it: their attributes (nonnull, malloc,
// throw) differ between versions and would make GCC delete checks that must stay.
#pragma once

#define LANES_EXPORT __attribute__((visibility("default")))
#define LANES_ALIAS(name) __attribute__((alias(name)))
