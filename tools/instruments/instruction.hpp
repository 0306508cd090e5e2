// What one x86-64 instruction does to memory and to the flow of control, read from its bytes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lanes::instruments {

// A read-modify-write is one load and one store, a call a store and a branch, a return a load and a branch. Prefetches
// and address computations are neither.
struct instruction_effect {
    // False: the bytes are none that this file classifies. Those are above all of AVX-512, of which an allocator's own
    // code has none, but the C library's memcpy and memset on some machines: what counts them would differ by machine.
    bool known = true;
    unsigned loads = 0, stores = 0, branches = 0;
};

namespace x86_64 {

inline constexpr instruction_effect none{}, load{true, 1, 0, 0}, store{true, 0, 1, 0}, both{true, 1, 1, 0},
    branch{true, 0, 0, 1}, call{true, 0, 1, 1}, ret{true, 1, 0, 1}, unknown{false, 0, 0, 0};

// The effect that an instruction has if its operand is memory, for one whose operand may be a register instead.
constexpr instruction_effect if_memory(std::uint8_t modrm, instruction_effect effect) {
    return modrm >> 6 != 3 ? effect : none;
}

constexpr instruction_effect one_byte(std::uint8_t op, std::uint8_t modrm) {
    unsigned digit = modrm >> 3 & 7;  // of the opcodes that are groups
    if (op < 0x40) {                  // add or adc sbb and sub xor cmp
        bool compares = op >> 3 == 7;
        switch (op & 7) {
            case 0:
            case 1:
                return if_memory(modrm, compares ? load : both);
            case 2:
            case 3:
                return if_memory(modrm, load);
            case 4:
            case 5:
                return none;
            default:
                return unknown;
        }
    }
    if (op >= 0x50 && op < 0x58) return store;   // push
    if (op >= 0x58 && op < 0x60) return load;    // pop
    if (op >= 0x70 && op < 0x80) return branch;  // jcc
    if (op >= 0x90 && op < 0xa0) return op < 0x9a ? none : unknown;
    if (op >= 0xb0 && op < 0xc0) return none;  // mov of an immediate
    switch (op) {
        case 0x63:  // movsxd
        case 0x69:  // imul
        case 0x6b:
        case 0x84:  // test
        case 0x85:
        case 0x8a:  // mov from memory
        case 0x8b:
            return if_memory(modrm, load);
        case 0x80:  // the group of 00..3f with an immediate
        case 0x81:
        case 0x83:
            return if_memory(modrm, digit == 7 ? load : both);
        case 0x86:  // xchg
        case 0x87:
        case 0xc0:  // shifts
        case 0xc1:
        case 0xd0:
        case 0xd1:
        case 0xd2:
        case 0xd3:
            return if_memory(modrm, both);
        case 0x88:  // mov to memory
        case 0x89:
        case 0xc6:
        case 0xc7:
            return if_memory(modrm, store);
        case 0x8d:  // lea
        case 0xa8:  // test
        case 0xa9:
            return none;
        case 0x68:  // push of an immediate
        case 0x6a:
        case 0xaa:  // stos
        case 0xab:
            return store;
        case 0xa4:  // movs
        case 0xa5:
            return both;
        case 0xc9:  // leave
            return load;
        case 0xc2:
        case 0xc3:
            return ret;
        case 0xe8:
            return call;
        case 0xe3:
        case 0xe9:
        case 0xeb:
            return branch;
        case 0xf6:  // test not neg mul imul div idiv
        case 0xf7:
            return if_memory(modrm, digit == 2 || digit == 3 ? both : load);
        case 0xfe:  // inc dec
            return if_memory(modrm, both);
        case 0xff: {
            if (digit < 2) return if_memory(modrm, both);
            unsigned operand = modrm >> 6 != 3;
            if (digit == 2) return {true, operand, 1, 1};  // call
            if (digit == 4) return {true, operand, 0, 1};  // jmp
            if (digit == 6) return {true, operand, 1, 0};  // push
            return unknown;
        }
        default:
            return unknown;
    }
}

// The opcodes behind 0f; `wide`: with the prefix 66.
constexpr instruction_effect two_bytes(std::uint8_t op, std::uint8_t modrm, bool wide) {
    unsigned digit = modrm >> 3 & 7;
    if (op >= 0x40 && op < 0x50) return if_memory(modrm, load);  // cmov
    if (op >= 0x80 && op < 0x90) return branch;
    if (op >= 0x90 && op < 0xa0) return if_memory(modrm, store);  // setcc
    if (op >= 0xc8 && op < 0xd0) return none;                     // bswap
    switch (op) {
        case 0x05:  // syscall
        case 0x0b:  // ud2
        case 0x0d:  // prefetches and long nops
        case 0x18:
        case 0x1e:  // endbr64
        case 0x1f:
        case 0x31:  // rdtsc
        case 0xa2:  // cpuid
        case 0xae:  // fences
            return none;
        case 0x11:  // mov of a vector to memory
        case 0x13:
        case 0x17:
        case 0x29:
        case 0x2b:
        case 0x7f:
        case 0xd6:
        case 0xe7:
            return if_memory(modrm, store);
        case 0x7e:  // movd to memory with 66, movq from it with f3
            return if_memory(modrm, wide ? store : load);
        case 0xba:  // bt bts btr btc
            return if_memory(modrm, digit == 4 ? load : both);
        case 0xa4:  // shld shrd
        case 0xa5:
        case 0xac:
        case 0xad:
        case 0xab:  // bts btr btc
        case 0xb3:
        case 0xbb:
        case 0xb0:  // cmpxchg
        case 0xb1:
        case 0xc0:  // xadd
        case 0xc1:
        case 0xc7:  // cmpxchg16b
            return if_memory(modrm, both);
        case 0xa3:  // bt
        case 0xaf:  // imul
        case 0xb6:  // movzx
        case 0xb7:
        case 0xb8:  // popcnt bsf bsr
        case 0xbc:
        case 0xbd:
        case 0xbe:  // movsx
        case 0xbf:
            return if_memory(modrm, load);
        default:
            // What is left of the vector instructions reads its operand.
            if ((op >= 0x10 && op < 0x18) || (op >= 0x28 && op < 0x30) || (op >= 0x50 && op < 0x80) || op >= 0xc2)
                return if_memory(modrm, load);
            return unknown;
    }
}

}  // namespace x86_64

// Of the instruction at `bytes`, which has at most 15; zeros may follow.
constexpr instruction_effect effect_of(const std::uint8_t (&bytes)[16]) {
    bool wide = false;
    std::size_t at = 0;
    for (; at < 4; ++at) {
        std::uint8_t b = bytes[at];
        bool repeats = b == 0xf2 || b == 0xf3, names_a_segment = b == 0x64 || b == 0x65 || b == 0x2e || b == 0x3e;
        if (b == 0x66) wide = true;
        if (b != 0x66 && b != 0x67 && b != 0xf0 && !repeats && !names_a_segment) break;
    }
    if (bytes[at] == 0xc5 || bytes[at] == 0xc4) {  // VEX: the map and the prefix stand in it
        bool is_short = bytes[at] == 0xc5;
        std::uint8_t map = is_short ? 1 : bytes[at + 1] & 0x1f;
        std::uint8_t last = bytes[at + (is_short ? 1 : 2)];
        at += is_short ? 2 : 3;
        if (map != 1) return x86_64::if_memory(bytes[at + 1], x86_64::load);
        if (bytes[at] == 0x77) return x86_64::none;  // vzeroupper
        return x86_64::two_bytes(bytes[at], bytes[at + 1], (last & 3) == 1);
    }
    if (bytes[at] >> 4 == 4) ++at;  // REX
    if (bytes[at] != 0x0f) return x86_64::one_byte(bytes[at], bytes[at + 1]);
    ++at;
    if (bytes[at] == 0x38 || bytes[at] == 0x3a) return x86_64::if_memory(bytes[at + 2], x86_64::load);
    return x86_64::two_bytes(bytes[at], bytes[at + 1], wide);
}

}  // namespace lanes::instruments
