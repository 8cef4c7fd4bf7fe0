// Results as text.
#ifndef RINGPLANE_SERVICE_SHELL_PRINTER_H_
#define RINGPLANE_SERVICE_SHELL_PRINTER_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "cql/rows.h"

namespace shell {

enum class Format {
  kTable,  // As cqlsh: columns, values to the right, "(3 rows)" at the end.
  kCsv,    // RFC 4180: a line of names, then one a row.
  kJson,   // One object a row and line.
};
// "table", "csv" or "json", in any case.
std::optional<Format> ParseFormat(std::string_view name);
std::string_view FormatName(Format format);

// Of one statement's result, which comes in pages.
class Printer {
 public:
  static std::unique_ptr<Printer> Create(Format format);
  virtual ~Printer() = default;

  // Appends a page to `*out`. An error names the column whose value is broken.
  virtual absl::Status Page(const cql::Rows& page, std::string* out) = 0;
  // Appends what stands after the last page.
  virtual void End(std::string* /*out*/) {}
};

}  // namespace shell

#endif  // RINGPLANE_SERVICE_SHELL_PRINTER_H_
