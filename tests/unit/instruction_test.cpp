// What the stepper counts as a load, a store and a branch, by encodings as an assembler writes them.
#include "tools/instruments/instruction.hpp"

#include <gtest/gtest.h>

#include <string>

namespace {

using lanes::instruments::effect_of;
using lanes::instruments::instruction_effect;

// "1 0 0": loads, stores, branches of an instruction.
std::string counts(std::initializer_list<int> encoding) {
    std::uint8_t bytes[16] = {};
    std::size_t n = 0;
    for (int b : encoding) bytes[n++] = static_cast<std::uint8_t>(b);
    instruction_effect e = effect_of(bytes);
    if (!e.known) return "unknown";
    return std::to_string(e.loads) + " " + std::to_string(e.stores) + " " + std::to_string(e.branches);
}

TEST(instruction, moves_load_or_store_by_their_direction) {
    EXPECT_EQ(counts({0x48, 0x8b, 0x07}), "1 0 0");                                                // mov (%rdi),%rax
    EXPECT_EQ(counts({0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0}), "1 0 0");                        // mov %fs:0,%rax
    EXPECT_EQ(counts({0x48, 0x89, 0x07}), "0 1 0");                                                // mov %rax,(%rdi)
    EXPECT_EQ(counts({0x48, 0x89, 0xf8}), "0 0 0");                                                // mov %rdi,%rax
    EXPECT_EQ(counts({0x48, 0xc7, 0x07, 0, 0, 0, 0}), "0 1 0");                                    // movq $0,(%rdi)
    EXPECT_EQ(counts({0x0f, 0xb6, 0x07}), "1 0 0");                                                // movzbl (%rdi),%eax
    EXPECT_EQ(counts({0x48, 0x8d, 0x47, 0x08}), "0 0 0");                                          // lea 8(%rdi),%rax
    EXPECT_EQ(counts({0x48, 0x0f, 0x44, 0x07}), "1 0 0");                                          // cmove (%rdi),%rax
    EXPECT_EQ(counts({0x0f, 0x11, 0x07}) + counts({0x0f, 0x10, 0x07}), "0 1 01 0 0");              // movups
    EXPECT_EQ(counts({0xc5, 0xf8, 0x11, 0x07}) + counts({0xc5, 0xf8, 0x10, 0x07}), "0 1 01 0 0");  // vmovups
    EXPECT_EQ(counts({0x66, 0x0f, 0x7e, 0x07}) + counts({0xf3, 0x0f, 0x7e, 0x07}), "0 1 01 0 0");  // movd, movq
    EXPECT_EQ(counts({0x66, 0x0f, 0xd6, 0x07}), "0 1 0");                                          // movq %xmm0,(%rdi)
}

TEST(instruction, what_changes_memory_in_place_loads_and_stores_and_a_comparison_loads) {
    EXPECT_EQ(counts({0x48, 0x01, 0x07}), "1 1 0");              // add %rax,(%rdi)
    EXPECT_EQ(counts({0x48, 0x03, 0x07}), "1 0 0");              // add (%rdi),%rax
    EXPECT_EQ(counts({0x48, 0x39, 0x07}), "1 0 0");              // cmp %rax,(%rdi)
    EXPECT_EQ(counts({0x48, 0x83, 0x2f, 0x01}), "1 1 0");        // subq $1,(%rdi)
    EXPECT_EQ(counts({0x48, 0x83, 0x3f, 0x00}), "1 0 0");        // cmpq $0,(%rdi)
    EXPECT_EQ(counts({0xf6, 0x07, 0x01}), "1 0 0");              // testb $1,(%rdi)
    EXPECT_EQ(counts({0xff, 0x0f}), "1 1 0");                    // decl (%rdi)
    EXPECT_EQ(counts({0xf0, 0x48, 0x0f, 0xb1, 0x0f}), "1 1 0");  // lock cmpxchg %rcx,(%rdi)
    EXPECT_EQ(counts({0x48, 0x01, 0xf8}), "0 0 0");              // add %rdi,%rax
}

TEST(instruction, the_stack_is_memory) {
    EXPECT_EQ(counts({0x55}), "0 1 0");        // push %rbp
    EXPECT_EQ(counts({0x41, 0x54}), "0 1 0");  // push %r12
    EXPECT_EQ(counts({0x5d}), "1 0 0");        // pop %rbp
    EXPECT_EQ(counts({0xc9}), "1 0 0");        // leave
}

TEST(instruction, branches_are_jumps_calls_and_returns) {
    EXPECT_EQ(counts({0x74, 0x10}), "0 0 1");                        // je
    EXPECT_EQ(counts({0x0f, 0x84, 0, 0, 0, 0}), "0 0 1");            // je, far
    EXPECT_EQ(counts({0xe9, 0, 0, 0, 0}), "0 0 1");                  // jmp
    EXPECT_EQ(counts({0xe8, 0, 0, 0, 0}), "0 1 1");                  // call
    EXPECT_EQ(counts({0xff, 0x25, 0, 0, 0, 0}), "1 0 1");            // jmp *0(%rip)
    EXPECT_EQ(counts({0x67, 0xe8, 0, 0, 0, 0}), "0 1 1");            // call, padded
    EXPECT_EQ(counts({0xff, 0xd3}), "0 1 1");                        // call *%rbx
    EXPECT_EQ(counts({0xc3}) + counts({0xf3, 0xc3}), "1 0 11 0 1");  // ret
}

TEST(instruction, prefetches_nops_and_fences_are_none_of_these) {
    EXPECT_EQ(counts({0x0f, 0x18, 0x0f}), "0 0 0");        // prefetcht0 (%rdi)
    EXPECT_EQ(counts({0x0f, 0x1f, 0x44, 0, 0}), "0 0 0");  // nopl
    EXPECT_EQ(counts({0xf3, 0x0f, 0x1e, 0xfa}), "0 0 0");  // endbr64
    EXPECT_EQ(counts({0x0f, 0xae, 0xf0}), "0 0 0");        // mfence
    EXPECT_EQ(counts({0x0f, 0x05}), "0 0 0");              // syscall
}

TEST(instruction, what_it_does_not_know_it_says_so) {
    EXPECT_EQ(counts({0xd8, 0x07}), "unknown");                          // fadds (%rdi)
    EXPECT_EQ(counts({0x62, 0xe1, 0xfe, 0x48, 0x7f, 0x07}), "unknown");  // vmovdqu64 %zmm16,(%rdi)
}

}  // namespace
