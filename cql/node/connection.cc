#include "cql/node/connection.h"

#include <algorithm>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cql/protocol/compression.h"
#include "ioloop/log.h"

namespace cql::node {
namespace {

using protocol::Compression;
using protocol::Frame;
using protocol::FrameHeader;
using protocol::kFlagCompression;
using protocol::kHeaderBytes;
using protocol::Opcode;

// What a client may send before it is let in.
constexpr uint32_t kFirstFrameBytesMax = 100'000;
// Smaller bodies gain nothing from compression.
constexpr size_t kCompressBytesMin = 512;
// How long a client that is being closed may take its last answers, and how
// much it may still send.
constexpr absl::Duration kLinger = absl::Seconds(5);
constexpr size_t kLingerBytesMax = 1 << 20;

ServerError MakeServerError(ServerCode code, absl::string_view message) {
  ServerError error;
  error.code = code;
  error.message = std::string(message);
  return error;
}

protocol::FrameReader::Options ReaderOptions() {
  protocol::FrameReader::Options options;
  options.direction = protocol::Direction::kRequests;
  options.frame_bytes_max = kFirstFrameBytesMax;
  return options;
}

FrameHeader ResponseHeader(int16_t stream, Opcode opcode, size_t length) {
  FrameHeader header;
  header.version = protocol::kVersion | protocol::kResponseBit;
  header.stream = stream;
  header.opcode = opcode;
  header.length = static_cast<uint32_t>(length);
  return header;
}

}  // namespace

Connection::Connection(Node* node, ioloop::Stream stream,
                       const ConnectionInfo& info)
    : node_(node),
      stream_(std::move(stream)),
      info_(info),
      reader_(ReaderOptions()),
      closing_(node->loop_),
      kill_timer_(node->loop_, this) {}

ioloop::Task<void> Connection::Run() {
  kill_timer_.Arm(node_->loop_->now() + node_->options_.startup_timeout);
  while (state_ != State::kClosing) {
    absl::StatusOr<ioloop::ReceivedBytes> bytes = co_await stream_.Receive();
    if (!bytes.ok() || bytes->empty()) break;
    reader_.Feed(*bytes);
    Frame frame;
    while (state_ != State::kClosing && reader_.Next(&frame)) {
      Handle(frame);
      if (Full()) co_await MakeRoom();
    }
    if (state_ != State::kClosing && !reader_.status().ok()) RefuseFrame();
  }
  co_await Finish();
}

void Connection::Kill() {
  if (std::exchange(killed_, true)) return;
  state_ = State::kClosing;
  info_.ready = false;
  closing_.Set();
  // Whoever waits for the stream is woken by this.
  tasks_.Spawn(Abort());
}

ioloop::Task<void> Connection::Abort() { co_await stream_.Abort(); }

// The client is gone or not wanted any more: lets it have what is queued.
ioloop::Task<void> Connection::Finish() {
  state_ = State::kClosing;
  info_.ready = false;
  if (!killed_) {
    kill_timer_.Arm(node_->loop_->now() + kLinger);
    if (!held_streams_.empty() || !syncing_streams_.empty()) {
      static_cast<void>(co_await node_->commit_->Flush());
    }
    stream_.ShutdownWrite();
    static_cast<void>(co_await stream_.Drained());
    // Closing with bytes unread would reset the connection, and the client
    // might never see why it was refused.
    size_t passed = 0;
    while (refused_ && passed < kLingerBytesMax) {
      absl::StatusOr<ioloop::ReceivedBytes> bytes = co_await stream_.Receive();
      if (!bytes.ok() || bytes->empty()) break;
      passed += bytes->size();
    }
    kill_timer_.Disarm();
  }
  closing_.Set();
  co_await tasks_.Join();
  co_await stream_.Close();
  node_->commit_->Remove(this);
}

void Connection::Handle(const Frame& frame) {
  ++node_->stats_.requests;
  sink_ = Sink::kSend;
  std::string_view body;
  const absl::Status status = Unwrap(frame, &body);
  if (!status.ok()) {
    AnswerError(frame.header.stream,
                MakeServerError(ServerCode::kProtocolError, status.message()));
    return;
  }
  if (!node_->rules_.empty()) {
    if (const Rule* rule = MatchRule(frame.header, body)) {
      // A copy: what the request does may change the rules.
      const Rule fired = *rule;
      ApplyRule(fired, frame.header, body);
      return;
    }
  }
  Dispatch(frame.header, body);
}

absl::Status Connection::Unwrap(const Frame& frame, std::string_view* body) {
  *body = frame.body;
  if ((frame.header.flags & kFlagCompression) != 0) {
    std::string* plain = &node_->scratch_->request;
    absl::StatusOr<size_t> size = protocol::DecompressedSize(
        negotiated_.compression, *body,
        state_ == State::kReady ? node_->options_.decompressed_bytes_max
                                : kFirstFrameBytesMax);
    if (!size.ok()) return size.status();
    plain->resize(*size);
    absl::Status status = protocol::Decompress(negotiated_.compression, *body,
                                               std::span<char>(*plain));
    if (!status.ok()) return status;
    *body = *plain;
  }
  return protocol::SkipRequestPayload(frame.header, body);
}

void Connection::RefuseFrame() {
  const absl::Status& status = reader_.status();
  const ServerCode code = status.code() == absl::StatusCode::kResourceExhausted
                              ? ServerCode::kInvalid
                              : ServerCode::kProtocolError;
  Refuse(reader_.header().stream, MakeServerError(code, status.message()));
}

void Connection::Refuse(int16_t stream, const ServerError& error) {
  AnswerError(stream, error);
  refused_ = true;
  state_ = State::kClosing;
}

bool Connection::Full() const {
  return stream_.queued_bytes() + held_.size() + syncing_.size() >
         node_->options_.output_bytes_max;
}

// The client does not read its answers: neither do we read its requests.
ioloop::Task<void> Connection::MakeRoom() {
  ++node_->stats_.output_stalls;
  const size_t half = node_->options_.output_bytes_max / 2;
  while (Full() && state_ != State::kClosing) {
    if (held_.size() + syncing_.size() > half) {
      static_cast<void>(co_await node_->commit_->Flush());
      continue;
    }
    const absl::Status drained = co_await stream_.Drained(half);
    if (!drained.ok()) co_return;
  }
}

// --- Answers ---------------------------------------------------------------

void Connection::Answer(int16_t stream, Opcode opcode, std::string_view head,
                        std::string_view rows, bool durable) {
  if (sink_ == Sink::kDiscard) return;
  size_t bytes = head.size() + rows.size();
  FrameHeader header = ResponseHeader(stream, opcode, bytes);
  size_t room = bytes;
  const bool compress = negotiated_.compression != Compression::kNone &&
                        state_ == State::kReady && bytes >= kCompressBytesMin;
  if (compress) {
    if (!rows.empty()) {
      std::string* whole = &node_->scratch_->answer;
      whole->assign(head);
      whole->append(rows);
      head = *whole;
      rows = {};
    }
    room = protocol::CompressBound(negotiated_.compression, bytes);
  }

  const bool wait =
      sink_ == Sink::kSend && durable && node_->commit_->MustWait();
  std::string* out = nullptr;  // Null: straight into the stream.
  if (sink_ == Sink::kCapture) {
    out = &captured_;
    captured_durable_ |= durable;
  } else if (wait) {
    out = &held_;
    held_streams_.push_back(stream);
    node_->commit_->Add(this);
  } else if (in_pieces_) {
    out = &behind_pieces_;
  }

  char* p;
  if (out == nullptr) {
    p = stream_.Reserve(kHeaderBytes + room).data();
  } else {
    const size_t begin = out->size();
    out->resize(begin + kHeaderBytes + room);
    p = out->data() + begin;
  }
  char* body = p + kHeaderBytes;
  if (compress) {
    header.flags = kFlagCompression;
    bytes = protocol::Compress(negotiated_.compression, head,
                               std::span<char>(body, room));
    header.length = static_cast<uint32_t>(bytes);
  } else {
    body = std::copy(head.begin(), head.end(), body);
    std::copy(rows.begin(), rows.end(), body);
  }
  protocol::EncodeHeader(header, p);
  if (out == nullptr) {
    stream_.Commit(kHeaderBytes + bytes);
  } else {
    out->resize(out->size() - room + bytes);
  }
}

void Connection::AnswerError(int16_t stream, ServerError error) {
  if (error.code == ServerCode::kRateLimit && !negotiated_.rate_limit_error) {
    error.code = ServerCode::kConfigError;
  }
  ++node_->stats_.errors;
  std::string body;
  protocol::Writer writer(&body);
  protocol::EncodeError(&writer, error);
  writer.Finish();
  Answer(stream, Opcode::kError, body, {}, /*durable=*/false);
}

void Connection::AnswerStatus(int16_t stream, const absl::Status& status) {
  AnswerError(stream, GetError(status));
}

void Connection::Queue(std::string_view bytes) {
  if (in_pieces_) {
    behind_pieces_.append(bytes);
  } else {
    stream_.Queue(bytes);
  }
}

void Connection::SendEvent(const protocol::Event& event) {
  if (Full()) {
    RINGPLANE_LOG(kWarning, "CQL event dropped: the client reads nothing",
                  {"connection", info_.id});
    return;
  }
  std::string frame;
  protocol::Writer writer(&frame);
  const size_t mark =
      protocol::BeginFrame(&writer, ResponseHeader(-1, Opcode::kEvent, 0));
  protocol::EncodeEvent(&writer, event);
  protocol::EndFrame(&writer, mark);
  writer.Finish();
  Queue(frame);
}

void Connection::OnSyncStarted() {
  std::swap(held_, syncing_);
  std::swap(held_streams_, syncing_streams_);
}

void Connection::OnSynced(const absl::Status& status) {
  if (status.ok()) {
    Queue(syncing_);
  } else {
    ServerError error = GetError(status);
    error.message = absl::StrCat("the write may be lost: ", status.message());
    sink_ = Sink::kSend;
    for (const int16_t stream : syncing_streams_) AnswerError(stream, error);
  }
  syncing_.clear();
  syncing_streams_.clear();
}

// --- Rules -----------------------------------------------------------------

const Rule* Connection::MatchRule(const FrameHeader& header,
                                  std::string_view body) {
  Rules::Subject subject;
  subject.opcode = header.opcode;
  subject.body = body;
  subject.connection = info_.id;
  subject.shard = info_.shard;
  subject.shard_aware_port = info_.shard_aware_port;
  std::string text;
  RequestScratch* scratch = node_->scratch_.get();
  if (header.opcode == Opcode::kExecute) {
    protocol::Reader reader(body);
    if (const auto statement = FindStatement(reader.ShortBytes())) {
      text = statement->text();
    }
  } else if (header.opcode == Opcode::kBatch &&
             protocol::DecodeBatch(body, &scratch->batch).ok()) {
    for (const protocol::BatchRequestEntry& entry : scratch->batch.entries) {
      if (!entry.prepared) continue;
      if (const auto statement = FindStatement(entry.text_or_id)) {
        text.append(statement->text()).push_back('\n');
      }
    }
  }
  subject.text = text;
  return node_->rules_.Match(subject);
}

void Connection::ApplyRule(const Rule& rule, const FrameHeader& header,
                           std::string_view body) {
  switch (rule.action) {
    case Rule::Action::kError:
    case Rule::Action::kDrop:
    case Rule::Action::kClose:
    case Rule::Action::kReset:
      if (rule.execute) {
        sink_ = Sink::kDiscard;
        Dispatch(header, body);
        sink_ = Sink::kSend;
      }
      if (rule.action == Rule::Action::kError) {
        AnswerError(header.stream, rule.error);
      }
      if (rule.action == Rule::Action::kClose) state_ = State::kClosing;
      if (rule.action == Rule::Action::kReset) Kill();
      return;
    case Rule::Action::kShard:
      Dispatch(header, body);
      return;
    case Rule::Action::kDelay:
    case Rule::Action::kSplit:
    case Rule::Action::kRepeat:
      break;
  }
  sink_ = Sink::kCapture;
  captured_durable_ = false;
  Dispatch(header, body);
  sink_ = Sink::kSend;
  std::string answer = std::exchange(captured_, std::string());
  if (rule.action == Rule::Action::kRepeat) answer += std::string(answer);
  if (rule.action == Rule::Action::kSplit) {
    tasks_.Spawn(AnswerInPieces(std::move(answer),
                                std::max<size_t>(rule.split_bytes, 1),
                                rule.delay, captured_durable_));
  } else {
    tasks_.Spawn(AnswerLater(
        std::move(answer),
        rule.action == Rule::Action::kDelay ? rule.delay : absl::Duration(),
        captured_durable_));
  }
}

ioloop::Task<void> Connection::AnswerLater(std::string bytes,
                                           absl::Duration delay, bool durable) {
  if (delay > absl::ZeroDuration()) {
    const bool closing =
        co_await closing_.WaitUntil(node_->loop_->now() + delay);
    if (closing) co_return;
  }
  if (durable && node_->commit_->MustWait()) {
    const absl::Status status = co_await node_->commit_->Flush();
    if (!status.ok()) co_return;
  }
  Queue(bytes);
}

ioloop::Task<void> Connection::AnswerInPieces(std::string bytes,
                                              size_t piece_bytes,
                                              absl::Duration delay,
                                              bool durable) {
  if (durable && node_->commit_->MustWait()) {
    const absl::Status status = co_await node_->commit_->Flush();
    if (!status.ok()) co_return;
  }
  if (in_pieces_) {
    // One answer at a time; this one goes whole, behind it.
    behind_pieces_ += bytes;
    co_return;
  }
  in_pieces_ = true;
  for (size_t at = 0; at < bytes.size(); at += piece_bytes) {
    stream_.Queue(std::string_view(bytes).substr(at, piece_bytes));
    const bool closing =
        co_await closing_.WaitUntil(node_->loop_->now() + delay);
    if (closing) break;
  }
  in_pieces_ = false;
  const std::string behind = std::exchange(behind_pieces_, std::string());
  stream_.Queue(behind);
}

}  // namespace cql::node
