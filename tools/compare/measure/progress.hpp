// What is being measured and how long it will take, on stderr.
#pragma once

#include <chrono>
#include <string>

namespace lanes::compare {

// On a terminal one line that is rewritten, else a line for each round.
class progress {
  public:
    explicit progress(bool quiet);
    ~progress();
    progress(const progress&) = delete;
    progress& operator=(const progress&) = delete;

    // The work ahead, in runs; what remains is guessed from the time that those done have taken.
    void expect(std::size_t runs) { expected_ += runs; }

    void begin_row(const std::string& name) { row_ = name; }
    void begin_round(const std::string& name);  // "warm-up", "round 2 of 7"
    void begin_run(const std::string& allocator);
    void end_runs(std::size_t count) { done_ += count; }
    void tick();  // the clock goes on
    // A line that stays.
    void say(const std::string& text);

  private:
    std::string rest() const;
    std::string clock() const;
    void rewrite(const std::string& text) const;

    using steady = std::chrono::steady_clock;
    bool quiet_, terminal_;
    steady::time_point started_ = steady::now();
    std::size_t expected_ = 0, done_ = 0;
    std::string row_, round_, allocator_;
};

}  // namespace lanes::compare
