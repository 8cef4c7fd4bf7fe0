// A small CQL shell: runs statements one after the other and prints what they
// give.
#ifndef RINGPLANE_SERVICE_SHELL_SHELL_H_
#define RINGPLANE_SERVICE_SHELL_SHELL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cql/session.h"
#include "ioloop/loop.h"
#include "ioloop/task.h"
#include "service/shell/printer.h"

namespace shell {

struct Options {
  cql::SessionOptions session;
  Format format = Format::kTable;
  // Rows per page; 0: everything in one answer.
  int32_t page_size = 100;
  // Somebody types: prompts, stops after each page, goes on after errors.
  bool interactive = false;
  // Longest statement that is waited for the end of.
  size_t statement_bytes_max = 16 << 20;
  // How long a server has to write down the trace of a statement, which it does
  // after it has answered.
  absl::Duration trace_timeout = absl::Seconds(3);
  // How long nodes have to agree on a changed schema.
  absl::Duration agreement_timeout = absl::Seconds(30);
};

// Belongs to the thread of its loop, which runs only inside of its calls.
// Results go to standard output, what else is to be said to standard error.
class Shell {
 public:
  Shell(ioloop::Loop* loop, Options options);
  ~Shell();  // Closes the session.
  Shell(const Shell&) = delete;
  Shell& operator=(const Shell&) = delete;

  // Errors: those of Session::Connect().
  absl::Status Connect();

  // Runs the statements of `text`, up to the first that fails; that error names
  // the statement and the node.
  absl::Status RunText(std::string_view text);

  // Runs what `input` gives until its end or EXIT. Interactive, errors are
  // printed, and OK is returned.
  absl::Status RunInput(int input);

 private:
  absl::Status RunStatement(const std::string& statement);
  absl::Status RunCommand(const std::string& statement);
  absl::Status Use(std::string_view statement);
  absl::Status Query(const std::string& statement);
  absl::StatusOr<cql::Rows> Ask(const cql::RequestOptions& options,
                                std::string_view text);
  // Prints what a server wrote of a request, to standard error.
  absl::Status PrintTrace(const cql::Uuid& id);
  // Whether the next page is wanted.
  bool WantsMore();
  // More of the input, "" at its end. The loop runs meanwhile.
  absl::StatusOr<std::string> Read(int input);
  void Prompt(bool mid_statement) const;
  void Close();

  ioloop::Loop* const loop_;
  Options options_;
  std::unique_ptr<cql::Session> session_;
  std::optional<cql::Consistency> consistency_;
  bool tracing_ = false;
  int input_ = -1;
  bool ended_ = false;  // By EXIT.
};

}  // namespace shell

#endif  // RINGPLANE_SERVICE_SHELL_SHELL_H_
