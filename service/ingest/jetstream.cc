#include "service/ingest/jetstream.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "service/ingest/atproto_syntax.h"
#include "service/ingest/generate_text.h"
#include "service/ingest/text.h"
#include "simdjson.h"

namespace ingest {
namespace {

namespace dom = simdjson::dom;

// The last microsecond of the year 9999: later times do not fit RFC 3339.
constexpr int64_t kTimeMax = 253402300799999999;
constexpr size_t kStatusBytesMax = 64;
constexpr size_t kRevBytesMax = 64;
constexpr size_t kCapacityMin = 16 << 10;

absl::Status Malformed(std::string_view field, std::string_view reason) {
  return absl::InvalidArgumentError(Cat(field, ": ", reason));
}

// The fields of one object that this parser knows, each seen at most once:
// JSON that says something twice means different things to different readers.
class Fields {
 public:
  // A field of interest: its name, and what was found.
  struct Field {
    std::string_view name;
    dom::element value;
    // Its place among the object's fields; -1 if absent.
    int index = -1;
  };

  template <size_t N>
  static absl::Status Find(std::string_view path, dom::object object,
                           Field (&fields)[N]) {
    int index = 0;
    for (dom::key_value_pair pair : object) {
      for (Field& field : fields) {
        if (pair.key != field.name) continue;
        if (field.index >= 0) {
          return Malformed(Cat(path, field.name), "given twice");
        }
        field.value = pair.value;
        field.index = index;
      }
      ++index;
    }
    return absl::OkStatus();
  }
};
using Field = Fields::Field;

absl::Status GetString(std::string_view path, const Field& field,
                       std::string_view* text) {
  if (field.index < 0) {
    return Malformed(Cat(path, field.name), "missing");
  }
  if (field.value.get_string().get(*text) != simdjson::SUCCESS) {
    return Malformed(Cat(path, field.name), "not a string");
  }
  return absl::OkStatus();
}

absl::Status GetObject(const Field& field, dom::object* object) {
  if (field.index < 0) return Malformed(field.name, "missing");
  if (field.value.get_object().get(*object) != simdjson::SUCCESS) {
    return Malformed(field.name, "not an object");
  }
  return absl::OkStatus();
}

// Gets a string that `valid` accepts.
template <typename Valid>
absl::Status GetChecked(std::string_view path, const Field& field, Valid valid,
                        std::string_view expected, std::string* text) {
  std::string_view found;
  if (absl::Status status = GetString(path, field, &found); !status.ok()) {
    return status;
  }
  if (!valid(found)) {
    return Malformed(Cat(path, field.name), Cat("not ", expected));
  }
  text->assign(found);
  return absl::OkStatus();
}

// The end of the JSON value that starts at `at`. REQUIRES: valid JSON.
size_t EndOfValue(std::string_view json, size_t at) {
  int depth = 0;
  while (at < json.size()) {
    switch (json[at]) {
      case '"':
        for (++at; json[at] != '"'; ++at) {
          if (json[at] == '\\') ++at;
        }
        ++at;
        break;
      case '{':
      case '[':
        ++depth;
        ++at;
        break;
      case '}':
      case ']':
        if (depth == 0) return at;  // It ends what a number stood in.
        --depth;
        ++at;
        break;
      case ',':
      case ' ':
      case '\t':
      case '\r':
      case '\n':
        if (depth == 0) return at;
        ++at;
        continue;
      case ':':
        ++at;
        continue;
      default:  // Of a number, true, false or null.
        ++at;
        continue;
    }
    if (depth == 0) return at;
  }
  return at;
}

size_t SkipSpace(std::string_view json, size_t at) {
  while (json[at] == ' ' || json[at] == '\t' || json[at] == '\r' ||
         json[at] == '\n') {
    ++at;
  }
  return at;
}

// The text of the `index`-th field's value of the object that `json` is.
// REQUIRES: valid JSON that has such a field.
std::string_view RawField(std::string_view json, int index) {
  size_t at = SkipSpace(json, 0) + 1;  // Past '{'.
  for (;;) {
    at = EndOfValue(json, SkipSpace(json, at));     // The key.
    at = SkipSpace(json, SkipSpace(json, at) + 1);  // Past ':'.
    size_t end = EndOfValue(json, at);
    if (index-- == 0) return json.substr(at, end - at);
    at = SkipSpace(json, end) + 1;  // Past ','.
  }
}

absl::Status ParseCommit(std::string_view line, const Field& commit_field,
                         Event* event, bool* served) {
  dom::object commit;
  if (absl::Status status = GetObject(commit_field, &commit); !status.ok()) {
    return status;
  }
  Field fields[] = {{"rev"},  {"operation"}, {"collection"},
                    {"rkey"}, {"cid"},       {"record"}};
  auto& [rev, operation, collection, rkey, cid, record] = fields;
  absl::Status status = Fields::Find("commit.", commit, fields);
  if (!status.ok()) return status;

  auto is_rev = [](std::string_view text) {
    return text.size() <= kRevBytesMax && IsRecordKey(text);
  };
  status =
      GetChecked("commit.", rev, is_rev, "a repository revision", &event->rev);
  if (!status.ok()) return status;
  status =
      GetChecked("commit.", collection, IsNsid, "an NSID", &event->collection);
  if (!status.ok()) return status;
  status =
      GetChecked("commit.", rkey, IsRecordKey, "a record key", &event->rkey);
  if (!status.ok()) return status;

  std::string_view name;
  status = GetString("commit.", operation, &name);
  if (!status.ok()) return status;
  if (name == "create") {
    event->operation = CommitOperation::kCreate;
  } else if (name == "update") {
    event->operation = CommitOperation::kUpdate;
  } else if (name == "delete") {
    event->operation = CommitOperation::kDelete;
  } else {
    return Malformed("commit.operation", "not create, update or delete");
  }

  event->cid.clear();
  event->record.clear();
  *served = IsServedCollection(event->collection);
  if (event->operation == CommitOperation::kDelete) return absl::OkStatus();

  status = GetChecked("commit.", cid, IsCid, "a CID", &event->cid);
  if (!status.ok()) return status;
  if (record.index < 0) return Malformed("commit.record", "missing");
  if (!record.value.is_object()) {
    return Malformed("commit.record", "not an object");
  }
  if (*served) {
    event->record.assign(
        RawField(RawField(line, commit_field.index), record.index));
  }
  return absl::OkStatus();
}

// `identity` and `account` repeat the DID; a different one is nobody's.
absl::Status CheckSameDid(std::string_view path, const Field& did,
                          const Event& event) {
  if (did.index < 0) return absl::OkStatus();
  std::string_view text;
  if (absl::Status status = GetString(path, did, &text); !status.ok()) {
    return status;
  }
  if (text != event.did) {
    return Malformed(Cat(path, "did"), "not the line's own did");
  }
  return absl::OkStatus();
}

absl::Status ParseIdentity(const Field& field, Event* event) {
  dom::object identity;
  absl::Status status = GetObject(field, &identity);
  if (!status.ok()) return status;
  Field fields[] = {{"did"}, {"handle"}};
  auto& [did, handle] = fields;
  status = Fields::Find("identity.", identity, fields);
  if (!status.ok()) return status;
  status = CheckSameDid("identity.", did, *event);
  if (!status.ok()) return status;

  event->handle.clear();
  if (handle.index < 0 || handle.value.is_null()) return absl::OkStatus();
  status =
      GetChecked("identity.", handle, IsHandle, "a handle", &event->handle);
  if (!status.ok()) return status;
  absl::AsciiStrToLower(&event->handle);
  return absl::OkStatus();
}

absl::Status ParseAccount(const Field& field, Event* event) {
  dom::object account;
  absl::Status status = GetObject(field, &account);
  if (!status.ok()) return status;
  Field fields[] = {{"did"}, {"active"}, {"status"}};
  auto& [did, active, account_status] = fields;
  status = Fields::Find("account.", account, fields);
  if (!status.ok()) return status;
  status = CheckSameDid("account.", did, *event);
  if (!status.ok()) return status;

  if (active.index < 0) return Malformed("account.active", "missing");
  if (active.value.get_bool().get(event->active) != simdjson::SUCCESS) {
    return Malformed("account.active", "not true or false");
  }
  event->status.clear();
  if (account_status.index < 0 || account_status.value.is_null()) {
    return absl::OkStatus();
  }
  auto is_status = [](std::string_view text) {
    return text.size() <= kStatusBytesMax;
  };
  return GetChecked("account.", account_status, is_status,
                    "a status of at most 64 bytes", &event->status);
}

std::string_view JsonReason(simdjson::error_code error) {
  switch (error) {
    case simdjson::UTF8_ERROR:
      return "not UTF-8";
    case simdjson::DEPTH_ERROR:
      return "nested too deeply";
    case simdjson::MEMALLOC:
      return "no memory to parse it";
    case simdjson::EMPTY:
      return "empty";
    default:
      return "not JSON";
  }
}

}  // namespace

struct JetstreamParser::Impl {
  Options options;
  dom::parser parser;
  // The line and the padding that the parser may read past it.
  std::string padded;

  // Room for a document of `bytes`. The parser's own growth would forget the
  // depth limit.
  simdjson::error_code Reserve(size_t bytes) {
    if (padded.size() >= bytes + simdjson::SIMDJSON_PADDING) {
      return simdjson::SUCCESS;
    }
    size_t capacity = std::max(kCapacityMin, std::bit_ceil(bytes));
    if (simdjson::error_code error =
            parser.allocate(capacity, options.depth_max)) {
      return error;
    }
    padded.resize(capacity + simdjson::SIMDJSON_PADDING);
    return simdjson::SUCCESS;
  }
};

JetstreamParser::JetstreamParser(const Options& options)
    : impl_(std::make_unique<Impl>()) {
  impl_->options = options;
}
JetstreamParser::~JetstreamParser() = default;

absl::StatusOr<JetstreamParser::Outcome> JetstreamParser::Parse(
    std::string_view line, Event* event) {
  if (line.size() > impl_->options.line_bytes_max) {
    return Malformed(
        "line", Cat("longer than ", impl_->options.line_bytes_max, " bytes"));
  }
  dom::element root;
  simdjson::error_code error = impl_->Reserve(line.size());
  if (!error) {
    std::memcpy(impl_->padded.data(), line.data(), line.size());
    error =
        impl_->parser.parse(impl_->padded.data(), line.size(), false).get(root);
  }
  if (error) return Malformed("line", JsonReason(error));
  dom::object object;
  if (root.get_object().get(object) != simdjson::SUCCESS) {
    return Malformed("line", "not a JSON object");
  }

  Field fields[] = {{"did"},    {"time_us"},  {"kind"},
                    {"commit"}, {"identity"}, {"account"}};
  auto& [did, time_us, kind, commit, identity, account] = fields;
  absl::Status status = Fields::Find("", object, fields);
  if (!status.ok()) return status;
  status = GetChecked("", did, IsDid, "a DID", &event->did);
  if (!status.ok()) return status;
  if (time_us.index < 0) return Malformed("time_us", "missing");
  if (time_us.value.get_int64().get(event->time_us) != simdjson::SUCCESS) {
    return Malformed("time_us", "not an integer");
  }
  if (event->time_us <= 0 || event->time_us > kTimeMax) {
    return Malformed("time_us", "not a time from 1970 to 9999");
  }

  std::string_view kind_name;
  status = GetString("", kind, &kind_name);
  if (!status.ok()) return status;
  bool served = true;
  if (kind_name == "commit") {
    event->kind = EventKind::kCommit;
    status = ParseCommit(line, commit, event, &served);
  } else if (kind_name == "identity") {
    event->kind = EventKind::kIdentity;
    status = ParseIdentity(identity, event);
  } else if (kind_name == "account") {
    event->kind = EventKind::kAccount;
    status = ParseAccount(account, event);
  } else {
    served = false;
  }
  if (!status.ok()) return status;
  return served ? Outcome::kEvent : Outcome::kSkipped;
}

std::string_view CommitOperationName(CommitOperation operation) {
  switch (operation) {
    case CommitOperation::kCreate:
      return "create";
    case CommitOperation::kUpdate:
      return "update";
    case CommitOperation::kDelete:
      return "delete";
  }
  return "";
}

void AppendEventLine(const Event& event, std::string* out) {
  // What is checked by a grammar of its own has nothing to escape.
  Append(out, "{\"did\":\"", event.did, "\",\"time_us\":", event.time_us);
  switch (event.kind) {
    case EventKind::kCommit:
      Append(out, ",\"kind\":\"commit\",\"commit\":{\"rev\":\"", event.rev,
             "\",\"operation\":\"", CommitOperationName(event.operation),
             "\",\"collection\":\"", event.collection, "\",\"rkey\":\"",
             event.rkey, "\"");
      if (event.operation != CommitOperation::kDelete) {
        Append(out, ",\"record\":", event.record, ",\"cid\":\"", event.cid,
               "\"");
      }
      break;
    case EventKind::kIdentity:
      Append(out, ",\"kind\":\"identity\",\"identity\":{");
      if (!event.handle.empty()) {
        Append(out, "\"handle\":\"", event.handle, "\"");
      }
      break;
    case EventKind::kAccount:
      Append(out, ",\"kind\":\"account\",\"account\":{\"active\":",
             event.active ? "true" : "false");
      if (!event.status.empty()) {
        Append(out, ",\"status\":");
        AppendJsonString(event.status, out);
      }
      break;
  }
  Append(out, "}}");
}

std::string EventUri(const Event& event) {
  return Cat("at://", event.did, "/", event.collection, "/", event.rkey);
}

}  // namespace ingest
