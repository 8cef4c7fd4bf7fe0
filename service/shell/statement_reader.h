// Cuts what a person or a script writes into CQL statements, and commands of
// the shell.
#ifndef RINGPLANE_SERVICE_SHELL_STATEMENT_READER_H_
#define RINGPLANE_SERVICE_SHELL_STATEMENT_READER_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace shell {

// A statement ends at a ';' that is in no string, quoted name or comment, and
// in no batch (BEGIN ... APPLY BATCH). A command of the shell (IsCommand())
// ends with its line too.
//
//   reader.Append(line);
//   while (auto statement = reader.Next()) ...
class StatementReader {
 public:
  void Append(std::string_view text) { text_ += text; }

  // The next whole statement, without its ';' and the space around it; never
  // empty. Nothing: more text is needed.
  std::optional<std::string> Next();

  // What is left at the end of the input: a last statement without its ';', or
  // nothing.
  std::optional<std::string> Finish();

  // A statement has begun.
  bool mid_statement() const;
  size_t buffered_bytes() const { return text_.size(); }

 private:
  // Where the statement at the front ends; nothing if it is not whole.
  std::optional<size_t> FindEnd() const;

  std::string text_;
};

// The words of `text` up to `most`, in upper case, comments left out.
std::string LeadingWords(std::string_view text, size_t most);

// Whether the first word is a command of the shell: TRACING, PAGING,
// CONSISTENCY, OUTPUT, HELP, EXIT, QUIT.
bool IsCommand(std::string_view text);

}  // namespace shell

#endif  // RINGPLANE_SERVICE_SHELL_STATEMENT_READER_H_
