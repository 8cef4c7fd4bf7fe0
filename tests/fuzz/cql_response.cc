// Any bytes as the body of a CQL response: a value or a reason, never a fault.
// The frame's header is built around the body, so that mutations reach the
// parsers. Input: opcode, flags, piece size, compression and options; body.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "cql/protocol/compression.h"
#include "cql/protocol/error.h"
#include "cql/protocol/frame.h"
#include "cql/protocol/response.h"
#include "ioloop/check.h"

namespace {

using namespace cql::protocol;  // NOLINT

template <typename T>
void Try(const RowView& row, size_t column) {
  static_cast<void>(row.Get<T>(column));
}

void ReadRows(const ResultView& result) {
  ColumnSpecs columns;
  if (result.metadata.has_columns()) {
    absl::StatusOr<ColumnSpecs> read = result.metadata.Columns();
    // What was passed over without fault can be made into objects.
    RINGPLANE_CHECK(read.ok());
    columns = *std::move(read);
  } else {
    columns.resize(std::min<uint32_t>(result.metadata.column_count, 64));
  }
  absl::StatusOr<RowsView> rows =
      RowsView::Create(columns, result.row_count, result.rows);
  if (!rows.ok()) return;
  size_t seen = 0;
  for (const RowView& row : *rows) {
    if (++seen > 64) break;
    for (size_t i = 0; i < row.size(); ++i) {
      Try<std::optional<int64_t>>(row, i);
      Try<uint8_t>(row, i);
      Try<bool>(row, i);
      Try<double>(row, i);
      Try<std::string_view>(row, i);
      Try<absl::Time>(row, i);
      Try<cql::Uuid>(row, i);
      Try<cql::Inet>(row, i);
      Try<cql::Date>(row, i);
      Try<cql::Time>(row, i);
      Try<cql::Duration>(row, i);
      Try<cql::Decimal>(row, i);
      Try<cql::Varint>(row, i);
      Try<std::vector<cql::RawValue>>(row, i);
      Try<std::vector<std::vector<std::optional<int32_t>>>>(row, i);
      Try<std::map<std::string, std::optional<cql::RawValue>>>(row, i);
      Try<std::tuple<std::optional<cql::RawValue>,
                     std::optional<cql::RawValue>>>(row, i);
    }
  }
}

void Decode(const Frame& frame, bool metadata_id) {
  std::string_view body = frame.body;
  ResponsePrefix prefix;
  if (!DecodePrefix(frame.header, &body, &prefix).ok()) return;
  switch (frame.header.opcode) {
    case Opcode::kError: {
      const absl::Status status = DecodeError(body);
      RINGPLANE_CHECK(!status.ok());
      if (auto error = cql::GetServerError(status)) {
        RINGPLANE_CHECK(cql::GetServerError(cql::ToStatus(*error)) == error);
      }
      break;
    }
    case Opcode::kSupported:
      static_cast<void>(DecodeSupported(body));
      break;
    case Opcode::kAuthenticate:
      static_cast<void>(DecodeAuthenticate(body));
      break;
    case Opcode::kAuthChallenge:
    case Opcode::kAuthSuccess:
      static_cast<void>(DecodeAuthToken(body));
      break;
    case Opcode::kEvent:
      static_cast<void>(DecodeEvent(body));
      break;
    case Opcode::kResult: {
      absl::StatusOr<ResultView> result = DecodeResult(body);
      if (!result.ok()) break;
      if (result->kind == ResultKind::kRows) ReadRows(*result);
      if (result->kind == ResultKind::kPrepared) {
        absl::StatusOr<PreparedView> prepared =
            DecodePrepared(result->content, metadata_id);
        if (prepared.ok() && prepared->result.has_columns()) {
          RINGPLANE_CHECK(prepared->result.Columns().ok());
        }
      }
      if (result->kind == ResultKind::kSchemaChange) {
        static_cast<void>(DecodeSchemaChange(result->content));
      }
      break;
    }
    default:
      break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 4) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 4,
                              size - 4);
  FrameHeader header;
  header.version = kVersion | kResponseBit;
  header.opcode = static_cast<Opcode>(data[0]);
  header.flags = data[1];
  header.length = static_cast<uint32_t>(body.size());
  std::string stream(kHeaderBytes, '\0');
  EncodeHeader(header, stream.data());
  stream += body;

  FrameReader::Options options;
  options.frame_bytes_max = 1 << 20;
  FrameReader reader(options);
  const size_t piece = data[2] == 0 ? stream.size() : size_t{data[2]};
  for (size_t at = 0; at < stream.size(); at += piece) {
    reader.Feed(std::string_view(stream).substr(at, piece));
    Frame frame;
    while (reader.Next(&frame)) {
      std::string plain;
      if ((header.flags & kFlagCompression) != 0) {
        const Compression compression =
            static_cast<Compression>((data[3] >> 1) % 3);
        absl::StatusOr<size_t> room =
            DecompressedSize(compression, frame.body, 1 << 20);
        if (!room.ok()) return 0;
        plain.resize(*room);
        if (!Decompress(compression, frame.body, plain).ok()) return 0;
        frame.body = plain;
      }
      Decode(frame, (data[3] & 1) != 0);
    }
  }
  return 0;
}
