#include "cql/statement.h"

#include "absl/strings/ascii.h"
#include "cql/internal/node_statement.h"
#include "cql/internal/speculation.h"
#include "cql/internal/status_util.h"
#include "cql/internal/using_timeout.h"

namespace cql {
namespace {

// Whether a SELECT names its columns by `*`. `count(*)` does not.
bool SelectsStar(std::string_view text) {
  char previous = 0;
  char quote = 0;
  for (char c : text) {
    if (quote != 0) {
      if (c == quote) quote = 0;
      continue;
    }
    if (c == '\'' || c == '"') quote = c;
    if (c == '*' && previous != '(') return true;
    if (!absl::ascii_isspace(static_cast<unsigned char>(c))) previous = c;
  }
  return false;
}

}  // namespace

PreparedStatement::PreparedStatement(std::string text,
                                     const StatementOptions& options)
    : text_(std::move(text)),
      options_(options),
      selects_star_(SelectsStar(text_)) {
  if (options_.server_timeout) {
    if (auto with_timeout = internal::WithTimeoutMarker(text_)) {
      timeout_text_ =
          std::make_unique<internal::TimeoutText>(*std::move(with_timeout));
    }
  }
  special_ = options_.coalesce || options_.speculation.extra_max > 0;
  if (options_.speculation.extra_max > 0) {
    speculation_ =
        std::make_unique<internal::Speculation>(options_.speculation);
  }
}

PreparedStatement::~PreparedStatement() = default;

void Batch::Added(const PreparedStatement& statement, size_t begin,
                  size_t count, absl::Status status) {
  if (status.ok() && entries_.size() == kStatementsMax) {
    status = absl::InvalidArgumentError(
        internal::Cat("a batch holds at most ", kStatementsMax, " statements"));
  }
  if (status.ok() && statement.options().server_timeout) {
    status = absl::InvalidArgumentError(
        "a statement with server_timeout does not go into a batch");
  }
  if (status.ok() && bytes_.size() > kBytesMax) {
    status = absl::InvalidArgumentError(internal::Cat(
        "the values of a batch take at most ", kBytesMax, " bytes"));
  }
  if (!status.ok()) {
    bytes_.resize(begin);
    if (status_.ok()) {
      status_ = internal::Annotate(
          internal::Cat("statement ", entries_.size(), " of the batch, ",
                        internal::Shorten(statement.text())),
          status);
    }
    return;
  }
  entries_.push_back({&statement, static_cast<uint32_t>(bytes_.size() - begin),
                      static_cast<uint16_t>(count)});
}

void Batch::Clear() {
  status_ = absl::OkStatus();
  entries_.clear();
  bytes_.clear();
}

}  // namespace cql
