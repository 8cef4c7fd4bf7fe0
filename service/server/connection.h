// One client connection: joins a Stream to HTTP/1.1 or HTTP/2. Only for the
// files of this folder.
#ifndef RINGPLANE_SERVICE_SERVER_CONNECTION_H_
#define RINGPLANE_SERVICE_SERVER_CONNECTION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "ioloop/event.h"
#include "ioloop/stream.h"
#include "ioloop/timer.h"
#include "service/http/http1_parser.h"
#include "service/http/http2_session.h"
#include "service/http/message.h"
#include "service/server/server_impl.h"

namespace server {

class Connection final : public http::Http2Session::Handler,
                         public http::ByteSink {
 public:
  Connection(Server::Impl* server, ioloop::Stream stream);
  ~Connection() override;

  // Serves the client until either side ends; then everything is closed.
  ioloop::Task<void> Serve();

  // The response to fill for `exchange`, and sending it. Once per exchange.
  http::Response* ResponseOf(ExchangeHandle exchange);
  void Send(ExchangeHandle exchange);

  // Calls whose handlers run, answered or not.
  void AddCall(Call* call);
  void RemoveCall(Call* call);
  size_t calls() const { return call_count_; }

  // Bytes of answers that the peer has not taken.
  size_t pending_output() const;

  // First and second phase of a drain.
  void DrainNotice();
  void DrainFinal();
  // Ends the connection at once, whatever is in flight.
  void Kill();

  // http::ByteSink
  void Append(std::string_view bytes) override;
  bool full() const override;

  Connection* next = nullptr;  // of the server
  Connection* previous = nullptr;

 private:
  enum class Mode : uint8_t { kUnknown, kHttp1, kHttp2 };

  struct LimitTimer : ioloop::Timer {
    LimitTimer(ioloop::Loop* loop, Handler handler, Connection* owner)
        : Timer(loop, handler), connection(owner) {}
    Connection* connection;
  };

  absl::Time now() const { return server_->loop->now(); }
  const Options& options() const { return server_->options; }

  // connection.cc
  void Consume(std::string_view bytes);
  void Sniff(std::string_view bytes);
  void OnEof();
  // Stops reading, sends what is queued, then closes.
  void Finish();
  ioloop::Task<void> FlushAndLinger();
  // The output fell behind: reading stops until the peer has caught up.
  void CheckOutput();
  ioloop::Task<void> WaitForOutput();
  void NoteOutput();
  void EnsureTimer(absl::Time deadline);
  static void OnTimer(ioloop::Timer* timer);
  // Acts on every timeout that has passed; returns when the next one will.
  absl::Time CheckTimeouts();
  absl::Time RequestDeadline();

  // http1_connection.cc
  void ConsumeHttp1(std::string_view bytes);
  void ResumeHttp1();
  // Parses until the input is used up or a request waits for its answer.
  void RunHttp1(std::string_view* input);
  void SendHttp1();
  void RejectHttp1(int status);

  // http2_connection.cc
  void ConsumeHttp2(std::string_view bytes);
  void FlushHttp2();
  void OnRequest(http::Http2Stream* stream) override;
  void OnClose(http::Http2Stream* stream) override;
  void NoteGuards();

  Server::Impl* const server_;
  ioloop::Stream stream_;
  Mode mode_ = Mode::kUnknown;
  bool finishing_ = false;  // nothing more is read but to linger
  bool killed_ = false;
  bool lingering_ = false;
  bool draining_ = false;
  bool eof_ = false;
  bool waiting_for_output_ = false;
  size_t call_count_ = 0;
  Call* first_call_ = nullptr;

  std::string early_;  // bytes before the protocol is known
  // HTTP/1.1: what arrived behind a request that is being served.
  std::string behind_;
  std::unique_ptr<http::Http1Parser> parser_;
  http::Response response_;
  bool busy_ = false;     // a request waits for its answer
  bool parsing_ = false;  // RunHttp1 is on the stack
  bool served_any_ = false;

  std::unique_ptr<http::Http2Session> session_;
  bool receiving_ = false;  // session_->Receive is on the stack
  uint64_t guards_[static_cast<size_t>(http::Http2Session::Guard::kCount)] = {};

  // When the state that a timeout is about began.
  absl::Time since_;
  absl::Time timer_at_ = absl::InfiniteFuture();
  absl::Time output_since_;
  uint64_t output_mark_ = 0;
  uint64_t appended_ = 0;
  LimitTimer timer_;
  // Something that Serve waits for, other than bytes, has happened.
  ioloop::Event progress_;
  ioloop::TaskGroup waiters_;
};

}  // namespace server

#endif  // RINGPLANE_SERVICE_SERVER_CONNECTION_H_
