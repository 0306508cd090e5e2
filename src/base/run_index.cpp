// The searches of run_index.
#include "base/run_index.hpp"

namespace lanes::base {
namespace {

// The positions at which n set bits begin, n at most 64.
std::uint64_t starts_of_runs(std::uint64_t word, std::uint32_t n) {
    for (std::uint32_t have = 1; have < n && word != 0;) {
        std::uint32_t more = n - have < have ? n - have : have;
        word &= word >> more;
        have += more;
    }
    return word;
}

}  // namespace

// Walks from node to node, each as large as the place allows; goes down where the run must be inside.
std::uint32_t run_index::find(std::uint32_t n, std::uint32_t from) {
    refresh();
    std::uint32_t run = 0;  // length of the run that ends at `at`
    int deepest = levels;   // nodes of this level and above are known to hold the answer further inside
    for (std::uint32_t at = from; at < end_;) {
        int level = height_ < deepest ? height_ : deepest - 1;
        while (level >= 0 && (at & (bits_on(level) - 1)) != 0) --level;
        bool whole_chunk = level < 0 && at % chunk_bits == 0 && deepest > -1;
        if (level >= 0 || whole_chunk) {
            const summary& here = level >= 0 ? node(level, at >> shift_on(level)) : chunk_of(at / chunk_bits).whole;
            std::uint32_t bits = level >= 0 ? bits_on(level) : chunk_bits;
            if (run + here.prefix >= n) return at - run;
            if (here.longest >= n) {
                deepest = level >= 0 ? level : -1;
                continue;
            }
            run = here.prefix == bits ? run + bits : here.suffix;
            at += bits;
            continue;
        }
        std::uint32_t bit = at % word_bits;
        std::uint64_t here = word(at / word_bits) & ~std::uint64_t{0} << bit;
        if (bit == 0 && run + static_cast<std::uint32_t>(std::countr_one(here)) >= n) return at - run;
        if (n <= word_bits) {
            if (std::uint64_t starts = starts_of_runs(here, n); starts != 0) {
                return at - bit + static_cast<std::uint32_t>(std::countr_zero(starts));
            }
        }
        auto suffix = static_cast<std::uint32_t>(std::countl_one(here));
        run = bit == 0 && suffix == word_bits ? run + word_bits : suffix;
        at += word_bits - bit;
    }
    return none;
}

std::uint32_t run_index::next_set(std::uint32_t from, std::uint32_t end) {
    if (from + chunk_bits >= end) {
        std::uint32_t known = end < end_ ? end : end_, found = scan(from, known, 0);
        return found < known ? found : end;
    }
    std::uint32_t found = find(1, from);
    return found < end ? found : end;
}

std::uint32_t run_index::next_clear(std::uint32_t from, std::uint32_t end) {
    if (from >= end_) return from < end ? from : end;
    if (end > end_) end = end_;  // what is not covered is clear
    if (from + chunk_bits >= end) return scan(from, end, ~std::uint64_t{0});
    refresh();
    std::uint32_t at = from;
    while (at < end) {
        int level = height_;
        while (level >= 0 && (at & (bits_on(level) - 1)) != 0) --level;
        // The largest node that begins here and is all set is skipped whole.
        for (; level >= 0; --level) {
            if (node(level, at >> shift_on(level)).prefix == bits_on(level)) break;
        }
        if (level >= 0) {
            at += bits_on(level);
            continue;
        }
        if (at % chunk_bits == 0 && chunk_of(at / chunk_bits).whole.prefix == chunk_bits) {
            at += chunk_bits;
            continue;
        }
        std::uint32_t bit = at % word_bits;
        auto ones = static_cast<std::uint32_t>(std::countr_one(word(at / word_bits) >> bit));
        if (ones < word_bits - bit) {
            at += ones;
            break;
        }
        at += word_bits - bit;
    }
    return at < end ? at : end;
}

std::uint32_t run_index::last_set(std::uint32_t end) {
    refresh();
    int deepest = levels;
    std::uint32_t at = end < end_ ? end : end_;
    while (at > 0) {
        int level = height_ < deepest ? height_ : deepest - 1;
        while (level >= 0 && (at & (bits_on(level) - 1)) != 0) --level;
        if (level >= 0 || (at % chunk_bits == 0 && deepest > -1)) {
            std::uint32_t bits = level >= 0 ? bits_on(level) : chunk_bits;
            std::uint32_t first = at - bits;
            const summary& here =
                level >= 0 ? node(level, first >> shift_on(level)) : chunk_of(first / chunk_bits).whole;
            if (here.longest == 0) {
                at = first;
            } else {
                deepest = level >= 0 ? level : -1;
            }
            continue;
        }
        std::uint32_t bit = (at - 1) % word_bits;
        std::uint64_t here = word((at - 1) / word_bits) << (word_bits - 1 - bit);
        if (here != 0) return at - static_cast<std::uint32_t>(std::countl_zero(here));
        at -= bit + 1;
    }
    return 0;
}

}  // namespace lanes::base
