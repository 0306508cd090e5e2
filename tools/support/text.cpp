// Cleaning, measuring and escaping of UTF-8.
#include "tools/support/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdint>

namespace lanes::tool {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";

struct character {
    std::uint32_t code = 0;
    std::size_t bytes = 1;
    bool valid = false;
};

bool continues(std::string_view text, std::size_t at) {
    return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
}

// One character at the start of a text that is not empty; an invalid one takes a byte.
character decode(std::string_view text) {
    auto lead = static_cast<unsigned char>(text[0]);
    if (lead < 0x80) return {lead, 1, true};
    std::size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4) return {};
    std::uint32_t code = lead & (0x7Fu >> bytes);
    for (std::size_t i = 1; i < bytes; ++i) {
        if (!continues(text, i)) return {};
        code = code << 6 | (static_cast<unsigned char>(text[i]) & 0x3Fu);
    }
    constexpr std::array<std::uint32_t, 5> smallest{0, 0, 0x80, 0x800, 0x10000};
    if (code < smallest[bytes] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return {};
    return {code, bytes, true};
}

struct range {
    std::uint32_t first, last;
};

template <std::size_t n>
bool in(const std::array<range, n>& ranges, std::uint32_t code) {
    return std::any_of(ranges.begin(), ranges.end(), [&](range r) { return code >= r.first && code <= r.last; });
}

// Controls, what turns the writing direction, separators of lines, and what XML forbids.
constexpr std::array<range, 7> unwanted{{{0, 0x1F},
                                         {0x7F, 0x9F},
                                         {0x200E, 0x200F},
                                         {0x2028, 0x202E},
                                         {0x2066, 0x2069},
                                         {0xFEFF, 0xFEFF},
                                         {0xFFFE, 0xFFFF}}};
// Combining marks and other characters without a column of their own.
constexpr std::array<range, 6> without_width{
    {{0x300, 0x36F}, {0x483, 0x489}, {0x200B, 0x200D}, {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}}};
// East Asian wide characters and pictures.
constexpr std::array<range, 8> wide{{{0x1100, 0x115F},
                                     {0x2E80, 0xA4CF},
                                     {0xAC00, 0xD7A3},
                                     {0xF900, 0xFAFF},
                                     {0xFE30, 0xFE6F},
                                     {0xFF00, 0xFF60},
                                     {0x1F300, 0x1FAFF},
                                     {0x20000, 0x3FFFD}}};

std::size_t width_of(std::uint32_t code) {
    if (code < 0x300) return 1;
    return in(without_width, code) ? 0 : in(wide, code) ? 2 : 1;
}

// The longest start of a text that takes at most `width` columns, in bytes.
std::size_t prefix_within(std::string_view text, std::size_t width) {
    std::size_t at = 0, used = 0;
    while (at < text.size()) {
        character next = decode(text.substr(at));
        used += width_of(next.code);
        if (used > width) break;
        at += next.bytes;
    }
    return at;
}

bool is_plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-_./=:,+@%{}").find(c) != std::string_view::npos;
}

}  // namespace

std::string clean(std::string_view text, bool keep_lines) {
    std::string cleaned;
    while (!text.empty()) {
        character next = decode(text);
        bool blank = next.code == '\n' || next.code == '\t' || next.code == '\r';
        if (next.valid && blank) {
            cleaned += keep_lines && next.code != '\r' ? text[0] : ' ';
        } else if (!next.valid || in(unwanted, next.code)) {
            cleaned += replacement;
        } else {
            cleaned += text.substr(0, next.bytes);
        }
        text.remove_prefix(next.bytes);
    }
    return cleaned;
}

std::size_t display_width(std::string_view clean_text) {
    std::size_t width = 0;
    while (!clean_text.empty()) {
        character next = decode(clean_text);
        width += width_of(next.code);
        clean_text.remove_prefix(next.bytes);
    }
    return width;
}

std::string shortened(std::string_view clean_text, std::size_t width) {
    constexpr std::string_view gap = "...";
    std::size_t whole = display_width(clean_text);
    if (whole <= width) return std::string(clean_text);
    if (width <= gap.size()) return std::string(clean_text.substr(0, prefix_within(clean_text, width)));
    std::size_t head = (width - gap.size() + 1) / 2, tail = width - gap.size() - head;
    std::size_t cut = prefix_within(clean_text, whole - tail);
    // A wide character across the cut falls to the gap.
    if (display_width(clean_text.substr(cut)) > tail) cut += decode(clean_text.substr(cut)).bytes;
    return fmt::format("{}{}{}", clean_text.substr(0, prefix_within(clean_text, head)), gap, clean_text.substr(cut));
}

std::vector<std::string> wrapped(std::string_view clean_text, std::size_t width) {
    std::vector<std::string> lines;
    width = std::max<std::size_t>(width, 2);  // room for any one character
    while (display_width(clean_text) > width) {
        std::size_t end = prefix_within(clean_text, width);
        std::size_t space = clean_text.substr(0, end + 1).rfind(' ');
        if (space != std::string_view::npos && space > 0) end = space;
        lines.emplace_back(clean_text.substr(0, end));
        clean_text.remove_prefix(end);
        while (!clean_text.empty() && clean_text[0] == ' ') clean_text.remove_prefix(1);
    }
    if (!clean_text.empty() || lines.empty()) lines.emplace_back(clean_text);
    return lines;
}

std::string html_text(std::string_view text) {
    std::string escaped;
    for (char c : clean(text, true)) {
        switch (c) {
            case '&':
                escaped += "&amp;";
                break;
            case '<':
                escaped += "&lt;";
                break;
            case '>':
                escaped += "&gt;";
                break;
            case '"':
                escaped += "&quot;";
                break;
            case '\'':
                escaped += "&#39;";
                break;
            default:
                escaped += c;
        }
    }
    return escaped;
}

std::string markdown_text(std::string_view text) {
    std::string cleaned = clean(text), escaped;
    bool strikes = std::count(cleaned.begin(), cleaned.end(), '~') > 1;
    auto is_word = [&](std::size_t i) {
        return i < cleaned.size() && std::isalnum(static_cast<unsigned char>(cleaned[i]));
    };
    auto is_blank = [&](std::size_t i) { return i >= cleaned.size() || cleaned[i] == ' '; };
    for (std::size_t i = 0; i < cleaned.size(); ++i) {
        char c = cleaned[i], next = i + 1 < cleaned.size() ? cleaned[i + 1] : ' ';
        bool opens_tag = is_word(i + 1) || next == '/' || next == '!' || next == '?';
        // A sign is escaped only where it would mean something: the file is read as text, too.
        bool special = std::string_view("\\`[]|").find(c) != std::string_view::npos ||
                       (c == '_' && !(i > 0 && is_word(i - 1) && is_word(i + 1))) ||
                       (c == '*' && !(i > 0 && is_blank(i - 1) && is_blank(i + 1))) || (c == '~' && strikes) ||
                       (i == 0 && (c == '>' || (cleaned.size() > 1 && next == ' ' &&
                                                std::string_view("#+-").find(c) != std::string_view::npos)));
        if (c == '<' && opens_tag) {
            escaped += "&lt;";
        } else if (c == '&' && (is_word(i + 1) || next == '#')) {
            escaped += "&amp;";
        } else {
            if (special) escaped += '\\';
            escaped += c;
        }
    }
    return escaped;
}

std::string command_text(const std::vector<std::string>& command) {
    std::string text;
    for (const std::string& word : command) {
        if (!text.empty()) text += ' ';
        if (!word.empty() && std::all_of(word.begin(), word.end(), is_plain)) {
            text += word;
            continue;
        }
        text += '\'';
        for (char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
        text += '\'';
    }
    return text;
}

std::string number_text(double value, int decimals) {
    if (decimals >= 0) return fmt::format("{:.{}f}", value, decimals);
    double size = std::abs(value);
    if (size == 0) return "0";
    if (size < 1e-4 || size >= 1e7) return fmt::format("{:.1e}", value);
    int before_the_point = static_cast<int>(std::floor(std::log10(size))) + 1;
    return fmt::format("{:.{}f}", value, std::clamp(3 - before_the_point, 0, 5));
}

std::string ratio_number(double ratio) {
    if (ratio > 0 && (ratio < 0.001 || ratio >= 1e5)) return fmt::format("{:.1e}", ratio);
    return number_text(ratio, ratio < 0.1 && ratio > 0 ? 3 : ratio < 10 ? 2 : ratio < 100 ? 1 : 0);
}

std::string count_text(double value) {
    std::string digits = fmt::format("{:.0f}", std::abs(value)), text;
    for (std::size_t i = 0; i < digits.size(); ++i) {
        if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
        text += digits[i];
    }
    return value < 0 ? "-" + text : text;
}

std::string date_text(const std::string& iso) {
    bool usual = iso.size() == 20 && iso[10] == 'T' && iso[19] == 'Z';
    return usual ? fmt::format("{} {} UTC", iso.substr(0, 10), iso.substr(11, 5)) : iso;
}

std::string plural(std::size_t count, const std::string& noun) {
    return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

}  // namespace lanes::tool
