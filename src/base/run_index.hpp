// A set of bits that finds the lowest run of n set bits, and the highest set bit, in a bounded number of steps.
//
// A tree over the bits: each node says how long the run at its beginning, the run at its end and the longest run inside
// it are. A leaf is a word of 64 bits, every other node has 16 children. So a search looks at no more than 16 nodes on
// each of five levels however many runs there are, and takes the lowest that fits, which keeps what is in use together.
//
//     bits in a node    64     1024    16 Ki    256 Ki    4 Mi    64 Mi
//                       word   chunk   level 0  level 1   level 2 level 3
//
// The chunks lie in memory that the user gives and may map bit by bit (`cover`); all of it starts as zero. No
// constructor, no lock.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace lanes::base {

// Runs of set bits in a stretch of bits.
template <class number>
struct run_summary {
    number prefix;   // length of the run that begins at the first bit
    number suffix;   // of the one that ends at the last bit
    number longest;  // of any
    bool operator==(const run_summary&) const = default;
};

class run_index {
  public:
    static constexpr std::uint32_t fan_out = 16;
    static constexpr std::uint32_t word_bits = 64;
    static constexpr std::uint32_t chunk_bits = word_bits * fan_out;
    static constexpr std::uint32_t max_bits = std::uint32_t{1} << 26;
    static constexpr std::uint32_t none = ~std::uint32_t{0};  // what a search answers that finds nothing

    struct chunk {
        std::uint64_t words[fan_out];
        run_summary<std::uint8_t> of_word[fan_out];
        run_summary<std::uint32_t> whole;
        std::uint32_t stale;  // `whole` and the nodes above it are older than the words
    };

    // Where the chunks lie, each `stride` chunks behind the one before: several indexes over the same things can share
    // pages. Of `max_bits / chunk_bits` chunks those covered may be touched.
    void begin(chunk* chunks, std::uint32_t stride) {
        chunks_ = chunks;
        stride_ = stride;
        height_ = -1;
    }
    // The bits below `end`, a multiple of chunk_bits, may be used from now on.
    void cover(std::uint32_t end) {
        refresh();
        end_ = end;
        while (height_ < levels - 1 && end > bits_on(height_)) recompute(++height_, 0);
    }

    bool test(std::uint32_t i) const { return word(i / word_bits) >> (i % word_bits) & 1; }
    void set(std::uint32_t first, std::uint32_t n) {
        change(first, n, [](std::uint64_t& word, std::uint64_t mask) { word |= mask; });
    }
    void clear(std::uint32_t first, std::uint32_t n) {
        change(first, n, [](std::uint64_t& word, std::uint64_t mask) { word &= ~mask; });
    }

    // How many of the n bits from `first` are set. Takes a step for each word.
    std::uint32_t count(std::uint32_t first, std::uint32_t n) const {
        std::uint32_t total = 0;
        for_words(first, n, [&](std::uint32_t w, std::uint64_t mask) {
            total += static_cast<std::uint32_t>(std::popcount(word(w) & mask));
        });
        return total;
    }

    // The start of the lowest run of at least n set bits among those from `from` on; or none.
    std::uint32_t find(std::uint32_t n, std::uint32_t from = 0);
    // Searches may reach beyond what is covered: there every bit is clear.
    //
    // The first set bit in [from, end), or end.
    std::uint32_t next_set(std::uint32_t from, std::uint32_t end);
    // The first clear bit in [from, end), or end.
    std::uint32_t next_clear(std::uint32_t from, std::uint32_t end);
    // The highest set bit below `end`, plus one; 0 when there is none.
    std::uint32_t last_set(std::uint32_t end);

  private:
    using summary = run_summary<std::uint32_t>;
    static constexpr std::uint32_t max_stale = 8;
    static constexpr int levels = 4;                  // above the chunks
    static constexpr std::uint32_t chunk_shift = 10;  // 1 << chunk_shift bits
    static constexpr std::uint32_t fan_shift = 4;
    static constexpr std::uint32_t max_nodes = (max_bits >> 14) + (max_bits >> 18) + (max_bits >> 22) + 1;
    static_assert(chunk_bits == 1u << chunk_shift && fan_out == 1u << fan_shift);
    static_assert(max_bits == chunk_bits << fan_shift * levels);

    static constexpr std::uint32_t shift_on(int level) {
        return chunk_shift + fan_shift * static_cast<std::uint32_t>(level + 1);
    }
    static constexpr std::uint32_t bits_on(int level) { return 1u << shift_on(level); }
    static constexpr std::uint32_t nodes_on(int level) { return max_bits >> shift_on(level); }
    // Small levels first, so that an index of few bits touches one page of this.
    static constexpr std::uint32_t start_of(int level) {
        std::uint32_t start = 0;
        for (int above = levels - 1; above > level; --above) start += nodes_on(above);
        return start;
    }

    chunk& chunk_of(std::uint32_t c) { return chunks_[std::size_t{c} * stride_]; }
    const chunk& chunk_of(std::uint32_t c) const { return chunks_[std::size_t{c} * stride_]; }
    std::uint64_t& word(std::uint32_t w) { return chunk_of(w / fan_out).words[w % fan_out]; }
    std::uint64_t word(std::uint32_t w) const { return chunk_of(w / fan_out).words[w % fan_out]; }
    summary& node(int level, std::uint32_t i) { return nodes_[start_of(level) + i]; }
    const summary& node(int level, std::uint32_t i) const { return nodes_[start_of(level) + i]; }

    static std::uint8_t longest_run(std::uint64_t word) {
        if (word == 0) return 0;
        // One run alone, as mostly, is a number of ones and nothing else once it is shifted down.
        if (std::uint64_t run = word >> std::countr_zero(word); (run & (run + 1)) == 0) {
            return static_cast<std::uint8_t>(std::countr_one(run));
        }
        std::uint8_t longest = 0;
        for (std::uint64_t left = word; left != 0; left &= left << 1) ++longest;
        return longest;
    }
    static run_summary<std::uint8_t> summary_of(std::uint64_t word) {
        return {static_cast<std::uint8_t>(std::countr_one(word)), static_cast<std::uint8_t>(std::countl_one(word)),
                longest_run(word)};
    }

    // Of `fan_out` neighbours of `bits` bits each; `child(i)` is the summary of one.
    template <class F>
    static summary join(std::uint32_t bits, F&& child) {
        summary all{0, 0, 0};
        std::uint32_t run = 0;  // that ends where the last child ended
        for (std::uint32_t i = 0; i < fan_out; ++i) {
            const auto part = child(i);
            if (part.longest == 0) {
                run = 0;
                continue;
            }
            if (run + part.prefix > all.longest) all.longest = run + part.prefix;
            if (part.longest > all.longest) all.longest = part.longest;
            if (run == i * bits) all.prefix = run + part.prefix;
            run = part.prefix == bits ? run + bits : part.suffix;
        }
        all.suffix = run;
        return all;
    }

    // Whether the node has changed.
    bool recompute_chunk(std::uint32_t c) {
        chunk& of = chunk_of(c);
        summary now = join(word_bits, [&](std::uint32_t i) { return of.of_word[i]; });
        bool changed = now != of.whole;
        of.whole = now;
        return changed;
    }
    bool recompute(int level, std::uint32_t i) {
        std::uint32_t first = i * fan_out;
        summary now = level == 0
                          ? join(chunk_bits,
                                 [&](std::uint32_t k) {
                                     std::uint32_t c = first + k;
                                     return c < end_ / chunk_bits ? chunk_of(c).whole : summary{0, 0, 0};
                                 })
                          : join(bits_on(level - 1), [&](std::uint32_t k) { return node(level - 1, first + k); });
        bool changed = now != node(level, i);
        node(level, i) = now;
        return changed;
    }

    // The first bit in [from, end) that is set once `flip` is applied, word by word: for short stretches.
    std::uint32_t scan(std::uint32_t from, std::uint32_t end, std::uint64_t flip) const {
        while (from < end) {
            std::uint64_t here = (word(from / word_bits) ^ flip) >> from % word_bits;
            if (here != 0) {
                from += static_cast<std::uint32_t>(std::countr_zero(here));
                return from < end ? from : end;
            }
            from = (from / word_bits + 1) * word_bits;
        }
        return end;
    }

    template <class F>
    static void for_words(std::uint32_t first, std::uint32_t n, F&& f) {
        while (n > 0) {
            std::uint32_t bit = first % word_bits;
            std::uint32_t here = word_bits - bit < n ? word_bits - bit : n;
            f(first / word_bits, (here == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << here) - 1) << bit);
            first += here;
            n -= here;
        }
    }

    template <class F>
    void change(std::uint32_t first, std::uint32_t n, F&& apply) {
        for_words(first, n, [&](std::uint32_t w, std::uint64_t mask) {
            chunk& of = chunk_of(w / fan_out);
            apply(of.words[w % fan_out], mask);
            of.of_word[w % fan_out] = summary_of(of.words[w % fan_out]);
            if (of.stale == 0) make_stale(w / fan_out);
        });
    }

    // Nodes are brought up to date when they are next looked at: a chunk often changes several times before that.
    void make_stale(std::uint32_t c) {
        if (stale_chunks_ == max_stale) refresh();
        chunk_of(c).stale = 1;
        stale_[stale_chunks_++] = c;
    }
    void refresh() {
        while (stale_chunks_ > 0) {
            std::uint32_t c = stale_[--stale_chunks_];
            chunk_of(c).stale = 0;
            bool changed = recompute_chunk(c);
            for (int level = 0; changed && level <= height_; ++level)
                changed = recompute(level, c >> fan_shift * (level + 1));
        }
    }

    chunk* chunks_;
    std::uint32_t stride_;
    std::uint32_t end_;  // bits covered
    int height_;         // the level whose first node holds all that is covered; -1: a chunk does
    std::uint32_t stale_chunks_;
    std::uint32_t stale_[max_stale];
    summary nodes_[max_nodes];
};

}  // namespace lanes::base
