// A small compiler: source text becomes tokens, a syntax tree, a simplified copy of it, and at last lines of code.
// Tokens and names are strings; every pass makes new nodes and drops the old ones.
#include <cctype>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "workload.hpp"

using namespace workload;

namespace {

struct expression {
    enum class kind { number, name, call, sum, product } what = kind::number;
    u64 number = 0;
    std::string name;
    std::vector<std::unique_ptr<expression>> operands;
};
using tree = std::unique_ptr<expression>;
using kind = expression::kind;

tree make(kind what) {
    auto made = std::make_unique<expression>();
    made->what = what;
    return made;
}

std::vector<std::string> tokens_of(const std::string& text) {
    std::vector<std::string> tokens;
    for (std::size_t at = 0; at < text.size();) {
        std::size_t end = at + 1;
        auto is_word = [&](std::size_t i) {
            return std::isalnum(static_cast<unsigned char>(text[i])) || text[i] == '_';
        };
        if (is_word(at)) {
            while (end < text.size() && is_word(end)) end++;
        }
        if (text[at] != ' ') tokens.push_back(text.substr(at, end - at));
        at = end;
    }
    return tokens;
}

class parser {
  public:
    explicit parser(const std::vector<std::string>& tokens) : tokens_(tokens) {}

    tree sum() {
        return chain(kind::sum, "+", [this] { return product(); });
    }

  private:
    tree product() {
        return chain(kind::product, "*", [this] { return primary(); });
    }

    template <class Next>
    tree chain(kind what, const char* separator, Next next) {
        tree first = next();
        if (!at(separator)) return first;
        tree made = make(what);
        made->operands.push_back(std::move(first));
        while (take(separator)) made->operands.push_back(next());
        return made;
    }

    tree primary() {
        if (take("(")) {
            tree inner = sum();
            take(")");
            return inner;
        }
        const std::string& token = tokens_[next_++];
        if (std::isdigit(static_cast<unsigned char>(token[0]))) {
            tree made = make(kind::number);
            made->number = std::stoull(token);
            return made;
        }
        tree made = make(at("(") ? kind::call : kind::name);
        made->name = token;
        if (take("(")) {
            do made->operands.push_back(sum());
            while (take(","));
            take(")");
        }
        return made;
    }

    bool at(const char* text) const { return next_ < tokens_.size() && tokens_[next_] == text; }
    bool take(const char* text) {
        if (!at(text)) return false;
        next_++;
        return true;
    }

    const std::vector<std::string>& tokens_;
    std::size_t next_ = 0;
};

// A new tree in which what is known is computed.
tree simplified(const expression& old, const std::unordered_map<std::string, u64>& known) {
    tree made = make(old.what);
    made->name = old.name;
    made->number = old.number;
    if (old.what == kind::name) {
        auto found = known.find(old.name);
        if (found == known.end()) return made;
        made->what = kind::number;
        made->number = found->second;
        return made;
    }
    u64 folded = old.what == kind::product ? 1 : 0;
    bool any = false;
    for (const tree& operand : old.operands) {
        tree simple = simplified(*operand, known);
        if (simple->what == kind::number && old.what != kind::call) {
            folded = old.what == kind::product ? folded * simple->number : folded + simple->number;
            any = true;
        } else {
            made->operands.push_back(std::move(simple));
        }
    }
    if (!any) return made;
    tree constant = make(kind::number);
    constant->number = folded;
    if (made->operands.empty()) return constant;
    made->operands.push_back(std::move(constant));
    return made;
}

// Appends what stands for `from` to `out`, after the lines that compute it to `lines`.
void emit(std::string& out, const expression& from, std::vector<std::string>& lines) {
    if (from.what == kind::number) {
        out.append("#").append(std::to_string(from.number));
        return;
    }
    if (from.what == kind::name) {
        out.append("[").append(from.name).append("]");
        return;
    }
    std::string line = from.what == kind::call ? "call " : from.what == kind::sum ? "add" : "mul";
    line += from.name;
    for (const tree& operand : from.operands) {
        line += ' ';
        emit(line, *operand, lines);
    }
    std::string target = "t";
    target += std::to_string(lines.size());
    lines.push_back(target + " = " + line);
    out += target;
}

void write_expression(std::string& out, random_numbers& numbers, u64 depth) {
    u64 form = depth == 0 ? numbers.below(2) : numbers.below(5);
    if (form == 0) {
        out += std::to_string(numbers.below(1000));
    } else if (form == 1) {
        out.append("variable_").append(std::to_string(numbers.below(200)));
    } else {
        if (form == 2) out.append("compute_").append(std::to_string(numbers.below(50)));
        out += '(';
        u64 operands = numbers.between(2, 4);
        for (u64 i = 0; i < operands; i++) {
            if (i > 0) out += form == 2 ? ", " : form == 3 ? " + " : " * ";
            write_expression(out, numbers, depth - 1);
        }
        out += ')';
    }
}

}  // namespace

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 rounds = given.get("operations", 10);
    const u64 functions = given.get("functions", 400);
    random_numbers numbers(59);
    std::vector<std::string> source(functions);
    for (std::string& function : source) write_expression(function, numbers, 7);
    u64 sum = 0;
    for (u64 round = 0; round < rounds; round++) {
        std::unordered_map<std::string, u64> known;
        for (u64 i = round % 3; i < 200; i += 3) known["variable_" + std::to_string(i)] = i;
        std::vector<tree> module;
        for (const std::string& function : source) {
            std::vector<std::string> tokens = tokens_of(function);
            module.push_back(parser(tokens).sum());
        }
        for (tree& function : module) function = simplified(*function, known);
        std::vector<std::string> lines;
        std::string results;
        for (const tree& function : module) emit(results, *function, lines);
        sum += results.size();
        for (const std::string& line : lines) sum += line.size();
    }
    report(rounds * functions, sum);
}
