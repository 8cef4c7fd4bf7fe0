#include "benchmarks/cql_client/fake_node.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "benchmarks/cql_client/workload.h"
#include "cql/protocol/codec.h"
#include "cql/protocol/error.h"
#include "cql/protocol/request.h"
#include "cql/protocol/response.h"
#include "cql/protocol/value_types.h"

namespace cql_client {
namespace {

using cql::protocol::ColumnSpec;
using cql::protocol::ColumnSpecs;
using cql::protocol::ColumnType;
using cql::protocol::Opcode;
using cql::protocol::TypeId;
using cql::protocol::Writer;

constexpr uint32_t kReplicasMax = 3;
// Of each host; their tokens take turns on the ring.
constexpr uint32_t kTokensPerHost = 16;
constexpr size_t kIdBytes = 16;
constexpr char kDatacenter[] = "datacenter1";

const ColumnType kTextSet(TypeId::kSet, {TypeId::kText});
const ColumnType kTextMap(TypeId::kMap, {TypeId::kText, TypeId::kText});

template <typename T>
std::string Cell(const ColumnType& type, const T& value) {
  std::string cell;
  Writer writer(&cell);
  cql::protocol::EncodeValue(&writer, type, value).IgnoreError();
  writer.Finish();
  return cell;
}

std::string Text(std::string_view text) { return Cell(TypeId::kText, text); }

cql::Uuid UuidOf(uint8_t kind, uint32_t host) {
  cql::Uuid uuid;
  uuid.bytes[0] = kind;
  uuid.bytes[6] = 0x40;
  uuid.bytes[8] = 0x80;
  uuid.bytes[15] = static_cast<uint8_t>(host);
  return uuid;
}

std::string Address(uint32_t host) {
  return Cell(TypeId::kInet,
              *cql::Inet::Parse(absl::StrCat("127.0.0.", 1 + host)));
}

std::string Tokens(const Cluster& cluster, uint32_t host) {
  const uint64_t count = uint64_t{cluster.hosts} * kTokensPerHost;
  const uint64_t step = UINT64_MAX / count;
  std::vector<std::string> tokens;
  for (uint64_t i = host; i < count; i += cluster.hosts) {
    tokens.push_back(absl::StrCat(
        static_cast<int64_t>((uint64_t{1} << 63) + step * (i + 1))));
  }
  return Cell(kTextSet, tokens);
}

// The number that is a statement's id.
std::string IdOf(size_t number) {
  std::string id(kIdBytes, '\0');
  cql::protocol::StoreBig64(id.data(), number);
  return id;
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return lower;
}

// What stands before the first of `ends`, and takes both off `*text`; spaces
// before it go too.
std::string_view TakeUntil(std::string_view* text, std::string_view ends) {
  text->remove_prefix(std::min(text->find_first_not_of(' '), text->size()));
  const size_t size = text->find_first_of(ends);
  const std::string_view taken = text->substr(0, size);
  text->remove_prefix(std::min(size, text->size() - 1) + 1);
  return taken;
}

Opcode Refuse(std::string_view why, Writer* out) {
  cql::ServerError error;
  error.code = cql::ServerCode::kInvalid;
  error.message = why;
  cql::protocol::EncodeError(out, error);
  return Opcode::kError;
}

}  // namespace

FakeNode::FakeNode(const Cluster& cluster, uint32_t host)
    : cluster_(cluster), host_(host), prepared_(1, kSelect) {
  AddPosts();
  AddSystemTables();
  MakeReadAnswers();
}

void FakeNode::AddPosts() {
  Table posts{"bench.posts", {}, {}};
  std::vector<std::string>& row = posts.rows.emplace_back();
  const auto add = [&](std::string name, const ColumnType& type,
                       const auto& value) {
    posts.columns.push_back({"bench", "posts", std::move(name), type});
    row.push_back(Cell(type, value));
  };
  add("key", TypeId::kBigint, int64_t{0});
  add("author", TypeId::kText, "did:plc:z72i7hdynmk6r22z27h6tvur");
  add("uri", TypeId::kText, "app.bsky.feed.post/3l6oveex3ii2l");
  add("body", TypeId::kText, std::string(100, 'b'));
  add("created_at", TypeId::kTimestamp, absl::FromUnixSeconds(1'700'000'000));
  add("likes", TypeId::kInt, kLikes);
  add("score", TypeId::kDouble, 0.5);
  add("pinned", TypeId::kBoolean, true);
  add("id", TypeId::kUuid, UuidOf(1, 0));
  add("digest", TypeId::kBlob, std::string(32, 'd'));
  tables_.push_back(std::move(posts));
}

void FakeNode::AddSystemTables() {
  const auto specs =
      [](std::string keyspace, std::string table,
         std::vector<std::pair<std::string, ColumnType>> columns) {
        ColumnSpecs found;
        for (auto& [name, type] : columns) {
          found.push_back({keyspace, table, std::move(name), std::move(type)});
        }
        return found;
      };
  // What local and peers share comes first.
  std::vector<std::pair<std::string, ColumnType>> shared = {
      {"host_id", TypeId::kUuid},
      {"data_center", TypeId::kText},
      {"rack", TypeId::kText},
      {"release_version", TypeId::kText},
      {"schema_version", TypeId::kUuid},
      {"rpc_address", TypeId::kInet},
      {"tokens", kTextSet}};
  const auto shared_cells = [&](uint32_t host) {
    return std::vector<std::string>{Cell(TypeId::kUuid, UuidOf(2, host)),
                                    Text(kDatacenter),
                                    Text("rack1"),
                                    Text("3.0.8"),
                                    Cell(TypeId::kUuid, UuidOf(3, 0)),
                                    Address(host),
                                    Tokens(cluster_, host)};
  };

  auto local_columns = shared;
  for (const char* name : {"key", "cluster_name", "partitioner", "cql_version",
                           "native_protocol_version", "bootstrapped"}) {
    local_columns.emplace_back(name, TypeId::kText);
  }
  local_columns.emplace_back("broadcast_address", TypeId::kInet);
  local_columns.emplace_back("listen_address", TypeId::kInet);
  std::vector<std::string> local = shared_cells(host_);
  for (const char* value :
       {"local", "bench", "org.apache.cassandra.dht.Murmur3Partitioner",
        "3.4.0", "4", "COMPLETED"}) {
    local.push_back(Text(value));
  }
  local.push_back(Address(host_));
  local.push_back(Address(host_));
  tables_.push_back({"system.local",
                     specs("system", "local", local_columns),
                     {std::move(local)}});

  auto peer_columns = shared;
  peer_columns.emplace_back("peer", TypeId::kInet);
  peer_columns.emplace_back("preferred_ip", TypeId::kInet);
  Table peers{"system.peers", specs("system", "peers", peer_columns), {}};
  for (uint32_t host = 0; host < cluster_.hosts; ++host) {
    if (host == host_) continue;
    std::vector<std::string>& row = peers.rows.emplace_back(shared_cells(host));
    row.push_back(Address(host));
    row.push_back(Address(host));
  }
  tables_.push_back(std::move(peers));

  const std::vector<std::pair<std::string, std::string>> replication = {
      {"class", "org.apache.cassandra.locator.NetworkTopologyStrategy"},
      {kDatacenter, absl::StrCat(std::min(cluster_.hosts, kReplicasMax))}};
  std::string map;
  {
    Writer writer(&map);
    const size_t mark = writer.BeginInt();
    writer.Int(static_cast<int32_t>(replication.size()));
    for (const auto& [key, value] : replication) {
      writer.Bytes(key);
      writer.Bytes(value);
    }
    writer.FillLength(mark);
    writer.Finish();
  }
  tables_.push_back({"system_schema.keyspaces",
                     specs("system_schema", "keyspaces",
                           {{"keyspace_name", TypeId::kText},
                            {"durable_writes", TypeId::kBoolean},
                            {"replication", kTextMap}}),
                     {{Text("bench"), Cell(TypeId::kBoolean, true), map}}});
}

void FakeNode::MakeReadAnswers() {
  const Table& posts = tables_.front();
  for (const bool with_metadata : {false, true}) {
    std::string* answer = &answers_[with_metadata];
    Writer writer(answer);
    const size_t mark = cql::protocol::BeginFrame(
        &writer,
        {.version = cql::protocol::kVersion | cql::protocol::kResponseBit,
         .opcode = Opcode::kResult});
    cql::protocol::EncodeRowsHeader(
        &writer, {.columns = posts.columns, .skip_columns = !with_metadata}, 1);
    const size_t cells = writer.size();
    for (const std::string& cell : posts.rows[0]) writer.Raw(cell);
    cells_bytes_ = writer.size() - cells;
    cql::protocol::EndFrame(&writer, mark);
    writer.Finish();
  }
}

FakeNode::Read FakeNode::AsRead(const cql::protocol::Frame& request) const {
  if (request.header.opcode != Opcode::kExecute) return {};
  // [short bytes] id, consistency, flags, one value of eight bytes.
  constexpr size_t kFlags = 2 + kIdBytes + 2;
  constexpr size_t kKey = kFlags + 1 + 2 + 4;
  const std::string_view body = request.body;
  if (body.size() < kKey + 8 ||
      cql::protocol::LoadBig16(body.data()) != kIdBytes ||
      cql::protocol::LoadBig64(body.data() + 2) != 0 ||
      cql::protocol::LoadBig16(body.data() + kFlags + 1) != 1 ||
      cql::protocol::LoadBig32(body.data() + kFlags + 3) != 8) {
    return {};
  }
  Read read;
  read.with_metadata =
      (body[kFlags] & cql::protocol::kQueryFlagSkipMetadata) == 0;
  read.answer = &answers_[read.with_metadata];
  // Behind the length of the first cell.
  read.key_at = read.answer->size() - cells_bytes_ + 4;
  read.key = body.data() + kKey;
  return read;
}

void FakeNode::WriteAnswer(const Read& read, int16_t stream, char* out) {
  std::memcpy(out, read.answer->data(), read.answer->size());
  cql::protocol::StoreBig16(out + 2, static_cast<uint16_t>(stream));
  std::memcpy(out + read.key_at, read.key, 8);
}

void FakeNode::Answer(const cql::protocol::Frame& request, uint32_t shard,
                      std::string* out) {
  Writer writer(out);
  const size_t begin = writer.size();
  const size_t mark = cql::protocol::BeginFrame(
      &writer,
      {.version = cql::protocol::kVersion | cql::protocol::kResponseBit,
       .stream = request.header.stream});
  cql::protocol::Reader body(request.body);
  Opcode opcode = Opcode::kReady;
  switch (request.header.opcode) {
    case Opcode::kStartup:
    case Opcode::kRegister:
      break;
    case Opcode::kOptions:
      opcode = Opcode::kSupported;
      Supported(shard, &writer);
      break;
    case Opcode::kPrepare:
      opcode = Prepare(body.LongString(), &writer);
      break;
    case Opcode::kQuery:
      opcode = Query(body.LongString(), &writer);
      break;
    case Opcode::kExecute:
      opcode = Execute(body.ShortBytes(), &writer);
      break;
    default:
      opcode = Refuse("not what the study asks for", &writer);
      break;
  }
  cql::protocol::EndFrame(&writer, mark);
  constexpr size_t kOpcodeAt = 4;
  writer.FillByte(begin + kOpcodeAt, static_cast<uint8_t>(opcode));
  writer.Finish();
}

void FakeNode::Supported(uint32_t shard, Writer* out) const {
  cql::protocol::Supported supported;
  supported.options = {
      {"CQL_VERSION", {"3.4.0"}},
      {"COMPRESSION", {}},
      {"PROTOCOL_VERSIONS", {"3/v3", "4/v4"}},
      {"SCYLLA_SHARD", {absl::StrCat(shard)}},
      {"SCYLLA_NR_SHARDS", {absl::StrCat(cluster_.shards)}},
      {"SCYLLA_PARTITIONER", {"org.apache.cassandra.dht.Murmur3Partitioner"}},
      {"SCYLLA_SHARDING_ALGORITHM", {"biased-token-round-robin"}},
      {"SCYLLA_SHARDING_IGNORE_MSB", {"12"}},
      {"SCYLLA_SHARD_AWARE_PORT", {absl::StrCat(cluster_.shard_aware_port)}}};
  cql::protocol::EncodeSupported(out, supported);
}

Opcode FakeNode::Prepare(std::string_view text, Writer* out) {
  std::vector<size_t> places;
  const Table* table = Resolve(text, &places);
  if (table == nullptr) return Refuse("no such table", out);
  const auto known = std::find(prepared_.begin(), prepared_.end(), text);
  const auto number = static_cast<size_t>(known - prepared_.begin());
  if (known == prepared_.end()) prepared_.emplace_back(text);
  const bool posts = table == &tables_.front();

  // Markers of other statements are names of keyspaces and tables.
  const size_t markers = std::count(text.begin(), text.end(), '?');
  const ColumnSpecs binds(markers, {"bench", "posts", "key",
                                    posts ? TypeId::kBigint : TypeId::kText});
  ColumnSpecs columns;
  for (size_t place : places) columns.push_back(table->columns[place]);
  const std::string id = IdOf(number);
  constexpr uint16_t kPartitionKey[] = {0};
  cql::protocol::Prepared prepared;
  prepared.id = id;
  prepared.bind_markers = binds;
  if (posts) prepared.partition_key_indexes = kPartitionKey;
  prepared.has_result = true;
  prepared.result_columns = columns;
  cql::protocol::EncodePrepared(out, prepared);
  return Opcode::kResult;
}

Opcode FakeNode::Query(std::string_view text, Writer* out) const {
  if (Lower(text.substr(0, 4)) == "use ") {
    cql::protocol::EncodeSetKeyspace(out, "bench");
    return Opcode::kResult;
  }
  std::vector<size_t> places;
  const Table* table = Resolve(text, &places);
  if (table == nullptr) return Refuse("no such table", out);
  ColumnSpecs columns;
  for (size_t place : places) columns.push_back(table->columns[place]);
  cql::protocol::EncodeRowsHeader(out, {.columns = columns},
                                  static_cast<uint32_t>(table->rows.size()));
  for (const std::vector<std::string>& row : table->rows) {
    for (size_t place : places) out->Raw(row[place]);
  }
  return Opcode::kResult;
}

Opcode FakeNode::Execute(std::string_view id, Writer* out) const {
  const size_t number =
      id.size() == kIdBytes ? cql::protocol::LoadBig64(id.data()) : SIZE_MAX;
  if (number >= prepared_.size()) return Refuse("no such statement", out);
  return Query(prepared_[number], out);
}

const FakeNode::Table* FakeNode::Resolve(std::string_view text,
                                         std::vector<size_t>* columns) const {
  const std::string lower = Lower(text);
  const size_t from = lower.find(" from ");
  if (!lower.starts_with("select ") || from == std::string::npos) {
    return nullptr;
  }
  std::string_view rest = std::string_view(lower).substr(from + 6);
  const std::string_view name = TakeUntil(&rest, " ;");
  const auto table = std::find_if(
      tables_.begin(), tables_.end(),
      [&](const Table& candidate) { return candidate.name == name; });
  if (table == tables_.end()) return nullptr;
  std::string_view asked = std::string_view(lower).substr(7, from - 7);
  while (!asked.empty()) {
    const std::string_view column = TakeUntil(&asked, ", ");
    for (size_t i = 0; i < table->columns.size(); ++i) {
      if (column == "*" || column == table->columns[i].name) {
        columns->push_back(i);
      }
    }
  }
  return &*table;
}

}  // namespace cql_client
