#include "service/shell/shell.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <utility>

#include "cql/protocol/consistency.h"
#include "ioloop/timer.h"
#include "service/ingest/text.h"
#include "service/shell/statement_reader.h"

namespace shell {
namespace {

using ingest::Cat;
using ingest::View;

constexpr std::string_view kHelp =
    "Statements end with ';' and may take several lines. Besides CQL:\n"
    "  USE keyspace;                 names without a keyspace mean this one\n"
    "  CONSISTENCY [level]           of what follows\n"
    "  PAGING [OFF | rows]           rows per page\n"
    "  OUTPUT [TABLE | CSV | JSON]\n"
    "  TRACING [ON | OFF]            what the nodes did for each statement\n"
    "  HELP, EXIT\n";

// Standard output is for results; whoever reads it sees them at once.
void Write(FILE* file, std::string_view text) {
  fwrite(text.data(), 1, text.size(), file);
  fflush(file);
}

// The words of a shell command after the first.
std::string_view Argument(std::string_view statement) {
  const size_t space = statement.find_first_of(" \t\n");
  if (space == statement.npos) return {};
  statement.remove_prefix(space);
  const size_t begin = statement.find_first_not_of(" \t\n");
  return begin == statement.npos ? std::string_view() : statement.substr(begin);
}

// A name as it stands in CQL: in lower case, if it is not quoted.
std::string KeyspaceName(std::string_view text) {
  std::string name;
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
    text = text.substr(1, text.size() - 2);
    for (size_t i = 0; i < text.size(); ++i) {
      name += text[i];
      if (text[i] == '"' && i + 1 < text.size() && text[i + 1] == '"') ++i;
    }
    return name;
  }
  for (const char c : text) {
    name += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return name;
}

ioloop::Task<absl::StatusOr<cql::Rows>> Await(cql::Session* session,
                                              cql::RequestOptions options,
                                              std::string_view text) {
  cql::Query query = session->ExecuteText(options, text);
  absl::StatusOr<cql::Rows> rows = co_await query;
  co_return rows;
}

ioloop::Task<void> Pause(ioloop::Loop* loop) {
  co_await ioloop::SleepFor(loop, absl::Milliseconds(100));
}

// Reads one key without waiting for the end of a line.
char ReadKey(int terminal) {
  termios before = {};
  char key = 'q';
  if (tcgetattr(terminal, &before) != 0) return key;
  termios raw = before;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  tcsetattr(terminal, TCSANOW, &raw);
  ssize_t bytes;
  do {
    bytes = read(terminal, &key, 1);
  } while (bytes < 0 && errno == EINTR);
  tcsetattr(terminal, TCSANOW, &before);
  return bytes == 1 ? key : 'q';
}

}  // namespace

Shell::Shell(ioloop::Loop* loop, Options options)
    : loop_(loop), options_(std::move(options)) {}

Shell::~Shell() { Close(); }

void Shell::Close() {
  if (session_ == nullptr) return;
  loop_->RunUntilDone(session_->Close());
  session_ = nullptr;
}

absl::Status Shell::Connect() {
  absl::StatusOr<std::unique_ptr<cql::Session>> session =
      loop_->RunUntilDone(cql::Session::Connect(loop_, options_.session));
  if (!session.ok()) return session.status();
  Close();
  session_ = *std::move(session);
  return absl::OkStatus();
}

absl::Status Shell::RunText(std::string_view text) {
  StatementReader reader;
  reader.Append(text);
  std::optional<std::string> statement = reader.Next();
  for (; statement.has_value() && !ended_; statement = reader.Next()) {
    absl::Status status = RunStatement(*statement);
    if (!status.ok()) return status;
  }
  if (ended_) return absl::OkStatus();
  statement = reader.Finish();
  return statement.has_value() ? RunStatement(*statement) : absl::OkStatus();
}

absl::Status Shell::RunInput(int input) {
  input_ = input;
  StatementReader reader;
  bool at_end = false;
  while (!ended_ && !at_end) {
    Prompt(reader.mid_statement());
    absl::StatusOr<std::string> text = Read(input);
    if (!text.ok()) return text.status();
    at_end = text->empty();
    reader.Append(*text);
    std::optional<std::string> statement = reader.Next();
    while (!ended_) {
      if (!statement.has_value() && at_end) statement = reader.Finish();
      if (!statement.has_value()) break;
      absl::Status status = RunStatement(*statement);
      if (!status.ok()) {
        if (!options_.interactive) return status;
        Write(stderr, Cat(View(status.message()), "\n"));
      }
      statement = reader.Next();
    }
    if (reader.buffered_bytes() > options_.statement_bytes_max) {
      return absl::ResourceExhaustedError(Cat("a statement takes more than ",
                                              options_.statement_bytes_max,
                                              " bytes"));
    }
  }
  if (options_.interactive && !ended_) Write(stdout, "\n");
  return absl::OkStatus();
}

absl::StatusOr<std::string> Shell::Read(int input) {
  absl::StatusOr<int> loop_fd = loop_->fd();
  if (!loop_fd.ok()) return loop_fd.status();
  pollfd ready[] = {{input, POLLIN, 0}, {*loop_fd, POLLIN, 0}};
  for (;;) {
    const absl::Duration sleep = loop_->PrepareSleep();
    const int timeout_ms =
        sleep == absl::InfiniteDuration()
            ? -1
            : static_cast<int>(std::min<int64_t>(
                  absl::ToInt64Milliseconds(sleep + absl::Milliseconds(1)),
                  60'000));
    if (poll(ready, 2, timeout_ms) < 0 && errno != EINTR) {
      return absl::InternalError(Cat("poll: ", strerror(errno)));
    }
    absl::Status turned = loop_->RunOnce(absl::ZeroDuration());
    if (!turned.ok()) return turned;
    if (ready[0].revents == 0) continue;
    std::string text(65536, '\0');
    const ssize_t bytes = read(input, text.data(), text.size());
    if (bytes < 0 && errno != EINTR) {
      return absl::InternalError(
          Cat("the input cannot be read: ", strerror(errno)));
    }
    if (bytes < 0) continue;
    text.resize(static_cast<size_t>(bytes));
    return text;
  }
}

void Shell::Prompt(bool mid_statement) const {
  if (!options_.interactive) return;
  const std::string& keyspace = options_.session.keyspace;
  Write(stdout, mid_statement      ? "   ...> "
                : keyspace.empty() ? "cql> "
                                   : Cat("cql:", keyspace, "> "));
}

absl::Status Shell::RunStatement(const std::string& statement) {
  if (IsCommand(statement)) return RunCommand(statement);
  if (LeadingWords(statement, 1) == "USE") return Use(statement);
  return Query(statement);
}

absl::Status Shell::RunCommand(const std::string& statement) {
  const std::string name = LeadingWords(statement, 1);
  const std::string_view argument = Argument(statement);
  const auto refuse = [&](std::string_view what) {
    return absl::InvalidArgumentError(Cat(name, " ", argument, ": ", what));
  };
  if (name == "EXIT" || name == "QUIT") {
    ended_ = true;
  } else if (name == "HELP") {
    Write(stdout, kHelp);
  } else if (name == "CONSISTENCY") {
    if (!argument.empty()) {
      const auto level = cql::ParseConsistency(argument);
      if (!level.has_value()) return refuse("no such level");
      consistency_ = *level;
    }
    Write(stderr, Cat("consistency ",
                      cql::ConsistencyName(consistency_.value_or(
                          options_.session.read_consistency)),
                      "\n"));
  } else if (name == "PAGING") {
    if (LeadingWords(argument, 1) == "OFF") {
      options_.page_size = 0;
    } else if (!argument.empty()) {
      int32_t rows = 0;
      const char* end = argument.data() + argument.size();
      const std::from_chars_result read =
          std::from_chars(argument.data(), end, rows);
      if (read.ec != std::errc() || read.ptr != end || rows <= 0) {
        return refuse("neither OFF nor a number of rows");
      }
      options_.page_size = rows;
    }
    Write(stderr, options_.page_size == 0
                      ? std::string("paging is off\n")
                      : Cat("pages of ", options_.page_size, " rows\n"));
  } else if (name == "OUTPUT") {
    if (!argument.empty()) {
      const std::optional<Format> format = ParseFormat(argument);
      if (!format.has_value()) return refuse("neither table, csv nor json");
      options_.format = *format;
    }
    Write(stderr, Cat("output as ", FormatName(options_.format), "\n"));
  } else {
    const std::string word = LeadingWords(argument, 1);
    if (!argument.empty() && word != "ON" && word != "OFF") {
      return refuse("neither ON nor OFF");
    }
    if (!word.empty()) tracing_ = word == "ON";
    Write(stderr, tracing_ ? "tracing is on\n" : "tracing is off\n");
  }
  return absl::OkStatus();
}

absl::Status Shell::Use(std::string_view statement) {
  // Every connection is told, so they are made anew.
  std::string before = std::exchange(options_.session.keyspace,
                                     KeyspaceName(Argument(statement)));
  absl::Status status = Connect();
  if (!status.ok()) options_.session.keyspace = std::move(before);
  return status;
}

absl::StatusOr<cql::Rows> Shell::Ask(const cql::RequestOptions& options,
                                     std::string_view text) {
  return loop_->RunUntilDone(Await(session_.get(), options, text));
}

absl::Status Shell::Query(const std::string& statement) {
  const std::string verb = LeadingWords(statement, 1);
  cql::RequestOptions options;
  options.page_size = options_.page_size;
  options.consistency = consistency_;
  options.access = verb == "SELECT" ? cql::Access::kRead : cql::Access::kWrite;
  options.idempotent = verb == "SELECT";
  options.tracing = tracing_;
  const std::unique_ptr<Printer> printer = Printer::Create(options_.format);
  std::string paging_state;
  for (bool more = true; more;) {
    options.paging_state = paging_state;
    absl::StatusOr<cql::Rows> rows = Ask(options, statement);
    if (!rows.ok()) return rows.status();
    std::string text;
    absl::Status status = printer->Page(*rows, &text);
    more = rows->has_more_pages();
    if (!more) printer->End(&text);
    Write(stdout, text);
    for (const std::string& warning : rows->warnings()) {
      Write(stderr, Cat("warning: ", warning, "\n"));
    }
    if (status.ok() && rows->tracing_id().has_value()) {
      status = PrintTrace(*rows->tracing_id());
    }
    if (!status.ok()) return status;
    if (more && paging_state == rows->paging_state()) {
      return absl::DataLossError(
          Cat(statement, ": the server gives the same page again"));
    }
    paging_state.assign(rows->paging_state());
    more = more && WantsMore();
  }
  if (verb == "CREATE" || verb == "ALTER" || verb == "DROP") {
    return loop_->RunUntilDone(
        session_->AwaitSchemaAgreement(options_.agreement_timeout));
  }
  return absl::OkStatus();
}

absl::Status Shell::PrintTrace(const cql::Uuid& id) {
  const std::string where = Cat(" WHERE session_id = ", id.ToString());
  cql::RequestOptions options;
  options.consistency = cql::Consistency::kOne;
  options.page_size = 0;
  options.idempotent = true;
  // The session is written last; its duration says that all is there.
  const std::string session =
      Cat("SELECT duration FROM system_traces.sessions", where);
  const absl::Time deadline = loop_->now() + options_.trace_timeout;
  for (;;) {
    absl::StatusOr<cql::Rows> rows = Ask(options, session);
    if (!rows.ok()) return rows.status();
    std::optional<int32_t> duration_us;
    absl::StatusOr<bool> found = rows->ReadFirst(&duration_us);
    if (!found.ok()) return found.status();
    if (duration_us.has_value()) {
      Write(stderr,
            Cat("\ntrace ", id.ToString(), ", ", *duration_us, " us\n"));
      break;
    }
    if (loop_->now() >= deadline) {
      Write(stderr, Cat("\ntrace ", id.ToString(), ", not yet whole\n"));
      break;
    }
    loop_->RunUntilDone(Pause(loop_));
  }
  absl::StatusOr<cql::Rows> events =
      Ask(options, Cat("SELECT source, source_elapsed, activity FROM "
                       "system_traces.events",
                       where));
  if (!events.ok()) return events.status();
  std::string text;
  absl::Status status = Printer::Create(Format::kTable)->Page(*events, &text);
  Write(stderr, text);
  return status;
}

bool Shell::WantsMore() {
  if (!options_.interactive) return true;
  Write(stdout, "---MORE--- (q to stop)");
  const char key = ReadKey(input_);
  Write(stdout, "\r                      \r");
  return key != 'q' && key != 'Q';
}

}  // namespace shell
