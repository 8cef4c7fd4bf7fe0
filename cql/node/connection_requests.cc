// What a node answers to each request.
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cql/node/connection.h"
#include "cql/protocol/absl_text.h"
#include "cql/protocol/codec.h"

namespace cql::node {
namespace {

using protocol::AbslText;
using protocol::FrameHeader;
using protocol::Opcode;
using protocol::QueryParameters;
using protocol::Writer;

constexpr std::string_view kAuthenticator =
    "org.apache.cassandra.auth.PasswordAuthenticator";

absl::Status ProtocolError(absl::string_view message) {
  return MakeError(ServerCode::kProtocolError,
                   std::string_view(message.data(), message.size()));
}

// In time that does not depend on where they differ.
bool SameSecret(std::string_view given, std::string_view expected) {
  unsigned difference = given.size() == expected.size() ? 0 : 1;
  for (size_t i = 0; i < given.size(); ++i) {
    const char other = expected.empty() ? '\0' : expected[i % expected.size()];
    difference |= static_cast<unsigned char>(given[i] ^ other);
  }
  return difference == 0;
}

absl::Status CheckConsistency(const QueryParameters& parameters) {
  if (parameters.consistency > Consistency::kLocalOne) {
    return ProtocolError(
        absl::StrCat("Unknown code for a consistency level: ",
                     static_cast<int>(parameters.consistency)));
  }
  if (parameters.serial_consistency.has_value() &&
      *parameters.serial_consistency != Consistency::kSerial &&
      *parameters.serial_consistency != Consistency::kLocalSerial) {
    return InvalidError(
        "Invalid consistency level for conditional update. Must be one of "
        "SERIAL or LOCAL_SERIAL");
  }
  return absl::OkStatus();
}

// Whether an answer has to wait until the statement's effect is durable. Schema
// changes are when they return; reads change nothing.
bool Writes(const Statement& statement) {
  switch (statement.kind()) {
    case Statement::Kind::kModify:
    case Statement::Kind::kBatch:
    case Statement::Kind::kTruncate:
      return true;
    case Statement::Kind::kSelect:
    case Statement::Kind::kUse:
    case Statement::Kind::kSchema:
      break;
  }
  return false;
}

ExecuteOptions ToExecuteOptions(const QueryParameters& parameters) {
  ExecuteOptions options;
  options.page_size = parameters.page_size;
  options.paging_state = parameters.paging_state;
  options.default_timestamp_us = parameters.default_timestamp_us;
  return options;
}

}  // namespace

void Connection::Dispatch(const FrameHeader& header, std::string_view body) {
  const int16_t stream = header.stream;
  if (header.opcode == Opcode::kOptions) return OnOptions(stream);
  switch (state_) {
    case State::kNew:
      if (header.opcode == Opcode::kStartup) return OnStartup(stream, body);
      AnswerStatus(stream, ProtocolError(
                               absl::StrCat("Unexpected message ",
                                            protocol::OpcodeName(header.opcode),
                                            ", expecting STARTUP or OPTIONS")));
      return;
    case State::kAuthenticating:
      if (header.opcode == Opcode::kAuthResponse) {
        return OnAuthResponse(stream, body);
      }
      AnswerStatus(stream, ProtocolError(
                               absl::StrCat("Unexpected message ",
                                            protocol::OpcodeName(header.opcode),
                                            ", expecting AUTH_RESPONSE")));
      return;
    case State::kReady:
      break;
    case State::kClosing:
      return;
  }
  switch (header.opcode) {
    case Opcode::kQuery:
      return OnQuery(stream, body);
    case Opcode::kPrepare:
      return OnPrepare(stream, body);
    case Opcode::kExecute:
      return OnExecute(stream, body);
    case Opcode::kBatch:
      return OnBatch(stream, body);
    case Opcode::kRegister:
      return OnRegister(stream, body);
    default:
      // STARTUP or AUTH_RESPONSE a second time.
      AnswerStatus(stream, ProtocolError(absl::StrCat(
                               "Unexpected message ",
                               protocol::OpcodeName(header.opcode),
                               ": the connection is ready already")));
  }
}

void Connection::LetIn() {
  kill_timer_.Disarm();
  state_ = State::kReady;
  info_.ready = true;
  reader_.set_frame_bytes_max(node_->options_.frame_bytes_max);
}

void Connection::OnOptions(int16_t stream) {
  std::string body;
  Writer writer(&body);
  protocol::EncodeSupported(&writer,
                            MakeSupported(node_->options_, info_.shard,
                                          node_->shard_aware_address_.port()));
  writer.Finish();
  Answer(stream, Opcode::kSupported, body, {}, false);
}

void Connection::OnStartup(int16_t stream, std::string_view body) {
  protocol::StartupRequest* startup = &node_->scratch_->startup;
  absl::Status status = protocol::DecodeStartup(body, startup);
  absl::StatusOr<Negotiated> negotiated = Negotiated();
  if (status.ok()) {
    negotiated = Negotiate(node_->options_, *startup);
    status = negotiated.status();
  }
  if (!status.ok())
    return AnswerStatus(stream, ProtocolError(status.message()));

  negotiated_ = *negotiated;
  if (node_->options_.username.empty()) {
    Answer(stream, Opcode::kReady, {}, {}, false);
    LetIn();
    return;
  }
  std::string name;
  Writer writer(&name);
  protocol::EncodeAuthenticate(&writer, kAuthenticator);
  writer.Finish();
  Answer(stream, Opcode::kAuthenticate, name, {}, false);
  state_ = State::kAuthenticating;
}

void Connection::OnAuthResponse(int16_t stream, std::string_view body) {
  const absl::StatusOr<std::string_view> token =
      protocol::DecodeAuthResponse(body);
  if (!token.ok()) {
    return AnswerStatus(stream, ProtocolError(token.status().message()));
  }
  const absl::StatusOr<protocol::PlainCredentials> credentials =
      protocol::ParsePlainToken(*token);
  ServerError error;
  error.code = ServerCode::kBadCredentials;
  if (!credentials.ok()) {
    error.message = std::string(credentials.status().message());
    return Refuse(stream, error);
  }
  const bool same_user =
      SameSecret(credentials->username, node_->options_.username);
  const bool same_password =
      SameSecret(credentials->password, node_->options_.password);
  if (!same_user || !same_password) {
    error.message = "Provided username or password are incorrect";
    return Refuse(stream, error);
  }
  std::string success;
  Writer writer(&success);
  protocol::EncodeAuthToken(&writer, std::nullopt);
  writer.Finish();
  Answer(stream, Opcode::kAuthSuccess, success, {}, false);
  LetIn();
}

void Connection::OnRegister(int16_t stream, std::string_view body) {
  std::vector<std::string_view>* events = &node_->scratch_->events;
  const absl::Status status = protocol::DecodeRegister(body, events);
  if (!status.ok())
    return AnswerStatus(stream, ProtocolError(status.message()));
  uint32_t kinds = 0;
  for (const std::string_view event : *events) {
    protocol::Event::Kind kind;
    if (event == "TOPOLOGY_CHANGE") {
      kind = protocol::Event::Kind::kTopologyChange;
    } else if (event == "STATUS_CHANGE") {
      kind = protocol::Event::Kind::kStatusChange;
    } else if (event == "SCHEMA_CHANGE") {
      kind = protocol::Event::Kind::kSchemaChange;
    } else {
      return AnswerStatus(stream, ProtocolError(absl::StrCat(
                                      "Unknown event type ", AbslText(event))));
    }
    kinds |= 1u << static_cast<int>(kind);
  }
  registered_ |= kinds;
  Answer(stream, Opcode::kReady, {}, {}, false);
}

void Connection::OnQuery(int16_t stream, std::string_view body) {
  protocol::QueryRequest* query = &node_->scratch_->query;
  const absl::Status decoded = protocol::DecodeQuery(body, query);
  if (!decoded.ok()) {
    return AnswerStatus(stream, ProtocolError(decoded.message()));
  }
  absl::Status status = CheckConsistency(query->parameters);
  if (!status.ok()) return AnswerStatus(stream, status);
  const absl::StatusOr<std::shared_ptr<const Statement>> statement =
      node_->engine_->PrepareOnce(query->text, keyspace_);
  if (!statement.ok()) return AnswerStatus(stream, statement.status());
  const absl::StatusOr<absl::Span<const Value>> values =
      OrderValues(**statement, query->bound);
  if (!values.ok()) return AnswerStatus(stream, values.status());
  status = node_->engine_->Execute(**statement, *values,
                                   ToExecuteOptions(query->parameters),
                                   &node_->scratch_->result);
  if (!status.ok()) return AnswerStatus(stream, status);
  // Whoever sends text has never seen its metadata.
  query->parameters.skip_metadata = false;
  AnswerResult(stream, **statement, query->parameters, nullptr);
}

void Connection::OnPrepare(int16_t stream, std::string_view body) {
  const absl::StatusOr<std::string_view> text = protocol::DecodePrepare(body);
  if (!text.ok()) {
    return AnswerStatus(stream, ProtocolError(text.status().message()));
  }
  const absl::StatusOr<std::shared_ptr<const Statement>> prepared =
      node_->engine_->Prepare(*text, keyspace_);
  if (!prepared.ok()) return AnswerStatus(stream, prepared.status());
  const Statement& statement = **prepared;
  if (node_->prepared_since_.has_value()) {
    node_->prepared_since_->insert(statement.id());
  }

  protocol::Prepared answer;
  answer.id =
      std::string_view(reinterpret_cast<const char*>(statement.id().data()),
                       statement.id().size());
  if (negotiated_.metadata_id) {
    answer.metadata_id = node_->MetadataIdOf(statement);
  }
  if (negotiated_.lwt_mark && statement.is_conditional()) {
    answer.extra_flags = kLwtMark;
  }
  answer.bind_markers = statement.bind_markers();
  answer.partition_key_indexes = statement.partition_key_markers();
  if (statement.result_columns() != nullptr) {
    answer.has_result = true;
    answer.result_columns = *statement.result_columns();
  }
  std::string* head = &node_->scratch_->head;
  head->clear();
  Writer writer(head);
  protocol::EncodePrepared(&writer, answer);
  writer.Finish();
  Answer(stream, Opcode::kResult, *head, {}, false);
}

void Connection::OnExecute(int16_t stream, std::string_view body) {
  protocol::ExecuteRequest* execute = &node_->scratch_->execute;
  const absl::Status decoded =
      protocol::DecodeExecute(body, negotiated_.metadata_id, execute);
  if (!decoded.ok()) {
    return AnswerStatus(stream, ProtocolError(decoded.message()));
  }
  absl::Status status = CheckConsistency(execute->parameters);
  if (!status.ok()) return AnswerStatus(stream, status);
  const std::shared_ptr<const Statement> statement =
      FindStatement(execute->statement_id);
  if (statement == nullptr) {
    return AnswerUnprepared(stream, execute->statement_id);
  }
  const absl::StatusOr<absl::Span<const Value>> values =
      OrderValues(*statement, execute->bound);
  if (!values.ok()) return AnswerStatus(stream, values.status());
  if (node_->options_.execute_log_max != 0) {
    node_->LogExecute(*this, *statement, *values);
  }
  status = node_->engine_->Execute(*statement, *values,
                                   ToExecuteOptions(execute->parameters),
                                   &node_->scratch_->result);
  if (!status.ok()) {
    if (GetError(status).code == ServerCode::kUnprepared) {
      return AnswerUnprepared(stream, execute->statement_id);
    }
    return AnswerStatus(stream, status);
  }
  AnswerResult(stream, *statement, execute->parameters,
               negotiated_.metadata_id ? &execute->metadata_id : nullptr);
}

void Connection::OnBatch(int16_t stream, std::string_view body) {
  RequestScratch* scratch = node_->scratch_.get();
  protocol::BatchRequest* batch = &scratch->batch;
  const absl::Status decoded = protocol::DecodeBatch(body, batch);
  if (!decoded.ok()) {
    return AnswerStatus(stream, ProtocolError(decoded.message()));
  }
  absl::Status status = CheckConsistency(batch->parameters);
  if (!status.ok()) return AnswerStatus(stream, status);

  std::vector<std::shared_ptr<const Statement>>* statements =
      &scratch->batch_statements;
  std::vector<BatchEntry>* entries = &scratch->batch_entries;
  statements->clear();
  entries->clear();
  for (const protocol::BatchRequestEntry& entry : batch->entries) {
    std::shared_ptr<const Statement> statement;
    if (entry.prepared) {
      statement = FindStatement(entry.text_or_id);
      if (statement == nullptr) {
        return AnswerUnprepared(stream, entry.text_or_id);
      }
    } else {
      absl::StatusOr<std::shared_ptr<const Statement>> once =
          node_->engine_->PrepareOnce(entry.text_or_id, keyspace_);
      if (!once.ok()) return AnswerStatus(stream, once.status());
      statement = *std::move(once);
    }
    BatchEntry& next = entries->emplace_back();
    next.statement = statement.get();
    next.values = absl::MakeConstSpan(batch->values)
                      .subspan(entry.first_value, entry.value_count);
    statements->push_back(std::move(statement));
  }
  status = node_->engine_->ExecuteBatch(
      static_cast<BatchType>(batch->type), *entries,
      ToExecuteOptions(batch->parameters), &scratch->result);
  if (!status.ok()) {
    // An ALTER made one of them useless; which, only the engine knew: naming
    // the first prepared one makes the client prepare and try again.
    if (GetError(status).code == ServerCode::kUnprepared) {
      for (const protocol::BatchRequestEntry& entry : batch->entries) {
        if (entry.prepared) return AnswerUnprepared(stream, entry.text_or_id);
      }
    }
    return AnswerStatus(stream, status);
  }
  const Result& result = scratch->result;
  scratch->head.clear();
  Writer writer(&scratch->head);
  std::string_view rows;
  if (result.kind == Result::Kind::kRows) {
    protocol::RowsMetadata metadata;
    metadata.columns = *result.columns;
    protocol::EncodeRowsHeader(&writer, metadata, result.row_count);
    rows = result.rows;
  } else {
    protocol::EncodeVoid(&writer);
  }
  writer.Finish();
  Answer(stream, Opcode::kResult, scratch->head, rows, /*durable=*/true);
}

absl::StatusOr<absl::Span<const Value>> Connection::OrderValues(
    const Statement& statement, const protocol::RequestValues& bound) {
  if (bound.names.empty()) return absl::MakeConstSpan(bound.values);
  std::vector<Value>* ordered = &node_->scratch_->ordered_values;
  ordered->clear();
  for (const ColumnSpec& marker : statement.bind_markers()) {
    size_t i = 0;
    while (i < bound.names.size() && bound.names[i] != marker.name) ++i;
    if (i == bound.names.size()) {
      return InvalidError(absl::StrCat("no value is bound to ", marker.name));
    }
    ordered->push_back(bound.values[i]);
  }
  return absl::MakeConstSpan(*ordered);
}

void Connection::AnswerResult(int16_t stream, const Statement& statement,
                              const QueryParameters& parameters,
                              const std::string_view* metadata_id) {
  const Result& result = node_->scratch_->result;
  std::string* head = &node_->scratch_->head;
  head->clear();
  Writer writer(head);
  std::string_view rows;
  switch (result.kind) {
    case Result::Kind::kVoid:
      protocol::EncodeVoid(&writer);
      break;
    case Result::Kind::kRows: {
      protocol::RowsMetadata metadata;
      metadata.columns = *result.columns;
      metadata.paging_state = result.paging_state;
      if (statement.result_columns() != nullptr) {
        metadata.skip_columns = parameters.skip_metadata;
        if (metadata_id != nullptr) {
          const std::string_view current = node_->MetadataIdOf(statement);
          if (current != *metadata_id) metadata.new_metadata_id = current;
        }
      }
      protocol::EncodeRowsHeader(&writer, metadata, result.row_count);
      rows = result.rows;
      break;
    }
    case Result::Kind::kSetKeyspace:
      keyspace_ = result.keyspace;
      protocol::EncodeSetKeyspace(&writer, result.keyspace);
      break;
    case Result::Kind::kSchemaChange: {
      protocol::Event event;
      event.kind = protocol::Event::Kind::kSchemaChange;
      event.schema = {result.schema.change,
                      result.schema.target,
                      result.schema.keyspace,
                      result.schema.name,
                      {}};
      protocol::EncodeSchemaChangeResult(&writer, event.schema);
      writer.Finish();
      Answer(stream, Opcode::kResult, *head, {}, false);
      node_->SendEvent(event);
      return;
    }
  }
  writer.Finish();
  Answer(stream, Opcode::kResult, *head, rows, Writes(statement));
}

std::shared_ptr<const Statement> Connection::FindStatement(
    std::string_view id) {
  StatementId key;
  if (id.size() != key.size()) return nullptr;
  std::memcpy(key.data(), id.data(), key.size());
  if (node_->prepared_since_.has_value() &&
      !node_->prepared_since_->contains(key)) {
    return nullptr;
  }
  return node_->engine_->Find(key);
}

void Connection::AnswerUnprepared(int16_t stream, std::string_view id) {
  ServerError error;
  error.code = ServerCode::kUnprepared;
  error.message = "the statement is not prepared here: prepare it again";
  error.statement_id = std::string(id);
  AnswerError(stream, error);
}

}  // namespace cql::node
