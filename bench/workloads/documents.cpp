// A document store in C++ containers: records are built member by member, copied, merged with one another, and written
// out; a value is a variant of text, number, list and map.
#include <cstddef>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "workload.hpp"

using namespace workload;

namespace {

struct value;
using list = std::vector<value>;
using object = std::map<std::string, value>;

struct value {
    std::variant<std::nullptr_t, u64, std::string, list, object> held;
};

std::string text(random_numbers& numbers, u64 least, u64 most) {
    return std::string(numbers.between(least, most), static_cast<char>('a' + numbers.below(26)));
}

value made_record(random_numbers& numbers, u64 depth) {
    object record;
    record["identifier"].held = numbers.next();
    record["name"].held = text(numbers, 4, 30);
    record["description"].held = text(numbers, 20, 200);
    list tags;
    for (u64 i = numbers.below(6); i > 0; i--) tags.push_back({text(numbers, 3, 24)});
    record["tags"].held = std::move(tags);
    if (depth > 0) {
        list parts;
        for (u64 i = numbers.between(1, 4); i > 0; i--) parts.push_back(made_record(numbers, depth - 1));
        record["parts"].held = std::move(parts);
    }
    return {std::move(record)};
}

void merge(value& into, const value& from) {
    if (auto* to = std::get_if<object>(&into.held); to != nullptr && std::holds_alternative<object>(from.held)) {
        for (const auto& [name, member] : std::get<object>(from.held)) merge((*to)[name], member);
    } else if (auto* items = std::get_if<list>(&into.held);
               items != nullptr && items->size() < 6 && std::holds_alternative<list>(from.held)) {
        const list& added = std::get<list>(from.held);
        items->insert(items->end(), added.begin(), added.end());
    } else {
        into = from;
    }
}

void write(std::string& out, const value& from) {
    if (const auto* number = std::get_if<u64>(&from.held)) {
        out += std::to_string(*number);
    } else if (const auto* string = std::get_if<std::string>(&from.held)) {
        out.append("\"").append(*string).append("\"");
    } else if (const auto* items = std::get_if<list>(&from.held)) {
        out += '[';
        for (const value& item : *items) {
            write(out, item);
            out += ',';
        }
        out += ']';
    } else if (const auto* members = std::get_if<object>(&from.held)) {
        out += '{';
        for (const auto& [name, member] : *members) {
            out.append("\"").append(name).append("\":");
            write(out, member);
            out += ',';
        }
        out += '}';
    }
}

}  // namespace

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 steps = given.get("operations", 20000);
    const u64 stored = given.get("documents", 400);
    random_numbers numbers(61);
    std::deque<value> store;
    u64 sum = 0;
    for (u64 i = 0; i < steps; i++) {
        store.push_back(made_record(numbers, 2));
        if (i % 4 == 0) {
            value copy = store[numbers.below(store.size())];
            merge(copy, store[numbers.below(store.size())]);
            std::string out;
            write(out, copy);
            sum += out.size();
            store[numbers.below(store.size())] = std::move(copy);
        }
        while (store.size() > stored) store.pop_front();
    }
    for (const value& left : store) {
        std::string out;
        write(out, left);
        sum += out.size();
    }
    report(steps, sum);
}
