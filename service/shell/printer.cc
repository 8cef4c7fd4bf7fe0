#include "service/shell/printer.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "service/ingest/text.h"
#include "service/shell/value_text.h"

namespace shell {
namespace {

using ingest::Append;

constexpr std::string_view kNames[] = {"table", "csv", "json"};

absl::Status AppendCell(const cql::Row& row, size_t column, Style style,
                        std::string* out) {
  absl::Status status =
      AppendValue(row.spec(column).type, row.cell(column), style, out);
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      ingest::Cat("column ", row.spec(column).name, ": ",
                                  ingest::View(status.message())));
}

// Characters, not bytes: what a terminal shows of UTF-8 without wide or
// combining characters.
size_t Width(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(),
      [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; }));
}

class TablePrinter final : public Printer {
 public:
  absl::Status Page(const cql::Rows& page, std::string* out) override {
    if (page.columns().empty()) return absl::OkStatus();
    any_ = true;
    const size_t columns = page.columns().size();
    std::vector<size_t> widths(columns);
    for (size_t i = 0; i < columns; ++i) {
      widths[i] = Width(page.columns()[i].name);
    }
    std::vector<std::string> cells;
    cells.reserve(page.size() * columns);
    for (const cql::Row& row : page) {
      for (size_t i = 0; i < columns; ++i) {
        std::string* cell = &cells.emplace_back();
        absl::Status status = AppendCell(row, i, Style::kTable, cell);
        if (!status.ok()) return status;
        widths[i] = std::max(widths[i], Width(*cell));
      }
    }
    rows_ += page.size();

    *out += '\n';
    std::string line;
    for (size_t i = 0; i < columns; ++i) {
      const std::string& name = page.columns()[i].name;
      Append(&line, i == 0 ? " " : " | ", name,
             std::string(widths[i] - Width(name), ' '));
    }
    line.erase(line.find_last_not_of(' ') + 1);
    Append(out, line, "\n");
    for (size_t i = 0; i < columns; ++i) {
      Append(out, i == 0 ? "" : "+", std::string(widths[i] + 2, '-'));
    }
    *out += '\n';
    for (size_t at = 0; at < cells.size(); at += columns) {
      for (size_t i = 0; i < columns; ++i) {
        const std::string& cell = cells[at + i];
        Append(out, i == 0 ? " " : " | ",
               std::string(widths[i] - Width(cell), ' '), cell);
      }
      *out += '\n';
    }
    return absl::OkStatus();
  }

  void End(std::string* out) override {
    if (any_) Append(out, "\n(", rows_, rows_ == 1 ? " row)\n" : " rows)\n");
  }

 private:
  bool any_ = false;
  size_t rows_ = 0;
};

class CsvPrinter final : public Printer {
 public:
  absl::Status Page(const cql::Rows& page, std::string* out) override {
    const size_t columns = page.columns().size();
    if (columns == 0) return absl::OkStatus();
    if (!named_) {
      named_ = true;
      for (size_t i = 0; i < columns; ++i) {
        AppendField(page.columns()[i].name, i, out);
      }
      *out += '\n';
    }
    std::string field;
    for (const cql::Row& row : page) {
      for (size_t i = 0; i < columns; ++i) {
        field.clear();
        absl::Status status = AppendCell(row, i, Style::kCsv, &field);
        if (!status.ok()) return status;
        AppendField(field, i, out);
      }
      *out += '\n';
    }
    return absl::OkStatus();
  }

 private:
  static void AppendField(std::string_view field, size_t index,
                          std::string* out) {
    if (index > 0) *out += ',';
    if (field.find_first_of(",\"\r\n") == field.npos) {
      *out += field;
      return;
    }
    *out += '"';
    for (const char c : field) {
      if (c == '"') *out += '"';
      *out += c;
    }
    *out += '"';
  }

  bool named_ = false;
};

class JsonPrinter final : public Printer {
 public:
  absl::Status Page(const cql::Rows& page, std::string* out) override {
    for (const cql::Row& row : page) {
      for (size_t i = 0; i < row.size(); ++i) {
        *out += i == 0 ? "{" : ", ";
        AppendJsonString(row.spec(i).name, out);
        *out += ": ";
        absl::Status status = AppendCell(row, i, Style::kJson, out);
        if (!status.ok()) return status;
      }
      *out += "}\n";
    }
    return absl::OkStatus();
  }
};

}  // namespace

std::optional<Format> ParseFormat(std::string_view name) {
  std::string lower(name);
  for (char& c : lower) {
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  for (const Format format : {Format::kTable, Format::kCsv, Format::kJson}) {
    if (lower == FormatName(format)) return format;
  }
  return std::nullopt;
}

std::string_view FormatName(Format format) {
  return kNames[static_cast<size_t>(format)];
}

std::unique_ptr<Printer> Printer::Create(Format format) {
  switch (format) {
    case Format::kTable:
      return std::make_unique<TablePrinter>();
    case Format::kCsv:
      return std::make_unique<CsvPrinter>();
    case Format::kJson:
      return std::make_unique<JsonPrinter>();
  }
  return nullptr;
}

}  // namespace shell
