// Reads the LANES_ variables against the option table.
#include "config/options.hpp"

#include "base/edit_distance.hpp"

namespace lanes::config {
namespace {

constexpr option table[] = {
    {option_id::disable, "LANES_DISABLE", option_kind::flag, 0, 0, 1, "", "",
     "pass every call on to the C library's own malloc",
     "to find out whether lanes is the cause of a problem, or for one program among many that are preloaded"},
    {option_id::on_error, "LANES_ON_ERROR", option_kind::choice, 0, 0, 0, "abort|warn|ignore", "",
     "what follows a bad free or a damaged free list: a line and abort, a line only, or nothing",
     "to `warn` when a service has to go on with a known error until it is mended; memory that the error damaged stays "
     "damaged"},
    {option_id::stats, "LANES_STATS", option_kind::text, 0, 0, 0, "", "",
     "a statistics file made by `lanes run`; the process keeps its counters there, so they outlive it",
     "seldom by hand: `lanes run --stats-file FILE` makes the file and sets this"},
    {option_id::summary, "LANES_SUMMARY", option_kind::flag, 0, 0, 1, "", "",
     "print the counters to stderr when the process exits",
     "for a program that is preloaded without `lanes run --summary`"},
    {option_id::verbose, "LANES_VERBOSE", option_kind::flag, 0, 0, 1, "", "",
     "print one line to stderr at start that says lanes is active",
     "when it is not clear whether a preload takes effect, as in a container or a unit file"},
    {option_id::strict, "LANES_STRICT", option_kind::flag, 0, 0, 1, "", "",
     "abort at start when a LANES_ variable is unknown or out of range",
     "in tests and deployments, where a misspelt option should not pass unseen"},
    {option_id::purge_budget_kib, "LANES_PURGE_BUDGET", option_kind::number, 1024, 0, 1ull << 32, "", "KiB",
     "free memory that may stay backed by RAM, whatever the process uses",
     "up for a program that frees and allocates the same MiBs over and over and spends its time in page faults; to 0 "
     "for many small processes on one machine"},
    {option_id::purge_share, "LANES_PURGE_SHARE", option_kind::number, 16, 1, 1024, "", "",
     "one part in this many of the live memory may stay backed by RAM when free, if that is more",
     "down to trade memory for time (4 keeps a quarter of what is live), up for the contrary"},
    {option_id::huge_from_mib, "LANES_HUGE_PAGES", option_kind::number, 16, 0, 1u << 20, "", "MiB",
     "from this much in use on, new dense memory may be huge pages; 0 never asks for them",
     "to 0 where memory counts more than time, or where latency suffers from the kernel's work on huge pages"},
    {option_id::address_space_gib, "LANES_ADDRESS_SPACE", option_kind::number, 4096, 1, 4096, "", "GiB",
     "the most address space for blocks below 64 MiB; none is held before it is needed",
     "hardly ever: down to bound what a program that goes wrong may map"},
    {option_id::scavenger_ms, "LANES_SCAVENGER", option_kind::number, 0, 0, 3600'000, "", "ms",
     "period of a background thread that gives free memory back; 0 starts no thread",
     "to 1000 or so for a service that falls idle after bursts: free memory otherwise goes back only as the program "
     "frees more"},
    {option_id::library, "LANES_LIB", option_kind::text, 0, 0, 0, "", "",
     "the library that `lanes run` preloads, if not the one installed beside it",
     "to try another build of the library, or where it was moved away from the command"},
};
static_assert(sizeof table / sizeof table[0] == static_cast<std::size_t>(option_id::count));

constexpr char prefix[] = "LANES_";
constexpr std::size_t prefix_length = sizeof prefix - 1;

std::size_t length(const char* s) {
    std::size_t n = 0;
    while (s[n] != 0) ++n;
    return n;
}

bool same(const char* a, std::size_t a_length, const char* b) {
    for (std::size_t i = 0; i < a_length; ++i) {
        if (b[i] == 0 || a[i] != b[i]) return false;
    }
    return b[a_length] == 0;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool same_word(const char* value, const char* word, std::size_t word_length) {
    for (std::size_t i = 0; i < word_length; ++i) {
        if (value[i] == 0 || lower(value[i]) != word[i]) return false;
    }
    return value[word_length] == 0;
}

bool parse_number(const char* value, std::uint64_t& out) {
    if (*value == 0) return false;
    std::uint64_t n = 0;
    for (; *value != 0; ++value) {
        if (*value < '0' || *value > '9' || n > (~0ull - 9) / 10) return false;
        n = n * 10 + static_cast<std::uint64_t>(*value - '0');
    }
    out = n;
    return true;
}

bool parse_flag(const char* value, std::uint64_t& out) {
    constexpr const char* off[] = {"0", "no", "off", "false"};
    constexpr const char* on[] = {"1", "yes", "on", "true"};
    for (const char* w : off) {
        if (same_word(value, w, length(w))) return out = 0, true;
    }
    for (const char* w : on) {
        if (same_word(value, w, length(w))) return out = 1, true;
    }
    return false;
}

bool parse_choice(const char* value, const char* choices, std::uint64_t& out) {
    for (std::uint64_t index = 0;; ++index) {
        std::size_t n = 0;
        while (choices[n] != 0 && choices[n] != '|') ++n;
        if (same_word(value, choices, n)) return out = index, true;
        if (choices[n] == 0) return false;
        choices += n + 1;
    }
}

bool parse(const option& o, const char* value, std::uint64_t& out) {
    switch (o.kind) {
        case option_kind::flag:
            return parse_flag(value, out);
        case option_kind::choice:
            return parse_choice(value, o.choices, out);
        case option_kind::number:
            return parse_number(value, out) && out >= o.min && out <= o.max;
        case option_kind::text:
            return out = 0, true;
    }
    return false;
}

const char* nearest_name(const char* name, std::size_t n) {
    const char* best = table[0].name;
    unsigned best_distance = ~0u;
    for (const option& o : table) {
        unsigned d = base::edit_distance(name, n, o.name, length(o.name));
        if (d < best_distance) best_distance = d, best = o.name;
    }
    return best;
}

}  // namespace

std::span<const option> option_table() { return table; }

void read_options(const char* const* environment, bool trusted, option_values& values,
                  void (*report)(const option_problem&)) {
    for (const option& o : table) {
        values.number[static_cast<std::size_t>(o.id)] = o.fallback;
        values.text[static_cast<std::size_t>(o.id)] = nullptr;
    }
    if (environment == nullptr) return;
    for (; *environment != nullptr; ++environment) {
        const char* variable = *environment;
        bool ours = true;
        for (std::size_t i = 0; ours && i < prefix_length; ++i) ours = variable[i] == prefix[i];
        if (!ours) continue;
        std::size_t n = prefix_length;
        while (variable[n] != 0 && variable[n] != '=') ++n;
        if (variable[n] == 0) continue;

        const option* known = nullptr;
        for (const option& o : table) {
            if (same(variable, n, o.name)) known = &o;
        }
        if (known == nullptr) {
            report({variable, nullptr, nearest_name(variable, n)});
            continue;
        }
        if (!trusted && known->id != option_id::disable) continue;
        std::uint64_t number = 0;
        if (!parse(*known, variable + n + 1, number)) {
            report({variable, known, known->name});
            continue;
        }
        values.number[static_cast<std::size_t>(known->id)] = number;
        if (known->kind == option_kind::text) values.text[static_cast<std::size_t>(known->id)] = variable + n + 1;
    }
}

}  // namespace lanes::config
