// One client of a node: cuts its bytes into requests, answers them.
#ifndef RINGPLANE_CQL_NODE_CONNECTION_H_
#define RINGPLANE_CQL_NODE_CONNECTION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cql/node/engine.h"
#include "cql/node/group_commit.h"
#include "cql/node/rules.h"
#include "cql/node/server.h"
#include "cql/node/supported.h"
#include "cql/protocol/error.h"
#include "cql/protocol/frame.h"
#include "cql/protocol/request.h"
#include "cql/protocol/response.h"
#include "ioloop/event.h"
#include "ioloop/stream.h"
#include "ioloop/task.h"
#include "ioloop/timer.h"

namespace cql::node {

// What handling one frame needs, kept from one to the next for its memory.
// Nothing in it means anything between two frames.
struct RequestScratch {
  protocol::StartupRequest startup;
  protocol::QueryRequest query;
  protocol::ExecuteRequest execute;
  protocol::BatchRequest batch;
  std::vector<std::string_view> events;
  std::vector<std::shared_ptr<const Statement>> batch_statements;
  std::vector<BatchEntry> batch_entries;
  std::vector<Value> ordered_values;
  Result result;
  std::string request;  // Decompressed.
  std::string head;     // Of the answer: all of it but rows.
  std::string answer;   // Head and rows, to be compressed.
};

class Connection final : private CommitWaiter {
 public:
  Connection(Node* node, ioloop::Stream stream, const ConnectionInfo& info);

  // Serves the client until it leaves, breaks the protocol or is killed.
  ioloop::Task<void> Run();

  // Ends it with a reset; Run() returns soon after.
  void Kill();

  const ConnectionInfo& info() const { return info_; }
  bool registered_for(protocol::Event::Kind kind) const {
    return (registered_ & (1u << static_cast<int>(kind))) != 0;
  }
  void SendEvent(const protocol::Event& event);

 private:
  enum class State { kNew, kAuthenticating, kReady, kClosing };

  // Where answers go while one frame is handled.
  enum class Sink {
    kSend,     // To the client; to writes, once they are durable.
    kCapture,  // A rule decides what becomes of them.
    kDiscard,
  };

  // Of clients that take too long to start, or to take their last answers.
  struct KillTimer : ioloop::Timer {
    KillTimer(ioloop::Loop* loop, Connection* owner)
        : Timer(loop,
                [](Timer* timer) {
                  static_cast<KillTimer*>(timer)->connection->Kill();
                }),
          connection(owner) {}
    Connection* connection;
  };

  // --- connection.cc: bytes and answers ---

  void Handle(const protocol::Frame& frame);
  // `frame.header` with a plain body and without its payload.
  absl::Status Unwrap(const protocol::Frame& frame, std::string_view* body);
  void RefuseFrame();
  // A protocol error after which nothing more is read.
  void Refuse(int16_t stream, const ServerError& error);

  bool Full() const;
  ioloop::Task<void> MakeRoom();
  ioloop::Task<void> Finish();
  ioloop::Task<void> Abort();

  // The rule for this request, if any fires.
  const Rule* MatchRule(const protocol::FrameHeader& header,
                        std::string_view body);
  void ApplyRule(const Rule& rule, const protocol::FrameHeader& header,
                 std::string_view body);
  ioloop::Task<void> AnswerLater(std::string bytes, absl::Duration delay,
                                 bool durable);
  ioloop::Task<void> AnswerInPieces(std::string bytes, size_t piece_bytes,
                                    absl::Duration delay, bool durable);

  // Sends a frame whose body is `head` and `rows`. `durable`: what was executed
  // last has to be durable first.
  void Answer(int16_t stream, protocol::Opcode opcode, std::string_view head,
              std::string_view rows, bool durable);
  void AnswerError(int16_t stream, ServerError error);
  void AnswerStatus(int16_t stream, const absl::Status& status);
  // Past whatever holds answers back.
  void Queue(std::string_view bytes);

  void OnSyncStarted() override;
  void OnSynced(const absl::Status& status) override;

  // --- connection_requests.cc: one function per request ---

  void Dispatch(const protocol::FrameHeader& header, std::string_view body);
  // Past STARTUP and authentication.
  void LetIn();
  void OnOptions(int16_t stream);
  void OnStartup(int16_t stream, std::string_view body);
  void OnAuthResponse(int16_t stream, std::string_view body);
  void OnRegister(int16_t stream, std::string_view body);
  void OnQuery(int16_t stream, std::string_view body);
  void OnPrepare(int16_t stream, std::string_view body);
  void OnExecute(int16_t stream, std::string_view body);
  void OnBatch(int16_t stream, std::string_view body);

  // Orders named values by bind marker. kInvalidArgument for a name that is
  // missing.
  absl::StatusOr<absl::Span<const Value>> OrderValues(
      const Statement& statement, const protocol::RequestValues& bound);
  void AnswerResult(int16_t stream, const Statement& statement,
                    const protocol::QueryParameters& parameters,
                    const std::string_view* metadata_id);
  // A kept statement, or null: Unprepared.
  std::shared_ptr<const Statement> FindStatement(std::string_view id);
  void AnswerUnprepared(int16_t stream, std::string_view id);

  Node* const node_;
  ioloop::Stream stream_;
  ConnectionInfo info_;
  protocol::FrameReader reader_;
  State state_ = State::kNew;
  Negotiated negotiated_;
  std::string keyspace_;
  uint32_t registered_ = 0;
  bool killed_ = false;
  bool refused_ = false;

  Sink sink_ = Sink::kSend;
  std::string captured_;
  bool captured_durable_ = false;

  // Answers to writes: those since the sync that runs began, and those it
  // covers; each with the streams to send an error to if it fails.
  std::string held_;
  std::string syncing_;
  std::vector<int16_t> held_streams_;
  std::vector<int16_t> syncing_streams_;

  // A rule sends an answer in pieces: others wait here so as not to come
  // between.
  bool in_pieces_ = false;
  std::string behind_pieces_;

  ioloop::TaskGroup tasks_;
  ioloop::Event closing_;
  KillTimer kill_timer_;
};

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_CONNECTION_H_
