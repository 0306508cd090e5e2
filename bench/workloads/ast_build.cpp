// A JSON document parsed into a tree of small nodes, changed, written out again and dropped.
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "workload.hpp"

using namespace workload;

namespace {

struct value;
using value_pointer = std::unique_ptr<value>;

struct value {
    virtual ~value() = default;
    virtual void write(std::string& out) const = 0;
};

struct number_value final : value {
    long long n = 0;
    void write(std::string& out) const override { out += std::to_string(n); }
};

struct string_value final : value {
    std::string text;
    void write(std::string& out) const override { out.append("\"").append(text).append("\""); }
};

struct array_value final : value {
    std::vector<value_pointer> items;
    void write(std::string& out) const override {
        out += '[';
        for (std::size_t i = 0; i < items.size(); i++) {
            if (i > 0) out += ',';
            items[i]->write(out);
        }
        out += ']';
    }
};

struct object_value final : value {
    std::map<std::string, value_pointer> members;
    void write(std::string& out) const override {
        out += '{';
        for (const auto& [name, member] : members) {
            if (out.back() != '{') out += ',';
            out.append("\"").append(name).append("\":");
            member->write(out);
        }
        out += '}';
    }
};

class parser {
  public:
    explicit parser(std::string_view text) : rest_(text) {}

    value_pointer parse() {
        if (take('{')) {
            auto made = std::make_unique<object_value>();
            while (!take('}')) {
                std::string name = parse_string();
                take(':');
                made->members[std::move(name)] = parse();
                take(',');
            }
            return made;
        }
        if (take('[')) {
            auto made = std::make_unique<array_value>();
            while (!take(']')) {
                made->items.push_back(parse());
                take(',');
            }
            return made;
        }
        if (rest_.front() == '"') {
            auto made = std::make_unique<string_value>();
            made->text = parse_string();
            return made;
        }
        auto made = std::make_unique<number_value>();
        while (!rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9') {
            made->n = made->n * 10 + (rest_.front() - '0');
            rest_.remove_prefix(1);
        }
        return made;
    }

  private:
    bool take(char wanted) {
        if (rest_.empty() || rest_.front() != wanted) return false;
        rest_.remove_prefix(1);
        return true;
    }

    std::string parse_string() {
        take('"');
        std::size_t end = rest_.find('"');
        std::string text(rest_.substr(0, end));
        rest_.remove_prefix(end + 1);
        return text;
    }

    std::string_view rest_;
};

void generate(std::string& out, random_numbers& numbers, u64 depth) {
    u64 kind = depth == 0 ? 2 + numbers.below(2) : numbers.below(4);
    if (kind == 0) {
        out += '{';
        u64 members = numbers.between(1, 6);
        for (u64 i = 0; i < members; i++) {
            if (i > 0) out += ',';
            out.append("\"key_").append(std::to_string(numbers.below(1000))).append("\":");
            generate(out, numbers, depth - 1);
        }
        out += '}';
    } else if (kind == 1) {
        out += '[';
        u64 items = numbers.between(1, 8);
        for (u64 i = 0; i < items; i++) {
            if (i > 0) out += ',';
            generate(out, numbers, depth - 1);
        }
        out += ']';
    } else if (kind == 2) {
        out += std::to_string(numbers.below(1000000));
    } else {
        out.append("\"").append(numbers.between(1, 40), 's').append("\"");
    }
}

}  // namespace

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 rounds = given.get("operations", 25);
    const u64 documents = given.get("documents", 1000);
    std::string text = "[";
    random_numbers numbers(11);
    for (u64 i = 0; i < documents; i++) {
        if (i > 0) text += ',';
        text.append("{\"id\":").append(std::to_string(i)).append(",\"body\":");
        generate(text, numbers, 6);
        text += '}';
    }
    text += ']';
    u64 sum = 0;
    for (u64 round = 0; round < rounds; round++) {
        value_pointer tree = parser(text).parse();
        auto& list = static_cast<array_value&>(*tree);
        for (std::size_t i = round % 7; i < list.items.size(); i += 7) list.items[i] = std::make_unique<number_value>();
        std::string written;
        tree->write(written);
        sum += written.size();
    }
    report(rounds * documents, sum);
}
