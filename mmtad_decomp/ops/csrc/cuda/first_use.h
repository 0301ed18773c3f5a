// A check on the first use of something on a device. No torch, for the emulation's tests.
#pragma once

#include <exception>
#include <map>
#include <mutex>
#include <string>

namespace mmtad {
namespace cuda {

class FirstUse {
 public:
  // Whether the device passed check(), which runs once for each. It returns what is wrong, or an empty
  // string, or throws; warn(problem) then tells the user. Without `may_check`, an unchecked device fails.
  template <typename Check, typename Warn>
  bool passed(int device, bool may_check, Check check, Warn warn) {
    const std::lock_guard<std::mutex> guard(mutex_);
    const auto found = passed_.find(device);
    if (found != passed_.end()) return found->second;
    if (!may_check) return false;
    std::string problem;
    try {
      problem = check();
    } catch (const std::exception& error) {
      const std::string message = error.what();
      problem = "they fail: " + message.substr(0, message.find('\n'));
    }
    passed_[device] = problem.empty();
    if (!problem.empty()) warn(problem);
    return problem.empty();
  }

 private:
  std::mutex mutex_;
  std::map<int, bool> passed_;
};

}  // namespace cuda
}  // namespace mmtad
