// HTTP/2 on a connection: streams side by side.
#include "service/server/connection.h"

namespace server {
namespace {

// Taken at a time, with a flush after each: what the client forces the server
// to send is queued, and counted, before much more of it is believed.
constexpr size_t kSlice = 4096;

}  // namespace

void Connection::ConsumeHttp2(std::string_view bytes) {
  since_ = now();
  while (!bytes.empty() && !finishing_ && !killed_) {
    std::string_view slice = bytes.substr(0, kSlice);
    bytes.remove_prefix(slice.size());
    receiving_ = true;
    absl::Status status = session_->Receive(slice, since_);
    receiving_ = false;
    FlushHttp2();
    if (!status.ok()) Finish();
  }
  if (finishing_) return;
  if (http::Http2Stream* stream = session_->OldestIncomplete()) {
    EnsureTimer(stream->opened + options().body_timeout);
  } else {
    EnsureTimer(since_ + options().idle_timeout);
  }
}

void Connection::FlushHttp2() {
  NoteOutput();
  session_->Flush(this);
  NoteGuards();
  if (session_->done()) Finish();
  CheckOutput();
}

void Connection::OnRequest(http::Http2Stream* stream) {
  server_->Dispatch(this, stream, stream->request);
}

void Connection::OnClose(http::Http2Stream* stream) {
  since_ = now();
  if (stream->user != nullptr) {
    server_->Abandon(static_cast<Call*>(stream->user));
  }
}

void Connection::NoteGuards() {
  using Guard = http::Http2Session::Guard;
  static constexpr Limit kLimits[] = {Limit::kHeaderBytes, Limit::kMessageIn,
                                      Limit::kRequestBuffer, Limit::kStreams,
                                      Limit::kHttp2Abuse};
  for (size_t i = 0; i < static_cast<size_t>(Guard::kCount); ++i) {
    uint64_t count = session_->guarded(static_cast<Guard>(i));
    if (count == guards_[i]) continue;
    server_->stats.limits[static_cast<size_t>(kLimits[i])].Add(count -
                                                               guards_[i]);
    guards_[i] = count;
  }
}

}  // namespace server
