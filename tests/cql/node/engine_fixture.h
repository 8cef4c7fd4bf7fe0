// An engine in a folder of its own, driven with CQL text; rows are compared as
// text.
#ifndef RINGPLANE_TESTS_CQL_NODE_ENGINE_FIXTURE_H_
#define RINGPLANE_TESTS_CQL_NODE_ENGINE_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cql/node/engine.h"
#include "cql/node/error.h"
#include "cql/node/internal/bignum.h"
#include "cql/node/internal/bytes.h"

namespace cql::node {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    char path[] = "/tmp/ringplane_node_XXXXXX";
    path_ = mkdtemp(path);
  }
  ~TemporaryFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline std::string BigInt(int64_t value) {
  std::string bytes;
  AppendBig(value, &bytes);
  return bytes;
}
inline std::string Int(int32_t value) {
  std::string bytes;
  AppendBig(value, &bytes);
  return bytes;
}
// A list or set of values.
inline std::string Collection(const std::vector<std::string>& values) {
  std::string bytes;
  AppendBig(static_cast<int32_t>(values.size()), &bytes);
  for (const std::string& value : values) AppendBytes(value, &bytes);
  return bytes;
}
inline std::string Tuple(const std::vector<std::string>& values) {
  std::string bytes;
  for (const std::string& value : values) AppendBytes(value, &bytes);
  return bytes;
}

// A value as a test writes it: 1, 'text' without quotes, [a b], {k:v}, null.
inline std::string ShowValue(const protocol::ColumnType& type,
                             std::string_view bytes) {
  using protocol::TypeId;
  switch (type.id) {
    case TypeId::kBigint:
    case TypeId::kCounter:
    case TypeId::kTimestamp:
    case TypeId::kTime:
      return std::to_string(LoadBig<int64_t>(bytes.data()));
    case TypeId::kInt:
      return std::to_string(LoadBig<int32_t>(bytes.data()));
    case TypeId::kSmallint:
      return std::to_string(LoadBig<int16_t>(bytes.data()));
    case TypeId::kTinyint:
      return std::to_string(LoadBig<int8_t>(bytes.data()));
    case TypeId::kDate:
      return std::to_string(LoadBig<uint32_t>(bytes.data()));
    case TypeId::kBoolean:
      return bytes[0] != 0 ? "true" : "false";
    case TypeId::kDouble: {
      const auto value = std::bit_cast<double>(LoadBig<uint64_t>(bytes.data()));
      char text[32];
      std::snprintf(text, sizeof(text), "%g", value);
      return text;
    }
    case TypeId::kFloat: {
      const auto value = std::bit_cast<float>(LoadBig<uint32_t>(bytes.data()));
      char text[32];
      std::snprintf(text, sizeof(text), "%g", static_cast<double>(value));
      return text;
    }
    case TypeId::kVarint:
      return DecimalFromTwosComplement(bytes);
    case TypeId::kDecimal:
      return DecimalFromTwosComplement(bytes.substr(4)) + "e-" +
             std::to_string(LoadBig<int32_t>(bytes.data()));
    case TypeId::kText:
    case TypeId::kAscii:
      return std::string(bytes);
    case TypeId::kList:
    case TypeId::kSet:
    case TypeId::kMap: {
      ByteReader reader(bytes);
      int32_t count = 0;
      reader.Read(&count);
      const bool map = type.id == TypeId::kMap;
      std::string text = type.id == TypeId::kList ? "[" : "{";
      for (int32_t i = 0; i < count; ++i) {
        std::string_view part;
        bool is_null;
        if (i > 0) text += " ";
        reader.ReadBytes(&part, &is_null);
        text += ShowValue(type.parameters[0], part);
        if (!map) continue;
        reader.ReadBytes(&part, &is_null);
        text += ":" + ShowValue(type.parameters[1], part);
      }
      return text + (type.id == TypeId::kList ? "]" : "}");
    }
    case TypeId::kTuple:
    case TypeId::kUdt: {
      ByteReader reader(bytes);
      std::string text = "(";
      for (size_t i = 0; i < type.parameters.size(); ++i) {
        std::string_view part;
        bool is_null = true;
        if (!reader.ReadBytes(&part, &is_null)) is_null = true;
        if (i > 0) text += " ";
        text += is_null ? "null" : ShowValue(type.parameters[i], part);
      }
      return text + ")";
    }
    default: {
      std::string text = "0x";
      for (char c : bytes) {
        char digits[3];
        std::snprintf(digits, sizeof(digits), "%02x",
                      static_cast<unsigned>(static_cast<uint8_t>(c)));
        text += digits;
      }
      return text;
    }
  }
}

// "1,a|2,b": rows by |, columns by commas.
inline std::string ShowRows(const Result& result) {
  std::string text;
  ByteReader reader(result.rows);
  for (uint32_t row = 0; row < result.row_count; ++row) {
    if (row > 0) text += "|";
    for (size_t i = 0; i < result.columns->size(); ++i) {
      std::string_view cell;
      bool is_null = true;
      EXPECT_TRUE(reader.ReadBytes(&cell, &is_null));
      if (i > 0) text += ",";
      text += is_null ? "null" : ShowValue((*result.columns)[i].type, cell);
    }
  }
  EXPECT_TRUE(reader.empty());
  return text;
}

class EngineFixture : public ::testing::Test {
 protected:
  EngineFixture() { Reopen(); }

  // A day in 2026; tests move it.
  int64_t now_us_ = int64_t{1790000000} * 1000000;

  void Reopen(const Limits& limits = {}) {
    engine_.reset();
    EngineOptions options;
    options.data_dir = folder_.path();
    options.limits = limits;
    options.sync = SyncMode::kProcess;
    absl::StatusOr<std::unique_ptr<Engine>> opened = Engine::Open(options);
    ASSERT_TRUE(opened.ok()) << opened.status();
    engine_ = *std::move(opened);
  }

  // The usual keyspace.
  void CreateKeyspace() {
    Run("CREATE KEYSPACE IF NOT EXISTS ks WITH replication = "
        "{'class': 'SimpleStrategy', 'replication_factor': 1}");
  }

  absl::Status TryBind(std::string_view text,
                       const std::vector<std::optional<std::string>>& values,
                       ExecuteOptions options = {}) {
    std::vector<Value> bound;
    for (const auto& value : values) {
      bound.push_back(value.has_value() ? Value::Bytes(*value) : Value::Null());
    }
    return TryValues(text, bound, options);
  }
  absl::Status TryValues(std::string_view text,
                         const std::vector<Value>& values,
                         ExecuteOptions options = {}) {
    if (options.now_us == 0) options.now_us = now_us_;
    absl::StatusOr<std::shared_ptr<const Statement>> statement =
        engine_->Prepare(text, "ks");
    if (!statement.ok()) return statement.status();
    return engine_->Execute(**statement, values, options, &result_);
  }
  absl::Status Try(std::string_view text) { return TryBind(text, {}); }

  void Run(std::string_view text) {
    const absl::Status status = Try(text);
    ASSERT_TRUE(status.ok()) << text << "\n" << status;
  }
  void Bind(std::string_view text,
            const std::vector<std::optional<std::string>>& values) {
    const absl::Status status = TryBind(text, values);
    ASSERT_TRUE(status.ok()) << text << "\n" << status;
  }
  // The rows of a statement, or its error.
  std::string Rows(std::string_view text,
                   const std::vector<std::optional<std::string>>& values = {}) {
    const absl::Status status = TryBind(text, values);
    if (!status.ok()) return "error: " + GetError(status).message;
    return ShowRows(result_);
  }
  // "2200: message"
  std::string Error(
      std::string_view text,
      const std::vector<std::optional<std::string>>& values = {}) {
    const absl::Status status = TryBind(text, values);
    if (status.ok()) return "no error";
    const ServerError error = GetError(status);
    char code[16];
    std::snprintf(code, sizeof(code),
                  "%04x: ", static_cast<unsigned>(error.code));
    return code + error.message;
  }
  void Advance(int64_t seconds) { now_us_ += seconds * 1000000; }

  TemporaryFolder folder_;
  std::unique_ptr<Engine> engine_;
  Result result_;
};

}  // namespace cql::node

#endif  // RINGPLANE_TESTS_CQL_NODE_ENGINE_FIXTURE_H_
