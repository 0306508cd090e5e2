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

    // The work ahead, and about how long each of its runs takes. What remains is guessed from that and from how much
    // longer or shorter those took that are done.
    void expect(std::size_t runs, double seconds_each);

    // "96 rows, 4312 runs, about 1:50:00"
    std::string expected(std::size_t rows) const;

    void begin_row(const std::string& name, double seconds_each);
    void begin_round(const std::string& name);  // "warm-up", "round 2 of 7"
    void begin_run(const std::string& allocator);
    void end_runs(std::size_t count);
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
    std::size_t expected_ = 0, done_ = 0;              // runs
    double expected_s_ = 0, done_s_ = 0, each_s_ = 1;  // by what was said of them
    std::string row_, round_, allocator_;
};

}  // namespace lanes::compare
