// The request path allocates nothing: encoding into memory that is there, and
// reading a row of ten columns.
#include <cstdlib>
#include <new>

#include "cql/protocol/request.h"
#include "cql/protocol/response.h"
#include "gtest/gtest.h"
#include "tests/cql/protocol/testing.h"

// Memory of malloc() is freed by free(), whatever the compiler sees inlined.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

namespace {
size_t allocations = 0;
}  // namespace

void* operator new(std::size_t bytes) {
  ++allocations;
  void* memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) std::abort();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace cql::protocol {
namespace {

TEST(AllocationTest, ReadingARowOfTenColumnsAllocatesNothing) {
  const TypeId kTypes[] = {TypeId::kInt,    TypeId::kBigint, TypeId::kText,
                           TypeId::kBlob,   TypeId::kUuid,   TypeId::kTimestamp,
                           TypeId::kDouble, TypeId::kInet,   TypeId::kDate,
                           TypeId::kText};
  ColumnSpecs columns;
  for (const TypeId id : kTypes) columns.push_back({"ks", "t", "c", id});
  RowsMetadata metadata;
  metadata.columns = columns;
  const std::string long_text(100, 'x');
  const std::string body = Written([&](Writer* writer) {
    EncodeRowsHeader(writer, metadata, 2);
    for (int row = 0; row < 2; ++row) {
      ASSERT_TRUE(EncodeValues(writer, columns, 1, 2, long_text, "blob", Uuid{},
                               absl::UnixEpoch(), 1.5, Inet{}, Date{7}, Null{})
                      .ok());
    }
  });

  const size_t before = allocations;
  const absl::StatusOr<ResultView> result = DecodeResult(body);
  const absl::StatusOr<RowsView> rows =
      RowsView::Create(columns, result->row_count, result->rows);
  int32_t number = 0;
  int64_t wide = 0;
  std::string_view text, blob;
  Uuid uuid;
  absl::Time time;
  double real = 0;
  Inet inet;
  Date date;
  std::optional<std::string_view> nothing;
  int read = 0;
  for (const RowView& row : *rows) {
    if (row.Read(&number, &wide, &text, &blob, &uuid, &time, &real, &inet,
                 &date, &nothing)
            .ok()) {
      ++read;
    }
    if (row.Get<std::string_view>(2).ok()) ++read;
  }
  const size_t after = allocations;
  EXPECT_EQ(after - before, 0u);
  EXPECT_EQ(read, 4);
  EXPECT_EQ(text, long_text);
  EXPECT_EQ(date.days, 7);
  EXPECT_EQ(nothing, std::nullopt);
}

TEST(AllocationTest, EncodingAnExecuteAllocatesNothing) {
  const ColumnSpecs columns = {
      {"ks", "t", "a", TypeId::kBigint},
      {"ks", "t", "b", ColumnType(TypeId::kList, {TypeId::kText})}};
  const std::vector<std::string> list = {std::string(50, 'a'), "b"};
  char room[512];
  const size_t before = allocations;
  Writer writer{std::span<char>(room)};
  FrameHeader header;
  header.opcode = Opcode::kExecute;
  const size_t mark = BeginFrame(&writer, header);
  EncodeExecuteId(&writer, "0123456789abcdef", std::nullopt);
  QueryParameters parameters;
  parameters.page_size = 100;
  BeginQueryParameters(&writer, parameters, 2);
  const bool ok = EncodeValues(&writer, columns, 1, list).ok();
  EndQueryParameters(&writer, parameters);
  EndFrame(&writer, mark);
  const size_t after = allocations;
  EXPECT_TRUE(ok);
  EXPECT_EQ(after - before, 0u);

  const size_t decode_before = allocations;
  FrameReader reader({.direction = Direction::kRequests});
  reader.Feed(std::string_view(room, writer.size()));
  Frame frame;
  const bool whole = reader.Next(&frame);
  EXPECT_EQ(allocations, decode_before);
  EXPECT_TRUE(whole);
}

}  // namespace
}  // namespace cql::protocol
